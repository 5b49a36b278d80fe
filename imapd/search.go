package imapd

import (
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
	for i := range n {
		r, _ := s.box.row(i)
		verdicts[i] = m.match(&candidate{index: i, row: r})
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

// matchContent decides the messages at the indices open. One that has been
// expunged does not match.
func (s *session) matchContent(m *matcher, open []int, verdicts []verdict) error {
	need := store.NeedMeta | store.NeedBody
	looked := time.Now()
	var text search.Reader
	return s.wireError(s.srv.o.Store.Fetch(s.c.ctx, s.box.id, s.box.uids(open), need, func(c *store.Content) error {
		i, ok := s.box.told.Index(c.UID)
		if !ok {
			return nil
		}
		if now := time.Now(); now.Sub(looked) > lookEvery {
			if looked = now; s.c.left() {
				return errGone
			}
		}
		r, _ := s.box.row(i)
		text.Message(c)
		cand := &candidate{index: i, row: r, content: c, text: &text}
		verdicts[i] = m.match(cand)
		return cand.err
	}), "search")
}
