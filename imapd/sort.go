package imapd

import (
	"postrider/imapd/criteria"
	"postrider/imapd/order"
	"postrider/imapd/wire"
)

// maxSortCriteria is how many criteria a SORT may have.
const maxSortCriteria = 32

// cmdSort answers SORT (RFC 5256 §3) with the return options of ESORT (RFC 5267
// §3).
func (s *session) cmdSort(d *wire.Decoder) error {
	d.SP()
	q := parseQuery(d, s.byUID())
	q.sort = parseSortCriteria(d)
	d.SP()
	q.p = criteria.ParseCriteria(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	return s.search(q)
}

// parseSortCriteria reads sort-criteria.
func parseSortCriteria(d *wire.Decoder) []order.Criterion {
	var list []order.Criterion
	d.List(func() {
		var c order.Criterion
		word := d.Keyword()
		if word == "REVERSE" {
			c.Reverse = true
			d.SP()
			word = d.Keyword()
		}
		key, ok := order.Keys[word]
		if !ok {
			d.Fail("There is no such sort criterion")
		}
		c.Key = key
		if list = append(list, c); len(list) > maxSortCriteria {
			d.Limit("LIMIT", "There are too many sort criteria")
		}
	})
	if len(list) == 0 {
		d.Fail("A sort criterion is missing")
	}
	return list
}

// sortResults puts what was found in order. Messages that have been expunged
// meanwhile, of which the client does not know yet, may stand anywhere.
func (s *session) sortResults(r *results, criteria []order.Criterion) error {
	sorted, err := s.orderOf(r, criteria)
	if err != nil {
		return err
	}
	list := make([]int, len(r.list))
	var scores []int
	if r.scores != nil {
		scores = make([]int, len(list))
	}
	for k, i := range sorted {
		list[k] = r.list[i]
		if scores != nil {
			scores[k] = r.scores[i]
		}
	}
	r.list, r.scores = list, scores
	return nil
}

// orderOf returns the order of what was found. If that is all of a mailbox, and
// its relevance does not count, it is remembered.
func (s *session) orderOf(r *results, criteria []order.Criterion) ([]int32, error) {
	whole := len(r.list) == r.g.view.Len() && r.scores == nil
	if whole {
		if sorted := s.srv.sorted.get(r.g.view, criteria); sorted != nil {
			return sorted, nil
		}
	}
	keys, err := s.sortKeys(r, criteria)
	if err != nil {
		return nil, err
	}
	columns := make([]order.Column, len(criteria))
	for k, c := range criteria {
		columns[k] = r.column(c, keys)
	}
	sorted := order.Sort(len(r.list), columns)
	if whole {
		s.srv.sorted.put(r.g.view, criteria, sorted)
	}
	return sorted, nil
}

// sortKeys reads the keys of the messages found, if a criterion needs them.
func (s *session) sortKeys(r *results, criteria []order.Criterion) ([]sortKey, error) {
	for _, c := range criteria {
		switch c.Key {
		case order.Arrival, order.Size, order.Relevancy:
		default:
			keys, err := s.readKeys(r.g, r.list)
			if err != nil {
				return nil, err
			}
			return keys, nil
		}
	}
	return nil, nil
}

// column is what one criterion compares.
func (r *results) column(c order.Criterion, keys []sortKey) order.Column {
	col := order.Column{Reverse: c.Reverse}
	number := func(of func(k, i int) int64) {
		col.Numbers = make([]int64, len(r.list))
		for k, i := range r.list {
			col.Numbers[k] = of(k, i)
		}
	}
	switch c.Key {
	case order.Arrival:
		number(func(_, i int) int64 { return r.g.row(i).Received.Unix() })
	case order.Size:
		number(func(_, i int) int64 { return r.g.row(i).Size })
	case order.Relevancy: // the most relevant first (RFC 6203 §6)
		number(func(k, _ int) int64 { return -int64(r.scores[k]) })
	case order.Date:
		number(func(k, i int) int64 { return keys[k].sent(r.g, i) })
	default:
		col.Texts = make([][]byte, len(r.list))
		for k := range keys {
			col.Texts[k] = keys[k].text(c.Key)
		}
	}
	return col
}
