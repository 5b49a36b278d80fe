package search

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// builder makes a block in memory.
type builder struct {
	emails []int64
	marks  []byte
	cols   [columns]struct {
		ends []uint32
		text []byte
	}
	// The lists by gram, in a hash table with open addressing: slot holds
	// the number of a list plus one.
	slots []uint32
	lists []growing
	bytes int
}

// growing is a list that is being made.
type growing struct {
	gram gram
	last int32 // the last message
	b    []byte
}

func newBuilder() *builder {
	b := &builder{slots: make([]uint32, 1<<16)}
	for c := range b.cols {
		b.cols[c].ends = append(b.cols[c].ends, 0)
	}
	return b
}

// isFull tells whether the block should be written.
func (b *builder) isFull() bool { return len(b.emails) == blockDocs || b.bytes >= blockBytes }

func (b *builder) isEmpty() bool { return len(b.emails) == 0 }

// begin starts a message. Its columns come next, each once, then its grams.
func (b *builder) begin(email int64) (doc int) {
	b.emails = append(b.emails, email)
	b.marks = append(b.marks, 0)
	return len(b.emails) - 1
}

// column gives the text of a column of the last message.
func (b *builder) column(c int, text []byte) {
	col := &b.cols[c]
	col.text = append(col.text, text...)
	col.ends = append(col.ends, uint32(len(col.text)))
}

// mark adds marks to the last message.
func (b *builder) mark(m byte) { b.marks[len(b.marks)-1] |= m }

// add says that message doc has a gram. For one gram, messages ascend.
func (b *builder) add(g gram, doc int) {
	i := b.slot(g)
	if b.slots[i] == 0 {
		if len(b.lists) > len(b.slots)/2 {
			b.widen()
			i = b.slot(g)
		}
		b.lists = append(b.lists, growing{gram: g, last: -1})
		b.slots[i] = uint32(len(b.lists))
	}
	l := &b.lists[b.slots[i]-1]
	d := uint64(int32(doc) - l.last - 1)
	if d < 0x80 {
		l.b = append(l.b, byte(d))
		b.bytes++
	} else {
		l.b = binary.AppendUvarint(l.b, d)
		b.bytes += 2
	}
	l.last = int32(doc)
}

// slot finds where a gram is or belongs.
func (b *builder) slot(g gram) int {
	mask := len(b.slots) - 1
	i := int(uint32(g)*2654435761>>8) & mask
	for b.slots[i] != 0 && b.lists[b.slots[i]-1].gram != g {
		i = (i + 1) & mask
	}
	return i
}

func (b *builder) widen() {
	b.slots = make([]uint32, 2*len(b.slots))
	for n := range b.lists {
		b.slots[b.slot(b.lists[n].gram)] = uint32(n + 1)
	}
}

// message adds a message whose texts r has at hand; grams is storage.
func (b *builder) message(r *Reader, grams *gramSet) error {
	grams.reset()
	grams.space = inHeader
	if err := r.headerTexts(grams); err != nil {
		return err
	}
	grams.space = inBody
	if err := r.bodyTexts(grams); err != nil {
		return err
	}
	var texts [columns][]byte
	var marks byte
	for c, name := range columnFields {
		err := r.headerField(name, func(folded []byte) bool {
			texts[c] = append(append(texts[c], fieldMark), folded...)
			return len(texts[c]) <= columnMax
		})
		if err != nil {
			return err
		}
		if len(texts[c]) > columnMax {
			texts[c], marks = texts[c][:columnMax], marks|1<<c
		}
	}
	// Nothing can fail from here on.
	doc := b.begin(r.msg.EmailID)
	for c := range texts {
		b.column(c, texts[c])
	}
	if grams.over {
		b.mark(marks | markNoGrams)
		return nil
	}
	b.mark(marks)
	for _, g := range grams.list {
		b.add(g, doc)
	}
	return nil
}

// merge adds the messages of a block that keep names.
func (b *builder) merge(old *block, keep *docSet) error {
	at := make([]int, len(old.emails)) // where each goes; -1 is nowhere
	first := len(b.emails)
	for doc, email := range old.emails {
		at[doc] = -1
		if keep.has(doc) {
			at[doc] = b.begin(email)
			b.mark(old.marks[doc])
		}
	}
	if len(b.emails) == first {
		return nil
	}
	for c := range columns {
		var buf []byte
		col, err := old.column(c, &buf)
		if err != nil {
			return err
		}
		for doc := range old.emails {
			if at[doc] >= 0 {
				b.column(c, col.of(doc))
			}
		}
	}
	return old.eachList(func(g gram, l postings) error {
		return l.each(func(doc int) {
			if doc < len(at) && at[doc] >= 0 {
				b.add(g, at[doc])
			}
		})
	})
}

// write writes the block as dir/name. A loss of power leaves all of it or
// nothing: its checksums would tell, but who looks after a crash should find
// nothing to complain of.
func (b *builder) write(dir, name string) error {
	path := filepath.Join(dir, name)
	tmp := path + tmpSuffix
	err := writeSynced(tmp, b.encode())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (b *builder) encode() []byte {
	foot := footer{docs: uint32(len(b.emails))}
	out, table := b.pages(append(make([]byte, 0, b.bytes+b.bytes/4+1<<16), magic...))
	for c := range b.cols {
		from := len(out)
		for _, e := range b.cols[c].ends {
			out = binary.LittleEndian.AppendUint32(out, e)
		}
		out = seal(append(out, b.cols[c].text...), from)
		foot.columns[c] = extent{uint32(from), uint32(len(out) - from)}
	}
	from := len(out)
	for _, e := range b.emails {
		out = binary.LittleEndian.AppendUint64(out, uint64(e))
	}
	out = seal(append(out, b.marks...), from)
	foot.doc = extent{uint32(from), uint32(len(out) - from)}
	from = len(out)
	for _, p := range table {
		out = binary.LittleEndian.AppendUint32(out, uint32(p.first))
		out = binary.LittleEndian.AppendUint32(out, p.off)
		out = binary.LittleEndian.AppendUint32(out, p.size)
	}
	out = seal(out, from)
	foot.table = extent{uint32(from), uint32(len(out) - from)}
	return foot.append(out)
}

// pages writes the lists by gram.
func (b *builder) pages(out []byte) ([]byte, []page) {
	slices.SortFunc(b.lists, func(x, y growing) int { return int(x.gram) - int(y.gram) })
	clear(b.slots) // they name the lists by their old order
	var table []page
	from := len(out)
	end := func() {
		if len(out) > from {
			out = seal(out, from)
			table[len(table)-1].extent = extent{uint32(from), uint32(len(out) - from)}
		}
		from = len(out)
	}
	size := (len(b.emails) + 7) / 8
	for i := range b.lists {
		l := &b.lists[i]
		if len(out)-from > pageBytes {
			end()
		}
		if len(out) == from {
			table = append(table, page{first: l.gram})
		}
		out = appendList(out, l.gram, shorter(l.b, size))
	}
	end()
	return out, table
}

// shorter returns a list of distances as bits if those take size bytes only.
func shorter(b []byte, size int) postings {
	l := postings{b: b}
	if len(b) <= size {
		return l
	}
	bits := postings{bits: true, b: make([]byte, size)}
	_ = l.each(func(doc int) { bits.b[doc>>3] |= 1 << (doc & 7) }) // it is our own
	return bits
}
