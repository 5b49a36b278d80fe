package search

import "bytes"

// needle is a folded text that is sought.
type needle struct {
	text  []byte
	found bool
}

// finder is a sink that seeks several texts at once.
type finder struct {
	needles []needle
	// tail is the end of the pieces of a text that goes on, as long as what
	// may lie across.
	tail []byte
}

func (f *finder) seek(texts [][]byte) {
	for _, t := range texts {
		f.needles = append(f.needles, needle{text: t, found: len(t) == 0})
	}
}

// done tells whether all are found.
func (f *finder) done() bool {
	for i := range f.needles {
		if !f.needles[i].found {
			return false
		}
	}
	return true
}

func (f *finder) text(folded []byte, last bool) {
	if len(f.tail) > 0 {
		// What lies across: the tail and as much as can belong to it.
		across := append(f.tail, folded[:min(len(folded), f.longest())]...)
		f.search(across)
		f.tail = across
	}
	f.search(folded)
	if last {
		f.tail = f.tail[:0]
		return
	}
	keep := max(f.longest()-1, 0)
	if len(folded) < keep {
		if len(f.tail) == 0 {
			f.tail = append(f.tail, folded...)
		}
		folded = f.tail // all of what came is in it
	}
	f.tail = append(f.tail[:0], folded[len(folded)-min(keep, len(folded)):]...)
}

func (f *finder) search(folded []byte) {
	for i := range f.needles {
		if n := &f.needles[i]; !n.found {
			n.found = bytes.Contains(folded, n.text)
		}
	}
}

// longest is the length of the longest text that is not found.
func (f *finder) longest() int {
	l := 0
	for i := range f.needles {
		if n := &f.needles[i]; !n.found {
			l = max(l, len(n.text))
		}
	}
	return l
}

// HasField tells whether a field of this name has the folded text; an empty
// text asks only whether the field is there.
func (r *Reader) HasField(name string, text []byte) (bool, error) {
	has := false
	err := r.headerField(name, func(folded []byte) bool {
		has = bytes.Contains(folded, text)
		return !has
	})
	return has, err
}

// HasTexts tells whether the body has all folded texts of body, and header or
// body all of text.
func (r *Reader) HasTexts(body, text [][]byte) (bool, error) {
	var f finder
	err := r.find(&f, body, text)
	return err == nil && f.done(), err
}

// FindTexts calls found for each text that is there: of text, by its index, if
// header or body has it; of body, by its index behind those of text, if the
// body has it. The message is read once, and only as far as something is left
// to find.
func (r *Reader) FindTexts(body, text [][]byte, found func(i int)) error {
	var f finder
	if err := r.find(&f, body, text); err != nil {
		return err
	}
	for i := range f.needles {
		if f.needles[i].found {
			found(i)
		}
	}
	return nil
}

func (r *Reader) find(f *finder, body, text [][]byte) error {
	f.seek(text)
	if len(text) > 0 {
		if err := r.headerTexts(f); err != nil {
			return err
		}
	}
	f.seek(body)
	return r.bodyTexts(f)
}
