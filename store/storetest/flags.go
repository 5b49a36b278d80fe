package storetest

import (
	"fmt"

	"postrider/store"
)

func flagCases() []testCase {
	return []testCase{
		{"set flags", setFlags},
		{"set flags conditionally", setFlagsConditionally},
		{"keywords", keywords},
	}
}

// flag changes flags without condition.
func (h handle) flag(box store.MailboxID, mode store.FlagMode, f store.Flags, uids ...store.UID) store.FlagResult {
	h.s.Helper()
	r, err := h.SetFlags(h.s.ctx, box, store.UIDSetOf(uids...), store.FlagChange{Mode: mode, Flags: f}, store.Unconditional)
	h.s.ok(err)
	if len(r.Modified) != 0 {
		h.s.Errorf("an unconditional change left %v alone", r.Modified)
	}
	return r
}

func setFlags(s *suite) {
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 3)
	seen, gone := store.Flags{System: store.Seen}, store.Flags{System: store.Deleted | store.Answered}
	before := s.a.box(s.alice, "INBOX")
	r := s.b.flag(in, store.FlagsAdd, seen, uids[0], uids[1])
	now := s.a.box(s.alice, "INBOX")
	if r.ModSeq != now.ModSeq || now.ModSeq <= before.ModSeq || now.Unseen != 1 {
		s.Errorf("result %+v, mailbox %+v", r, now)
	}
	for i, want := range []store.ModSeq{r.ModSeq, r.ModSeq, s.a.row(in, uids[2]).ModSeq} {
		s.equal(fmt.Sprint("ModSeq of message ", i), s.a.row(in, uids[i]).ModSeq, want)
	}
	s.a.flag(in, store.FlagsAdd, seen, uids[0], uids[1]) // as they are already
	s.equal("mailbox after nothing changed", s.b.box(s.alice, "INBOX"), now)
	s.equal("row after nothing changed", s.a.row(in, uids[0]).ModSeq, r.ModSeq)

	part := s.b.flag(in, store.FlagsAdd, seen, uids...) // one changes
	s.equal("row that stays", s.a.row(in, uids[0]).ModSeq, r.ModSeq)
	s.equal("row that changes", s.a.row(in, uids[2]).ModSeq, part.ModSeq)

	s.a.flag(in, store.FlagsSet, gone, uids[0])
	s.b.flag(in, store.FlagsRemove, store.Flags{System: store.Answered | store.Draft}, uids[0])
	s.equal("flags", s.a.row(in, uids[0]).Flags, store.Flags{System: store.Deleted})
	now = s.a.box(s.alice, "INBOX")
	if now.Unseen != 1 || now.Deleted != 1 || now.DeletedBytes != s.a.row(in, uids[0]).Size {
		s.Errorf("mailbox %+v", now)
	}
	s.a.expunge(in, uids[1])
	s.a.flag(in, store.FlagsAdd, gone, uids[1]) // passed over
	s.equal("messages", len(s.a.rows(in)), 2)
	_, err := s.a.SetFlags(s.ctx, in, store.AllUIDs(), store.FlagChange{Mode: store.FlagsSet}, store.Unconditional)
	s.ok(err)
	s.equal("unseen", s.b.box(s.alice, "INBOX").Unseen, 2)
	_, err = s.a.SetFlags(s.ctx, store.MailboxID{Account: s.alice.ID, N: 999}, store.AllUIDs(),
		store.FlagChange{Mode: store.FlagsSet}, store.Unconditional)
	s.kind(err, store.NotFound)
}

func setFlagsConditionally(s *suite) {
	in := s.a.inbox(s.alice)
	uids := s.a.fill(in, 4)
	known := s.a.changes(in, 0).Mailbox.ModSeq
	s.b.flag(in, store.FlagsAdd, store.Flags{System: store.Flagged}, uids[1], uids[2])
	add := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Seen}}
	r, err := s.a.SetFlags(s.ctx, in, store.AllUIDs(), add, known)
	s.ok(err)
	s.equal("left alone", r.Modified, store.UIDSetOf(uids[1], uids[2]))
	for i, want := range []store.System{store.Seen, store.Flagged, store.Flagged, store.Seen} {
		s.equal(fmt.Sprint("flags of message ", i), s.b.row(in, uids[i]).Flags.System, want)
	}
	known = s.a.changes(in, 0).Mailbox.ModSeq // one more changes, to and fro: its flags are the others'
	s.b.flag(in, store.FlagsRemove, store.Flags{System: store.Seen}, uids[3])
	s.b.flag(in, store.FlagsAdd, store.Flags{System: store.Seen}, uids[3])
	drop := store.FlagChange{Mode: store.FlagsRemove, Flags: store.Flags{System: store.Seen}}
	r, err = s.a.SetFlags(s.ctx, in, store.AllUIDs(), drop, known)
	s.ok(err)
	s.equal("left alone", r.Modified, store.UIDSetOf(uids[3]))
	s.equal("its flags", s.b.row(in, uids[3]).Flags.System, store.Seen)
	s.equal("the other's flags", s.b.row(in, uids[0]).Flags.System, store.System(0))
	r, err = s.a.SetFlags(s.ctx, in, store.UIDSetOf(uids[0]), add, 0)
	s.ok(err)
	s.equal("left alone at 0", r.Modified, store.UIDSetOf(uids[0]))
	r, err = s.a.SetFlags(s.ctx, in, store.UIDSetOf(uids[1]), add, s.a.row(in, uids[1]).ModSeq)
	s.ok(err)
	s.equal("left alone at its own ModSeq", len(r.Modified), 0)
}

func keywords(s *suite) {
	in := s.a.inbox(s.alice)
	uid := s.a.put(in, letter("keywords"), store.Flags{Keywords: "$Forwarded Work"})
	for _, step := range []struct {
		mode store.FlagMode
		f    store.Flags
		want store.Flags
	}{
		{store.FlagsAdd, store.Flags{Keywords: "apple WORK"}, store.Flags{Keywords: "$Forwarded apple Work"}},
		{store.FlagsRemove, store.Flags{Keywords: "$FORWARDED none"}, store.Flags{Keywords: "apple Work"}},
		{store.FlagsSet, store.Flags{System: store.Seen, Keywords: "x"}, store.Flags{System: store.Seen, Keywords: "x"}},
		{store.FlagsAdd, store.Flags{System: store.Draft}, store.Flags{System: store.Seen | store.Draft, Keywords: "x"}},
		{store.FlagsSet, store.Flags{}, store.Flags{}},
		{store.FlagsAdd, store.Flags{Keywords: "ünï"}, store.Flags{Keywords: "ünï"}},
	} {
		s.a.flag(in, step.mode, step.f, uid)
		s.equal("flags", s.b.row(in, uid).Flags, step.want)
	}
}
