package imapd

import (
	"slices"

	"postrider/imapd/criteria"
	"postrider/imapd/order"
	"postrider/imapd/wire"
	"postrider/store"
)

// query is what a SEARCH or SORT asks for.
type query struct {
	ret   criteria.Return
	p     criteria.Program
	sort  []order.Criterion // nil for SEARCH
	byUID bool              // numbers in the answer are UIDs
	fetch *fetchItems       // of messages that UPDATE tells of, nil for nothing
}

// parseQuery begins to read one: what RETURN asks for.
func parseQuery(d *wire.Decoder, byUID bool) *query {
	q := &query{byUID: byUID}
	q.ret = criteria.ParseReturn(d, func() {
		items := parseFetchItems(d)
		q.fetch = &items
	})
	return q
}

// Refusals of searches.
var (
	errCharset   = no("BADCHARSET (US-ASCII UTF-8)", "The charset is unknown")
	errLabelled  = badCommand("All texts are UTF-8, and CHARSET has no place")
	errRelevancy = badCommand("RELEVANCY has a meaning only with FUZZY")
	errTag       = badCommand("The tag is in use by another search with UPDATE")
)

// cmdSearch answers SEARCH (RFC 9051 §6.4.4).
func (s *session) cmdSearch(d *wire.Decoder) error {
	d.SP()
	q := parseQuery(d, s.byUID())
	q.p = criteria.ParseProgram(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	return s.search(q)
}

// search answers a SEARCH or SORT. The messages are those that the client
// knows; what it does not know yet is told before the result.
func (s *session) search(q *query) error {
	if err := s.allowed(q); err != nil {
		return err
	}
	err := s.answer(q)
	if err != nil && q.ret.Save {
		s.saved = nil // RFC 5182 §2.1
	}
	return err
}

// allowed refuses with BAD what the grammar allows but a rule does not.
func (s *session) allowed(q *query) error {
	switch {
	case s.enabled&uidOnly != 0 && (!q.byUID || q.p.Key.Numbered()): // RFC 9586 §3
		return errUIDRequired
	case q.p.Labelled && s.enabled&utf8Accept != 0: // RFC 6855 §3
		return errLabelled
	case q.ret.Relevancy && !q.p.Key.Has(criteria.Fuzzy),
		!q.p.Key.Has(criteria.Fuzzy) && slices.ContainsFunc(q.sort, func(c order.Criterion) bool { return c.Key == order.Relevancy }):
		return errRelevancy // RFC 6203 §4, §6
	case q.ret.Update && s.findContext(s.c.req.tag) != nil:
		return errTag // RFC 5267 §4.3
	}
	return nil
}

func (s *session) answer(q *query) error {
	if q.p.Unknown {
		return errCharset
	}
	if q.p.Key.Has(criteria.ModSeq) {
		s.knowsModSeq() // from now on it is told them (RFC 7162 §3.1)
	}
	if err := s.refresh(false); err != nil {
		return err
	}
	g := s.selectedGround()
	r, err := s.find(g, q)
	if err != nil {
		return err
	}
	if q.ret.Save {
		s.saved = r.toSave(q)
	}
	e := newEncoder(s.c)
	if q.ret.Update {
		s.openContext(e, g, q, r)
	}
	switch {
	case q.ret.Given || q.sort == nil && s.rev2(): // RFC 9051 §6.4.4
		if s.saysSomething(q) {
			e.esearch(s.c.req.tag, q, r)
		}
	case q.sort != nil:
		e.numbers("SORT", r)
	default:
		e.numbers("SEARCH", r)
	}
	e.Flush()
	return nil
}

// saysSomething tells whether a search has an ESEARCH response. One that only
// saves has none (RFC 5182 §2.1).
func (s *session) saysSomething(q *query) bool {
	o := &q.ret
	return !o.Save || o.Min || o.Max || o.All || o.Count || o.Partial != nil || o.Update || o.Relevancy
}

// results are the messages that a search has found.
type results struct {
	g      *ground
	byUID  bool
	list   []int  // indices, in the order that was asked for
	scores []int  // of each, 1 to 100; nil if nobody asks
	modSeq int64  // 0 if nobody asks
	box    string // the mailbox's name as it is told; empty if it is not
}

// number is how a message is told.
func (r *results) number(i int) uint32 {
	if r.byUID {
		return uint32(r.g.view.UID(i))
	}
	return uint32(i) + 1
}

// find searches a mailbox.
func (s *session) find(g *ground, q *query) (*results, error) {
	list, err := s.matching(g, &q.p.Key, nil)
	if err != nil {
		return nil, err
	}
	r := &results{g: g, byUID: q.byUID, list: list}
	wantsScores := q.ret.Relevancy || slices.ContainsFunc(q.sort, func(c order.Criterion) bool { return c.Key == order.Relevancy })
	if wantsScores {
		if r.scores, err = s.scores(g, &q.p.Key, list); err != nil {
			return nil, err
		}
	}
	if q.p.Key.Has(criteria.ModSeq) {
		r.modSeq = r.highestModSeq(&q.ret)
	}
	if q.sort != nil {
		if err := s.sortResults(r, q.sort); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// highestModSeq is the MODSEQ of the answer: of all that was found, or of the
// lowest and highest message if only those are asked for (RFC 7162 §3.1.5 and
// §3.1.6).
func (r *results) highestModSeq(o *criteria.Return) int64 {
	list := r.list
	if n := len(list); n > 0 && (o.Min || o.Max) && !o.All && !o.Count && o.Partial == nil {
		ends := []int{list[0], list[n-1]}
		switch {
		case !o.Max:
			ends = ends[:1]
		case !o.Min:
			ends = ends[1:]
		}
		list = ends
	}
	highest := int64(0)
	for _, i := range list {
		highest = max(highest, int64(r.g.row(i).ModSeq))
	}
	return highest
}

// toSave is what $ becomes: everything that was found, unless neither ALL nor
// COUNT but MIN, MAX or PARTIAL is asked for (RFC 5182 §2.4, RFC 9394 §3.2).
func (r *results) toSave(q *query) []store.UID {
	o := &q.ret
	list := r.list
	if n := len(list); n > 0 && !o.All && !o.Count && (o.Min || o.Max || o.Partial != nil) {
		list = nil
		if o.Partial != nil {
			from, to := o.Partial.Cut(n)
			list = append(list, r.list[from:to]...)
		}
		if o.Min {
			list = append(list, r.list[0])
		}
		if o.Max {
			list = append(list, r.list[n-1])
		}
	}
	uids := make([]store.UID, len(list))
	for k, i := range list {
		uids[k] = r.g.view.UID(i)
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}

// numbers writes an untagged SEARCH or SORT response (RFC 3501 §7.2.5, RFC 5256
// §4, RFC 7162 §3.1.5).
func (e *encoder) numbers(name string, r *results) {
	e.Text("* ")
	e.Text(name)
	for _, i := range r.list {
		e.SP()
		e.Number(int64(r.number(i)))
	}
	if r.modSeq > 0 {
		e.Text(" (MODSEQ ")
		e.Number(r.modSeq)
		e.Special(')')
	}
	e.CRLF()
}

// esearch writes an ESEARCH response (RFC 9051 §7.3.4).
func (e *encoder) esearch(tag string, q *query, r *results) {
	e.esearchHead(tag, r)
	n := len(r.list)
	if q.ret.Min && n > 0 {
		e.Text(" MIN ")
		e.Number(int64(r.number(r.list[0])))
	}
	if q.ret.Max && n > 0 {
		e.Text(" MAX ")
		e.Number(int64(r.number(r.list[n-1])))
	}
	from, to := 0, n
	if (q.ret.All || !q.ret.Given) && n > 0 {
		e.Text(" ALL ")
		e.set(r, r.list)
	}
	if q.ret.Count {
		e.Text(" COUNT ")
		e.Number(int64(n))
	}
	if p := q.ret.Partial; p != nil {
		from, to = p.Cut(n)
		e.partial(*p)
		if from == to {
			e.NIL()
		} else {
			e.set(r, r.list[from:to])
		}
		e.Special(')')
	}
	if q.ret.Relevancy {
		e.Text(" RELEVANCY (")
		for k, score := range r.scores[from:to] {
			if k > 0 {
				e.SP()
			}
			e.Number(int64(score))
		}
		e.Special(')')
	}
	if r.modSeq > 0 {
		e.Text(" MODSEQ ")
		e.Number(r.modSeq)
	}
	e.CRLF()
}

// esearchHead writes what an ESEARCH response begins with. The tag is in
// quotes: Outlook does not know it otherwise.
func (e *encoder) esearchHead(tag string, r *results) {
	e.Text("* ESEARCH (TAG ")
	e.Text(quoted(tag))
	if r.box != "" { // RFC 7377 §2.1
		e.Text(" MAILBOX ")
		e.Mailbox(r.box)
		e.Text(" UIDVALIDITY ")
		e.Number(int64(r.g.view.Mailbox().UIDValidity))
	}
	e.Special(')')
	if r.byUID {
		e.Text(" UID")
	}
}

// partial writes a PARTIAL item up to its results; the range is told as it was
// asked for (RFC 9394 §3.1).
func (e *encoder) partial(p criteria.Partial) {
	sign := ""
	if p.FromEnd {
		sign = "-"
	}
	e.Text(" PARTIAL (")
	e.Text(sign)
	e.Number(int64(p.A))
	e.Special(':')
	e.Text(sign)
	e.Number(int64(p.B))
	e.SP()
}

// set writes messages as a sequence-set, in their order: only numbers that
// rise by one are joined to a range (RFC 5267 §3.2).
func (e *encoder) set(r *results, list []int) {
	for k := 0; k < len(list); {
		from := r.number(list[k])
		to := from
		next := k + 1
		for next < len(list) && r.number(list[next]) == to+1 {
			to++
			next++
		}
		if k > 0 {
			e.Special(',')
		}
		e.Range(wire.Range{A: from, B: to})
		k = next
	}
}
