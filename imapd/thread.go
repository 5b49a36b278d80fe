package imapd

import (
	"postrider/imapd/criteria"
	"postrider/imapd/order"
	"postrider/imapd/wire"
)

// cmdThread answers THREAD (RFC 5256 §3).
func (s *session) cmdThread(d *wire.Decoder) error {
	d.SP()
	algorithm, ok := order.Algorithms[d.Keyword()]
	if !ok {
		d.Fail("There is no such threading algorithm")
	}
	d.SP()
	q := &query{p: criteria.ParseCriteria(d), byUID: s.byUID()}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if err := s.allowed(q); err != nil {
		return err
	}
	if q.p.Unknown {
		return errCharset
	}
	if err := s.refresh(false); err != nil {
		return err
	}
	g := s.selectedGround()
	found, err := s.matching(g, &q.p.Key, nil)
	if err != nil {
		return err
	}
	keys, err := s.readKeys(g, found)
	if err != nil {
		return err
	}
	messages := make([]order.Message, len(found))
	for k, i := range found {
		messages[k] = keys[k].message(g, i)
	}
	forest := order.Thread(algorithm, messages)
	e := newEncoder(s.c)
	e.Text("* THREAD")
	first := " "
	r := &results{g: g, byUID: q.byUID}
	for root := range forest.Threads() {
		e.Text(first)
		first = ""
		e.Raw(forest.AppendThread(e.AvailableBuffer(), root, func(k int) uint32 { return r.number(found[k]) }))
		e.Relieve()
	}
	e.CRLF()
	e.Flush()
	return nil
}
