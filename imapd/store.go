package imapd

import (
	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

// storeFlags answers STORE (RFC 9051 §6.4.6).
func (s *session) storeFlags(set imap.NumSet, f *imap.StoreFlags) error {
	flags, err := parseFlags(f.Flags)
	if err != nil {
		return err
	}
	change := store.FlagChange{Mode: store.FlagsSet, Flags: flags}
	switch f.Op {
	case imap.StoreFlagsAdd:
		change.Mode = store.FlagsAdd
	case imap.StoreFlagsDel:
		change.Mode = store.FlagsRemove
	}
	indices, err := s.resolve(set)
	if err != nil || len(indices) == 0 {
		return err
	}
	if change.Mode == store.FlagsAdd && s.box.overflows(indices, flags.Keywords) {
		return errManyFlags
	}
	_, err = s.srv.o.Store.SetFlags(s.c.ctx, s.box.id, s.box.uids(indices), change, store.Unconditional)
	if err != nil {
		return s.wireError(err, "store")
	}
	return s.tellStored(indices, change, f.Silent)
}

// overflows tells whether a message at one of the indices would have too many
// keywords with these.
func (v *mailboxView) overflows(indices []int, keywords string) bool {
	for _, i := range indices {
		if r, _ := v.row(i); keywords != "" && len(r.Flags.Keywords)+len(keywords) > maxKeywordBytes {
			return true
		}
	}
	return false
}

// tellStored tells the flags of the messages that a STORE named; if silent,
// only of those where the client cannot know the result, because somebody
// else has changed them too.
func (s *session) tellStored(indices []int, change store.FlagChange, silent bool) error {
	newest, err := s.newest()
	if err != nil {
		return err
	}
	e := newEncoder(s.c)
	gone := false
	for _, i := range indices {
		j, ok := newest.Index(s.box.told.UID(i))
		if !ok {
			gone = true
			continue
		}
		r := newest.At(j)
		before, _ := s.box.row(i)
		if !silent || apply(before.Flags, change) != r.Flags {
			s.box.writeFlags(e, i, r)
		} else {
			s.box.announce(e, r.Flags)
		}
		s.box.ahead[r.UID] = r.ModSeq
	}
	e.flush()
	if gone {
		return errExpunged
	}
	return nil
}
