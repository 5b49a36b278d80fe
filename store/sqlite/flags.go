package sqlite

import (
	"context"

	"postrider/store"
)

// SetFlags changes flags. It writes each page that holds a change once.
func (e *Engine) SetFlags(ctx context.Context, box store.MailboxID, uids store.UIDSet, c store.FlagChange, unchangedSince store.ModSeq) (store.FlagResult, error) {
	c.Flags = cleanFlags(c.Flags)
	var result store.FlagResult
	err := e.writeFreeing(ctx, "set flags", func(t *tx) error {
		s := &flagSetter{t: t, box: box, change: c, since: int64(unchangedSince)}
		var was store.Mailbox
		var floor int64
		if err := mailboxByID(t, box, &was, &floor); err != nil {
			return wrap("set flags", err)
		}
		err := walkPagesOf(t, box, uids, was.Total, func(p *stretch) error { return s.set(p, uids) })
		if err != nil {
			return err
		}
		result = store.FlagResult{ModSeq: store.ModSeq(s.modseq), Modified: s.modified}
		if err := s.finish(); err != nil || s.modseq == 0 || s.many {
			return err
		}
		result.Before, result.Delta.Changed = was.ModSeq, s.changed
		return mailboxByID(t, box, &result.Delta.Mailbox, &floor)
	})
	if err != nil {
		return store.FlagResult{}, err
	}
	return result, nil
}

// flagSetter is one SetFlags under way.
type flagSetter struct {
	t        *tx
	box      store.MailboxID
	change   store.FlagChange
	since    int64
	modseq   int64 // of this change; 0 until something changes
	diff     counts
	modified store.UIDSet
	changed  store.Rows // the messages as they are now, unless there are many
	many     bool
}

// maxFlagRows bounds how many changed messages a result tells of.
const maxFlagRows = 100_000

// flagKey is what flags of messages in one stretch are known by.
type flagKey struct {
	system store.System
	set    uint32
}

// set changes the messages of uids in the pages of p and writes those pages.
func (s *flagSetter) set(p *stretch, uids store.UIDSet) error {
	changed := make([]int, 0, p.rows.Len())
	known := map[flagKey]flagKey{}
	var was, now flagKey // of the message before; neighbours mostly have the same
	valid := false
	p.each(uids, func(i int) {
		if int64(p.rows.ModSeq[i]) > s.since { // RFC 7162 §3.1.3
			s.modified = addUID(s.modified, p.rows.UID[i])
			return
		}
		if k := (flagKey{p.rows.System[i], p.rows.Set[i]}); !valid || k != was {
			was, valid = k, true
			var ok bool
			if now, ok = known[k]; !ok {
				f := apply(p.rows.Flags(i), s.change)
				now = flagKey{f.System, p.rows.Number(f.Keywords)}
				known[k] = now
			}
		}
		if now == was {
			return
		}
		changed = append(changed, i)
		s.diff.add(countOf(was.system, p.rows.Size[i]), -1)
		s.diff.add(countOf(now.system, p.rows.Size[i]), 1)
		p.rows.System[i], p.rows.Set[i] = now.system, now.set
	})
	if len(changed) == 0 {
		return nil
	}
	if s.modseq == 0 {
		modseq, err := bumpAccount(s.t, int64(s.box.Account), 0, 0)
		if err != nil {
			return err
		}
		s.modseq = modseq
	}
	for _, i := range changed {
		p.rows.ModSeq[i] = store.ModSeq(s.modseq)
	}
	if err := s.write(p, changed); err != nil {
		return err
	}
	s.note(p, changed)
	return nil
}

// note keeps the changed messages of p for the result.
func (s *flagSetter) note(p *stretch, changed []int) {
	switch {
	case s.many:
	case s.changed.Len()+len(changed) > maxFlagRows:
		s.many, s.changed = true, store.Rows{}
	case s.changed.Len() == 0 && len(changed) == p.rows.Len():
		s.changed = p.rows // which nobody needs any more
	default:
		s.changed.Grow(len(changed))
		for len(changed) > 0 {
			n := 1
			for n < len(changed) && changed[n] == changed[0]+n {
				n++
			}
			s.changed.AppendRange(&p.rows, changed[0], changed[0]+n)
			changed = changed[n:]
		}
	}
}

// write writes the pages that hold changed messages.
func (s *flagSetter) write(p *stretch, changed []int) error {
	w := &pageWriter{t: s.t, box: s.box}
	for n := range p.pages {
		end := p.end(n)
		if len(changed) == 0 || changed[0] >= end {
			continue
		}
		for len(changed) > 0 && changed[0] < end {
			changed = changed[1:]
		}
		if err := w.update(p.pages[n].lo, &p.rows, p.pages[n].first, end); err != nil {
			return err
		}
	}
	return nil
}

func (s *flagSetter) finish() error {
	if s.modseq == 0 {
		return nil
	}
	return changeMailbox(s.t, s.box, s.modseq, s.diff)
}

// changeMailbox adds to a mailbox's counters, sets its modseq and announces
// it.
func changeMailbox(t *tx, box store.MailboxID, modseq int64, c counts) error {
	err := t.run(`UPDATE mailbox SET modseq = ?3, total = total + ?4, unseen = unseen + ?5, deleted = deleted + ?6,
		bytes = bytes + ?7, deleted_bytes = deleted_bytes + ?8 WHERE acct = ?1 AND id = ?2`,
		int64(box.Account), box.N, modseq, c.total, c.unseen, c.deleted, c.bytes, c.deletedBytes)
	t.publish(store.Change{Kind: store.MailboxChanged, Account: box.Account, Mailbox: box, ModSeq: store.ModSeq(modseq)})
	return err
}

// addUID adds a UID above all of s.
func addUID(s store.UIDSet, u store.UID) store.UIDSet {
	if n := len(s); n > 0 && s[n-1].Hi+1 == u {
		s[n-1].Hi = u
		return s
	}
	return append(s, store.UIDRange{Lo: u, Hi: u})
}
