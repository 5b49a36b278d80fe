package sqlite

import (
	"context"

	"postrider/store"
)

// sameFlags is the messages of a range that have the same flags.
type sameFlags struct {
	flags   store.Flags
	n, size int64
}

// SetFlags changes flags. Its statements grow with the ranges of uids and the
// different sets of flags in them, not with the messages.
func (e *Engine) SetFlags(ctx context.Context, box store.MailboxID, uids store.UIDSet, c store.FlagChange, unchangedSince store.ModSeq) (store.FlagResult, error) {
	c.Flags = cleanFlags(c.Flags)
	var result store.FlagResult
	err := e.writeFreeing(ctx, "set flags", func(t *tx) error {
		s := &flagSetter{t: t, box: box, change: c, since: int64(unchangedSince)}
		if err := mailboxIsThere(t, "set flags", box); err != nil {
			return err
		}
		for _, r := range uids {
			if err := s.setRange(r); err != nil {
				return err
			}
		}
		result = store.FlagResult{ModSeq: store.ModSeq(s.modseq), Modified: s.modified}
		return s.finish()
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
}

func (s *flagSetter) setRange(r store.UIDRange) error {
	in := args(int64(s.box.Account), s.box.N, int64(r.Lo), int64(r.Hi), s.since)
	if s.since < int64(store.Unconditional) {
		if err := s.findModified(in); err != nil {
			return err
		}
	}
	groups, err := s.groups(in)
	if err != nil {
		return err
	}
	for _, g := range groups {
		to := apply(g.flags, s.change)
		if to == g.flags {
			continue
		}
		if err := s.update(in, g, to); err != nil {
			return err
		}
	}
	return nil
}

// findModified notes which messages have changed since (RFC 7162 §3.1.3).
func (s *flagSetter) findModified(in []any) error {
	return s.t.each("SELECT uid FROM message WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4 AND modseq > ?5 ORDER BY uid", in,
		func(scan func(...any) error) error {
			var uid store.UID
			if err := scan(&uid); err != nil {
				return err
			}
			s.modified = addUID(s.modified, uid)
			return nil
		})
}

func (s *flagSetter) groups(in []any) ([]sameFlags, error) {
	var groups []sameFlags
	err := s.t.each(`SELECT flags, keywords, count(*), sum(size) FROM message
		WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4 AND modseq <= ?5 GROUP BY flags, keywords`, in,
		func(scan func(...any) error) error {
			var g sameFlags
			err := scan(&g.flags.System, &g.flags.Keywords, &g.n, &g.size)
			groups = append(groups, g)
			return err
		})
	return groups, err
}

// update gives the messages of one group their new flags.
func (s *flagSetter) update(in []any, g sameFlags, to store.Flags) error {
	if s.modseq == 0 {
		modseq, err := bumpAccount(s.t, int64(s.box.Account), 0, 0)
		if err != nil {
			return err
		}
		s.modseq = modseq
	}
	_, err := s.t.exec(`UPDATE message SET flags = ?6, keywords = ?7, modseq = ?8
		WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4 AND modseq <= ?5 AND flags = ?9 AND keywords = ?10`,
		append(in[:5:5], int64(to.System), to.Keywords, s.modseq, int64(g.flags.System), g.flags.Keywords)...)
	if err != nil {
		return err
	}
	s.diff.add(countOf(to.System, 0), g.n)
	s.diff.add(countOf(g.flags.System, 0), -g.n)
	s.diff.deletedBytes += g.size * (countOf(to.System, 1).deletedBytes - countOf(g.flags.System, 1).deletedBytes)
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
	_, err := t.exec(`UPDATE mailbox SET modseq = ?3, total = total + ?4, unseen = unseen + ?5, deleted = deleted + ?6,
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
