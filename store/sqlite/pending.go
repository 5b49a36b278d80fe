package sqlite

import (
	"strings"

	"postrider/store"
)

// pending is what the open transaction's operations have done and flush
// writes for all of them together: rows that are only ever added, and that
// nothing but the functions of this file looks for before.
type pending struct {
	bodies []pendingBody
	refs   []pendingRef
	known  map[refKey]int64 // threads of refs
	ops    []pendingOp
	done   map[opKey]int // index in ops

	journeys []pendingJourney
}

type pendingBody struct {
	*newBody
	refs int
}

type refKey struct{ acct, hash int64 }

type pendingRef struct {
	refKey
	thread, at int64
}

type opKey struct {
	acct int64
	op   string
}

type pendingOp struct {
	opKey
	kind   string
	result []byte
	at     int64
}

// addBody has a body written that refs rows refer to.
func (f *filing) addBody(n *newBody, refs int) {
	was := len(f.bodies)
	f.undo = append(f.undo, func() { f.bodies = f.bodies[:was] })
	f.bodies = append(f.bodies, pendingBody{n, refs})
}

// addRef has a Message-ID noted as one of a thread.
func (f *filing) addRef(r pendingRef) {
	was := len(f.refs)
	f.undo = append(f.undo, func() {
		f.refs = f.refs[:was]
		delete(f.known, r.refKey)
	})
	if f.known == nil {
		f.known = map[refKey]int64{}
	}
	f.refs = append(f.refs, r)
	f.known[r.refKey] = r.thread
}

// addOp has it noted what an operation did.
func (f *filing) addOp(o pendingOp) {
	was := len(f.ops)
	f.undo = append(f.undo, func() {
		f.ops = f.ops[:was]
		delete(f.done, o.opKey)
	})
	if f.done == nil {
		f.done = map[opKey]int{}
	}
	f.done[o.opKey] = was
	f.ops = append(f.ops, o)
}

// opOf returns what is noted of an operation and not written yet, nil if
// nothing is. f may be nil.
func (f *filing) opOf(acct int64, op store.OpID) (kind string, result []byte) {
	if f == nil {
		return "", nil
	}
	i, ok := f.done[opKey{acct, string(op)}]
	if !ok {
		return "", nil
	}
	return f.ops[i].kind, f.ops[i].result
}

// write writes all rows.
func (p *pending) write(t *tx) error {
	err := insertRows(t, "INSERT INTO body (id, size, place, seg, off, hash, meta) VALUES ", 7, len(p.bodies), func(in []any, i int) []any {
		n := &p.bodies[i]
		return append(in, n.ID, n.Size, n.place, n.loc.Seg, n.loc.Off, n.Hash[:], n.meta)
	})
	for i := 0; i < len(p.bodies) && err == nil; i++ {
		n := &p.bodies[i]
		if n.place == placeInline {
			err = t.run("INSERT INTO body_data (id, data) VALUES (?1, ?2)", n.ID, n.data)
		}
		if n.refs > 1 && err == nil {
			err = t.run("INSERT INTO body_ref (id, refs) VALUES (?1, ?2)", n.ID, n.refs)
		}
	}
	if err == nil {
		err = insertRows(t, "INSERT INTO msgref (acct, hash, thread, at) VALUES ", 4, len(p.refs), func(in []any, i int) []any {
			r := &p.refs[i]
			return append(in, r.acct, r.hash, r.thread, r.at)
		})
	}
	if err == nil {
		err = insertRows(t, "INSERT INTO op (acct, op, kind, result, at) VALUES ", 5, len(p.ops), func(in []any, i int) []any {
			o := &p.ops[i]
			return append(in, o.acct, o.op, o.kind, o.result, o.at)
		})
	}
	if err == nil {
		err = insertRows(t, insertJourneys, 4, len(p.journeys), func(in []any, i int) []any {
			j := &p.journeys[i]
			return append(in, j.id, j.n, j.hash, string(j.data))
		})
	}
	p.empty()
	return err
}

// empty forgets all rows, written or not.
func (p *pending) empty() {
	clear(p.bodies) // they are large
	clear(p.ops)
	clear(p.journeys)
	p.bodies, p.refs, p.ops, p.journeys = p.bodies[:0], p.refs[:0], p.ops[:0], p.journeys[:0]
	clear(p.known)
	clear(p.done)
}

// rowsAtOnce is how many rows one statement inserts at most.
const rowsAtOnce = 8

// insertText names a statement of insertRows.
type insertText struct {
	head string
	rows int
}

// insertRows inserts n rows of so many columns, several with one statement.
func insertRows(t *tx, head string, columns, n int, row func(in []any, i int) []any) error {
	in := make([]any, 0, rowsAtOnce*columns)
	for i := 0; i < n; {
		rows := min(n-i, rowsAtOnce)
		in = in[:0]
		for range rows {
			in = row(in, i)
			i++
		}
		if err := t.run(t.insertText(head, columns, rows), in...); err != nil {
			return err
		}
	}
	return nil
}

// insertText returns the text of a statement that inserts rows.
func (c *conn) insertText(head string, columns, rows int) string {
	key := insertText{head, rows}
	if text, ok := c.inserts[key]; ok {
		return text
	}
	one := "(" + strings.Repeat("?, ", columns-1) + "?)"
	text := head + strings.Repeat(one+", ", rows-1) + one
	if c.inserts == nil {
		c.inserts = map[insertText]string{}
	}
	c.inserts[key] = text
	return text
}
