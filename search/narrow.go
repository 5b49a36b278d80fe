package search

import (
	"bytes"
	"sort"
	"strings"
)

// Verdict is what the index knows of whether a message has a text.
type Verdict uint8

const (
	Maybe Verdict = iota // it has to be read
	No
	Yes
)

// Where says where a text is sought.
type Where uint8

const (
	InField Where = iota // in a header field
	InBody               // in the texts of the body, as Reader.HasTexts
	InText               // there or in the header
)

// Term is a text that is sought.
type Term struct {
	In    Where
	Field string // name, for InField
	Text  []byte // folded
}

// answer is what one block has to say of a term; in neither set is No.
type answer struct{ yes, maybe docSet }

func (a *answer) of(doc int) Verdict {
	switch {
	case a.yes.has(doc):
		return Yes
	case a.maybe.has(doc):
		return Maybe
	}
	return No
}

// asker asks blocks; it has the storage for that.
type asker struct{ page, column []byte }

// isOpen tells whether the index knows nothing of a term.
func (t *Term) isOpen() bool {
	if t.In == InField {
		return t.column() < 0 && len(t.grams()) == 0
	}
	return len(t.Text) == 0
}

// column is the column that has the field, -1 if there is none.
func (t *Term) column() int {
	for c, name := range columnFields {
		if strings.EqualFold(t.Field, name) {
			return c
		}
	}
	return -1
}

// grams of a field are those of its name and of its text.
func (t *Term) grams() []gram {
	grams := gramsOf(t.Text, inHeader)
	name := []byte(t.Field)
	if lower(name) == len(name) && len(name) > 0 {
		grams = append(grams, gramsOf(append(name, ": "...), inHeader)...)
	}
	return grams
}

// ask asks a block about a term that is not open.
func (q *asker) ask(b *block, t *Term) (a answer, err error) {
	if t.In == InField {
		if c := t.column(); c >= 0 {
			return q.inColumn(b, c, t.Text)
		}
		a.maybe, err = b.having(t.grams(), &q.page)
		b.addMarked(&a.maybe, markNoGrams)
		return a, err
	}
	found, err := q.having(b, t.Text, inBody)
	if err == nil && t.In == InText {
		var header docSet
		header, err = q.having(b, t.Text, inHeader)
		for w := range found {
			found[w] |= header[w]
		}
	}
	if len(t.Text) <= 3 { // a gram, or the beginning of some
		a.yes = found
	} else {
		a.maybe = found
	}
	b.addMarked(&a.maybe, markNoGrams)
	return a, err
}

// having returns the messages that have what the grams of a text say of it.
func (q *asker) having(b *block, text []byte, space gram) (docSet, error) {
	if len(text) > 2 {
		return b.having(gramsOf(text, space), &q.page)
	}
	first, last := shortRange(text, space)
	return b.between(first, last, &q.page)
}

// addMarked adds the messages that have a mark.
func (b *block) addMarked(to *docSet, mark byte) {
	for doc, m := range b.marks {
		if m&mark != 0 {
			to.add(doc)
		}
	}
}

// inColumn seeks a text in a column, an empty one in the fields that are
// there.
func (q *asker) inColumn(b *block, c int, text []byte) (a answer, err error) {
	col, err := b.column(c, &q.column)
	if err != nil {
		return a, err
	}
	b.addMarked(&a.maybe, 1<<c)
	if len(text) == 0 {
		text = []byte{fieldMark}
	}
	for from := 0; ; {
		i := bytes.Index(col.text[from:], text)
		if i < 0 {
			return a, nil
		}
		i += from
		doc := sort.Search(int(b.foot.docs), func(doc int) bool { return col.end(doc+1) > i })
		if doc == int(b.foot.docs) {
			return a, errDamaged
		}
		end := col.end(doc + 1)
		if i+len(text) <= end { // else it lies across two messages
			a.yes.add(doc)
			from = end
		} else {
			from = i + 1
		}
	}
}
