package imapd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postrider/imapd/criteria"
	"postrider/search"
	"postrider/store"
)

const (
	// lookEvery is how often a search looks whether its client is still there.
	lookEvery = 250 * time.Millisecond
	// defaultProgress is how often it tells how far it is (RFC 9585 §3).
	defaultProgress = 10 * time.Second
	// maxVerdicts is how much the index may say for one search.
	maxVerdicts = 64 << 20
)

// matching returns the indices of the messages that match a key. What the view
// and the index cannot decide is decided in a second pass, on what is stored.
// within, if it is not nil, are the only messages that are looked at.
func (s *session) matching(g *ground, k *criteria.Key, within []int) ([]int, error) {
	m := g.compile(k, s.srv.o.Now())
	s.askIndex(g, m)
	return s.run(g, m, within)
}

// run is matching with a key that is ready.
func (s *session) run(g *ground, m *matcher, within []int) ([]int, error) {
	var found, open []int
	c := candidate{stage: inView}
	look := func(i int) {
		c.index, c.uid = i, g.view.UID(i)
		if m.rows {
			c.row = g.row(i)
		}
		switch m.match(&m.root, &c) {
		case yes:
			found = append(found, i)
		case unknown:
			open = append(open, i)
		}
	}
	if within != nil {
		for _, i := range within {
			look(i)
		}
	} else {
		for i := range g.view.Len() {
			look(i)
		}
	}
	if len(open) == 0 {
		return found, nil
	}
	more, err := s.matchContent(g, m, open)
	if err != nil {
		return nil, err
	}
	if len(more) > 0 {
		found = append(found, more...)
		slices.Sort(found)
	}
	return found, nil
}

// askIndex has the index say what it knows of the texts that are sought.
func (s *session) askIndex(g *ground, m *matcher) {
	if len(m.terms) == 0 || s.srv.o.Index == nil {
		return
	}
	// A verdict for each term and message: of very many, the first terms.
	terms := make([]search.Term, min(len(m.terms), 1+maxVerdicts/max(g.view.Len(), 1)))
	for i := range terms {
		terms[i] = m.terms[i].Term
	}
	known := s.srv.o.Index.Narrow(s.c.ctx, g.id.Account, g.view.EmailIDs(), terms)
	for i := range known {
		m.terms[i].known = known[i]
	}
}

// searchPiece is how many messages a goroutine takes at a time of those that a
// search has to read, and searchers how many of them may read for one search.
const (
	searchPiece = 256
	searchers   = 2
)

// matchContent returns those of the messages at the indices open that match. A
// message that has been expunged does not.
func (s *session) matchContent(g *ground, m *matcher, open []int) ([]int, error) {
	ctx, cancel := context.WithCancelCause(s.c.ctx)
	defer cancel(nil)
	need := store.NeedMeta
	if len(m.terms) > 0 {
		need |= store.NeedBody
	}
	verdicts := make([]bool, len(open))
	pieces := slices.Collect(slices.Chunk(open, searchPiece))
	var taken, done atomic.Int64
	read := func(look func() error) {
		r := &contentReader{g: g, m: m, look: look, done: &done}
		for ctx.Err() == nil {
			n := int(taken.Add(1)) - 1
			if n >= len(pieces) {
				return
			}
			r.open, r.verdicts = pieces[n], verdicts[n*searchPiece:]
			if err := s.srv.o.Store.Fetch(ctx, g.id, g.uids(pieces[n]), need, r.message); err != nil {
				cancel(err) // the first says why
			}
		}
	}
	var others sync.WaitGroup
	for range min(searchers, len(pieces)) - 1 {
		others.Go(func() { read(func() error { return nil }) })
	}
	p := s.newProgress("Searching", len(open))
	read(func() error { return p.look(int(done.Load())) })
	others.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, s.wireError(err, "search")
	}
	var found []int
	for k, matches := range verdicts {
		if matches {
			found = append(found, open[k])
		}
	}
	return found, nil
}

// contentReader decides messages that have been read; one goroutine's.
type contentReader struct {
	g        *ground
	m        *matcher
	open     []int  // indices of the messages to decide
	verdicts []bool // of those
	text     search.Reader
	found    []verdict
	look     func() error // whether the client is still there
	done     *atomic.Int64
}

func (r *contentReader) message(c *store.Content) error {
	i, ok := r.g.view.Index(c.UID)
	if !ok {
		return nil
	}
	at, ok := slices.BinarySearch(r.open, i)
	if !ok {
		return nil
	}
	r.done.Add(1)
	if err := r.look(); err != nil {
		return err
	}
	cand := &candidate{index: i, uid: c.UID, content: c, text: &r.text, hasSent: unknown, found: r.newFound()}
	if r.m.rows {
		cand.row = r.g.row(i)
	}
	r.text.Message(c)
	r.verdicts[at] = r.m.matches(cand)
	return cand.err
}

func (r *contentReader) newFound() []verdict {
	if r.found == nil {
		r.found = make([]verdict, len(r.m.terms))
	}
	for i := range r.found {
		r.found[i] = unknown
	}
	return r.found
}

// progress looks after a client that waits for long work: whether it is still
// there, and that it knows how far the work is (RFC 9585).
type progress struct {
	s      *session
	doing  string
	total  int
	looked time.Time
	told   time.Time
	every  time.Duration
}

func (s *session) newProgress(doing string, total int) *progress {
	now := time.Now()
	return &progress{s: s, doing: doing, total: total, looked: now, told: now, every: s.srv.o.ProgressEvery}
}

// look is called often, with how much is done. It fails if the client has
// gone.
func (p *progress) look(done int) error {
	now := time.Now()
	if now.Sub(p.looked) < min(lookEvery, p.every) {
		return nil
	}
	p.looked = now
	if p.s.c.left() {
		return errGone
	}
	if now.Sub(p.told) >= p.every {
		p.told = now
		p.s.c.write(fmt.Sprintf("* OK [INPROGRESS (%s %d %d)] %s\r\n", quoted(p.s.c.req.tag), done, p.total, p.doing))
		if err := p.s.c.flush(); err != nil {
			return errGone
		}
	}
	return nil
}

// quoted writes a tag, which has neither quotes nor backslashes, as a string.
func quoted(tag string) string { return `"` + tag + `"` }
