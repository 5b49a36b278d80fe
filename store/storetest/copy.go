package storetest

import (
	"io/fs"
	"path/filepath"
	"time"

	"postrider/store"
)

func copyCases() []testCase {
	return []testCase{
		{"copy", copyMessages},
		{"move", moveMessages},
		{"copy into the same mailbox", copyWithin},
		{"copy once for an op", copyOnce},
		{"copies share the body", copiesShare},
	}
}

// copied copies or moves.
func (h handle) copied(from, to store.MailboxID, move bool, uids ...store.UID) store.CopyResult {
	h.s.Helper()
	r, err := h.Copy(h.s.ctx, "", from, store.UIDSetOf(uids...), to, move)
	h.s.ok(err)
	if len(r.Source) != len(r.Dest) {
		h.s.Fatalf("copied %v to %v", r.Source, r.Dest)
	}
	return r
}

// likeness compares a copy with its source in all that a copy keeps.
func (s *suite) likeness(copy, source store.Row, movedFrom store.UID) {
	s.Helper()
	if copy.Flags != source.Flags || !copy.Received.Equal(source.Received) || copy.Size != source.Size ||
		copy.EmailID != source.EmailID || copy.ThreadID != source.ThreadID {
		s.Errorf("copy %+v of %+v (%d)", copy, source, movedFrom)
	}
	if copy.Saved.Before(source.Saved) || copy.ModSeq <= source.ModSeq {
		s.Errorf("copy %+v is older than %+v", copy, source)
	}
}

func copyMessages(s *suite) {
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work")
	f := store.Flags{System: store.Seen | store.Deleted, Keywords: "a b"}
	uids := s.a.fill(in, 3)
	uids = append(uids, s.a.put(in, letter("flagged"), f))
	s.a.expunge(in, uids[1])
	before := s.a.box(s.alice, "INBOX")
	r := s.b.copied(in, work.ID, false, uids...)
	s.equal("sources", r.Source, []store.UID{uids[0], uids[2], uids[3]})
	if r.UIDValidity != work.UIDValidity || r.Dest[0] >= r.Dest[1] || r.Dest[1] >= r.Dest[2] {
		s.Errorf("copied as %+v", r)
	}
	for i, u := range r.Source {
		s.likeness(s.a.row(work.ID, r.Dest[i]), s.a.row(in, u), 0)
		s.equal("text", s.a.text(work.ID, r.Dest[i]), s.a.text(in, u))
	}
	s.equal("INBOX", s.a.box(s.alice, "INBOX"), before)
	now := s.a.box(s.alice, "Work")
	if now.Total != 3 || now.Unseen != 2 || now.Deleted != 1 {
		s.Errorf("target %+v", now)
	}
	none := s.a.copied(in, work.ID, false, uids[1])
	s.equal("copied of what is gone", len(none.Dest), 0)
	nowhere := store.MailboxID{Account: s.alice.ID, N: 999}
	_, err := s.a.Copy(s.ctx, "", in, store.AllUIDs(), nowhere, false)
	s.kind(err, store.NotFound)
	_, err = s.a.Copy(s.ctx, "", nowhere, store.AllUIDs(), in, true)
	s.kind(err, store.NotFound)
}

func moveMessages(s *suite) {
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work")
	uids := s.a.fill(in, 4)
	from, to := &replica{}, &replica{}
	s.follow(s.b, from, in)
	s.follow(s.b, to, work.ID)
	source := s.a.row(in, uids[2])
	r := s.a.copied(in, work.ID, true, uids[1], uids[2])
	s.likeness(s.b.row(work.ID, r.Dest[1]), source, uids[2])
	s.equal("left", s.b.uids(in), []store.UID{uids[0], uids[3]})
	d := s.b.changes(in, from.known)
	if d.Full || d.Changed.Len() != 0 {
		s.Errorf("delta of a move %+v", d)
	}
	s.equal("gone", d.Gone, store.UIDSetOf(uids[1], uids[2]))
	s.follow(s.b, from, in)
	s.follow(s.b, to, work.ID)
	s.equal("messages at the target", len(to.rows), 2)
	s.equal("messages of the account", s.a.again(s.alice).Count, 4)
	all, err := s.b.Copy(s.ctx, "", in, store.AllUIDs(), work.ID, true)
	s.ok(err)
	s.equal("moved the rest", len(all.Dest), 2)
	s.equal("left", len(s.a.uids(in)), 0)
}

func copyWithin(s *suite) {
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 2)
	r := s.a.copied(in, in, false, uids...)
	s.equal("messages", len(s.b.rows(in)), 4)
	if r.Dest[0] <= uids[1] {
		s.Errorf("copied as %+v", r)
	}
	r = s.b.copied(in, in, true, uids[0])
	s.equal("messages after a move", len(s.a.rows(in)), 4)
	if len(r.Dest) != 1 || r.Dest[0] <= uids[1] {
		s.Errorf("moved as %+v", r)
	}
	s.equal("first message", s.a.uids(in)[0], uids[1])
}

func copyOnce(s *suite) {
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work")
	uids := s.a.fill(in, 3)
	do := func(h handle, op store.OpID, move bool) store.CopyResult {
		s.Helper()
		r, err := h.Copy(s.ctx, op, in, store.UIDSetOf(uids...), work.ID, move)
		s.ok(err)
		return r
	}
	first := do(s.a, "c", false)
	s.equal("copied again", do(s.b, "c", false), first)
	moved := do(s.b, "m", true)
	s.equal("moved again, when the sources are gone", do(s.a, "m", true), moved)
	_, err := s.a.Append(s.ctx, "c", in, body(letter("x")), store.Flags{}, time.Now())
	s.kind(err, store.Invalid) // the op was a copy
	s.equal("messages", len(s.a.rows(work.ID)), 6)
	s.equal("messages left", len(s.a.rows(in)), 0)
}

// copiesShare looks at the disk: many copies, and many recipients, of a large
// message take the room of one.
func copiesShare(s *suite) {
	const size, copies = 3_000_000, 10
	text := letter("large") + noise(size, 1)
	in, work := s.a.inbox(s.alice), s.a.create(s.alice, "Work")
	done, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(1), Body: body(text),
		Local:    []store.LocalRcpt{{Account: s.alice.ID}, {Account: s.bob.ID}},
		Outgoing: []store.NewOutgoing{s.to("x@b.test")}})
	s.ok(err)
	one := s.diskUsage()
	for range copies {
		s.b.copied(in, work.ID, false, done.Filed[0].UID)
	}
	if now := s.diskUsage(); now > one+size {
		s.Errorf("%d copies of %d bytes made the store grow from %d to %d bytes", copies, size, one, now)
	}
	s.equal("quota counts each copy", s.a.again(s.alice).Bytes, (copies+1)*len(text))
	s.a.expunge(in, done.Filed[0].UID) // copies do not depend on their source
	s.ok(s.a.Delete(s.ctx, s.bob.ID, "Archive"))
	for _, u := range s.a.uids(work.ID)[:2] {
		s.equal("a copy's text", s.b.text(work.ID, u) == text, true)
	}
	s.equal("bob's text", s.b.text(done.Filed[1].Mailbox, done.Filed[1].UID) == text, true)
	_, err = s.a.Act(s.ctx, store.OutFilter{}, store.OutDrop, time.Now())
	s.ok(err)
	_, err = s.a.Expunge(s.ctx, work.ID, store.AllUIDs(), false)
	s.ok(err)
	s.equal("bob's text, the last one", s.b.text(done.Filed[1].Mailbox, done.Filed[1].UID) == text, true)
	s.b.expunge(done.Filed[1].Mailbox, done.Filed[1].UID)
	s.equal("bytes", s.a.again(s.alice).Bytes+s.a.again(s.bob).Bytes, 0)
}

// diskUsage is the size of all files of the store.
func (s *suite) diskUsage() int64 {
	s.Helper()
	n := int64(0)
	s.ok(filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	}))
	return n
}
