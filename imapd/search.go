package imapd

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"postrider/search"
	"postrider/store"
)

// lookEvery is how often a search looks whether its client is still there.
const lookEvery = 250 * time.Millisecond

// search answers SEARCH (RFC 9051 §6.4.4). The messages are those that the
// client knows; what it does not know yet is told before the result.
func (s *session) search(byUID bool, c *imap.SearchCriteria, o *imap.SearchOptions) (*imap.SearchData, error) {
	if err := s.refresh(false); err != nil {
		return nil, err
	}
	found, err := s.matching(c)
	if o.ReturnSave {
		s.save(found, o) // of a search that failed: nothing (RFC 5182 §2.1)
	}
	if err != nil {
		return nil, err
	}
	data := &imap.SearchData{Count: uint32(len(found))}
	uids := make([]store.UID, len(found))
	for n, i := range found {
		uids[n] = s.box.told.UID(i)
	}
	if byUID {
		data.All = toUIDSet(uids)
		if len(uids) > 0 {
			data.Min, data.Max = uint32(uids[0]), uint32(uids[len(uids)-1])
		}
		return data, nil
	}
	var set imap.SeqSet
	for _, i := range found {
		set.AddNum(uint32(i) + 1)
	}
	data.All = set
	if len(found) > 0 {
		data.Min, data.Max = uint32(found[0])+1, uint32(found[len(found)-1])+1
	}
	return data, nil
}

// save keeps the result for $. With MIN and MAX and neither ALL nor COUNT, it
// is only those two (RFC 5182 §2.4).
func (s *session) save(found []int, o *imap.SearchOptions) {
	s.saved = nil
	all := o.ReturnAll || o.ReturnCount || !o.ReturnMin && !o.ReturnMax
	for n, i := range found {
		if all || o.ReturnMin && n == 0 || o.ReturnMax && n == len(found)-1 {
			s.saved = append(s.saved, s.box.told.UID(i))
		}
	}
}

// matching returns the indices in told of the messages that match. What the
// view cannot decide is decided in a second pass, on what is stored.
func (s *session) matching(c *imap.SearchCriteria) ([]int, error) {
	m, err := s.newMatcher(c)
	if err != nil {
		return nil, err
	}
	n := s.box.told.Len()
	s.askIndex(m)
	verdicts := make([]verdict, n)
	var open []int
	usesRow := m.usesRow()
	for i := range n {
		c := candidate{index: i}
		if usesRow {
			c.row, _ = s.box.row(i)
		}
		verdicts[i] = m.match(&c)
		if verdicts[i] == unknown {
			open = append(open, i)
			verdicts[i] = no_
		}
	}
	if len(open) > 0 {
		if err := s.matchContent(m, open, verdicts); err != nil {
			return nil, err
		}
	}
	var found []int
	for i, v := range verdicts {
		if v == yes {
			found = append(found, i)
		}
	}
	return found, nil
}

// askIndex has the index say what it knows of the texts that are sought.
func (s *session) askIndex(m *matcher) {
	list := m.allTerms(nil)
	if len(list) == 0 || s.srv.o.Index == nil {
		return
	}
	terms := make([]search.Term, len(list))
	for i, t := range list {
		terms[i] = t.Term
	}
	known := s.srv.o.Index.Narrow(s.c.ctx, s.box.id.Account, s.box.told.EmailIDs(), terms)
	for i := range known {
		list[i].known = known[i]
	}
}

// searchPiece is how many messages a goroutine takes at a time of those that a
// search has to read, and searchers how many of them may read for one search.
const (
	searchPiece = 256
	searchers   = 2
)

// matchContent decides the messages at the indices open. One that has been
// expunged does not match.
func (s *session) matchContent(m *matcher, open []int, verdicts []verdict) error {
	ctx, cancel := context.WithCancelCause(s.c.ctx)
	defer cancel(nil)
	need := store.NeedMeta
	if len(m.allTerms(nil)) > 0 {
		need |= store.NeedBody
	}
	pieces := slices.Collect(slices.Chunk(open, searchPiece))
	var taken atomic.Int64
	read := func(look func() error) {
		r := &contentReader{s: s, m: m, verdicts: verdicts, look: look}
		for ctx.Err() == nil {
			n := int(taken.Add(1)) - 1
			if n >= len(pieces) {
				return
			}
			if err := s.srv.o.Store.Fetch(ctx, s.box.id, s.box.uids(pieces[n]), need, r.message); err != nil {
				cancel(err) // the first says why
			}
		}
	}
	var others sync.WaitGroup
	for range min(searchers, len(pieces)) - 1 {
		others.Go(func() { read(func() error { return nil }) })
	}
	looked := time.Now()
	read(func() error {
		if now := time.Now(); now.Sub(looked) > lookEvery {
			if looked = now; s.c.left() {
				return errGone
			}
		}
		return nil
	})
	others.Wait()
	return s.wireError(context.Cause(ctx), "search")
}

// contentReader decides messages that have been read; one goroutine's.
type contentReader struct {
	s        *session
	m        *matcher
	verdicts []verdict
	text     search.Reader
	look     func() error // whether the client is still there
}

func (r *contentReader) message(c *store.Content) error {
	i, ok := r.s.box.told.Index(c.UID)
	if !ok {
		return nil
	}
	if err := r.look(); err != nil {
		return err
	}
	row, _ := r.s.box.row(i)
	r.text.Message(c)
	cand := &candidate{index: i, row: row, content: c, text: &r.text}
	r.verdicts[i] = r.m.match(cand)
	return cand.err
}
