package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
)

// A block is a file with the index of up to blockDocs messages. It is written
// once and never changed:
//
//	magic
//	pages     lists of the messages that have a gram, by gram
//	columns   one for each of columnFields: the folded texts of that field
//	docs      email id and marks of each message
//	table     where each page is and its first gram
//	footer    where everything is
//
// Each page, column, docs, table and the footer end in a checksum (CRC-32C)
// that is compared whenever they are read, so that a damaged block is noticed
// before it has answered anything. Numbers are little-endian.
const (
	blockDocs  = 4096     // messages of a block
	blockBytes = 12 << 20 // of lists, while it is being made
	pageBytes  = 8 << 10  // about, of a page
)

const magic = "PstIdx\x00\x03"

// columnFields are the header fields whose texts are kept whole.
var columnFields = [...]string{"Subject", "From", "To", "Cc", "Bcc"}

const columns = len(columnFields)

// columnMax is how much of one message's text a column keeps.
const columnMax = 2 << 10

// fieldMark stands before each text of a column. It is in no folded text.
const fieldMark = 0xff

// Marks of a message in a block. The lower bits, one for each column, say that
// the column has less than all.
const markNoGrams = 1 << 7 // its grams are not all there: it may match anything

var errDamaged = errors.New("the search index is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumBytes = 4

// seal puts its checksum behind what b has from from on.
func seal(b []byte, from int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[from:], castagnoli))
}

// unseal returns b without its checksum, if that fits.
func unseal(b []byte) ([]byte, error) {
	n := len(b) - sumBytes
	if n < 0 || crc32.Checksum(b[:n], castagnoli) != binary.LittleEndian.Uint32(b[n:]) {
		return nil, errDamaged
	}
	return b[:n], nil
}

// extent is a range of a block's file, checksum included.
type extent struct{ off, size uint32 }

// footer says where everything is.
type footer struct {
	docs    uint32 // how many
	columns [columns]extent
	doc     extent
	table   extent
}

const footerBytes = len(magic) + 4 + (columns+2)*8 + sumBytes

func (f *footer) extents() []*extent {
	var all []*extent
	for i := range f.columns {
		all = append(all, &f.columns[i])
	}
	return append(all, &f.doc, &f.table)
}

func (f *footer) append(b []byte) []byte {
	from := len(b)
	b = append(b, magic...)
	b = binary.LittleEndian.AppendUint32(b, f.docs)
	for _, x := range f.extents() {
		b = binary.LittleEndian.AppendUint32(b, x.off)
		b = binary.LittleEndian.AppendUint32(b, x.size)
	}
	return seal(b, from)
}

// page is where a page is.
type page struct {
	first gram
	extent
}

// block is an open block. What a search needs to find its way is in memory.
type block struct {
	f      *os.File
	path   string
	foot   footer
	emails []int64
	marks  []byte
	table  []page
}

// openBlock opens a block and reads what is kept in memory.
func openBlock(path string) (*block, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	b := &block{f: f, path: path}
	if err := b.load(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b, nil
}

func (b *block) load() error {
	info, err := b.f.Stat()
	if err != nil {
		return err
	}
	end := info.Size() - int64(footerBytes)
	if end < int64(len(magic)) || info.Size() > 1<<32-1 {
		return errDamaged
	}
	raw, err := b.section(extent{uint32(end), uint32(footerBytes)}, nil)
	if err != nil {
		return err
	}
	if string(raw[:len(magic)]) != magic {
		return errDamaged
	}
	raw = raw[len(magic):]
	b.foot.docs = binary.LittleEndian.Uint32(raw)
	raw = raw[4:]
	for _, x := range b.foot.extents() {
		x.off, x.size = binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[4:])
		if int64(x.off)+int64(x.size) > end {
			return errDamaged
		}
		raw = raw[8:]
	}
	return errors.Join(b.loadDocs(), b.loadTable())
}

func (b *block) loadDocs() error {
	raw, err := b.section(b.foot.doc, nil)
	if err != nil {
		return err
	}
	n := int(b.foot.docs)
	if n == 0 || n > blockDocs || len(raw) != n*9 {
		return errDamaged
	}
	b.emails = make([]int64, n)
	for i := range b.emails {
		b.emails[i] = int64(binary.LittleEndian.Uint64(raw[i*8:]))
	}
	b.marks = raw[n*8:]
	return nil
}

const tableEntry = 12

func (b *block) loadTable() error {
	raw, err := b.section(b.foot.table, nil)
	if err != nil {
		return err
	}
	b.table = make([]page, len(raw)/tableEntry)
	for i := range b.table {
		e := raw[i*tableEntry:]
		b.table[i] = page{gram(binary.LittleEndian.Uint32(e)),
			extent{binary.LittleEndian.Uint32(e[4:]), binary.LittleEndian.Uint32(e[8:])}}
	}
	return nil
}

// memory is about what the block takes while it is open.
func (b *block) memory() int64 { return int64(len(b.emails)*9+len(b.table)*tableEntry) + 1024 }

// section reads a part of the file into buf if that has room, and compares its
// checksum.
func (b *block) section(x extent, buf []byte) ([]byte, error) {
	buf = grow(buf, int(x.size))[:x.size]
	if _, err := b.f.ReadAt(buf, int64(x.off)); err != nil {
		return nil, err
	}
	return unseal(buf)
}

// docSet is a set of a block's messages.
type docSet [blockDocs / 64]uint64

func (s *docSet) add(doc int) { s[doc>>6] |= 1 << (doc & 63) }

func (s *docSet) has(doc int) bool { return s[doc>>6]>>(doc&63)&1 != 0 }

func (s *docSet) isEmpty() bool { return *s == docSet{} }

// having returns the messages that have all grams; buf is storage.
func (b *block) having(grams []gram, buf *[]byte) (all docSet, err error) {
	for i, g := range grams {
		var one docSet
		if err := b.list(g, &one, buf); err != nil {
			return docSet{}, err
		}
		if i == 0 {
			all = one
		} else {
			for w := range all {
				all[w] &= one[w]
			}
		}
		if all.isEmpty() {
			break
		}
	}
	return all, nil
}

// between returns the messages that have one of the grams from first to last;
// buf is storage.
func (b *block) between(first, last gram, buf *[]byte) (any docSet, err error) {
	i, found := slices.BinarySearchFunc(b.table, first, func(p page, g gram) int { return int(p.first) - int(g) })
	if !found && i > 0 {
		i--
	}
	for ; i < len(b.table) && b.table[i].first <= last; i++ {
		raw, err := b.section(b.table[i].extent, *buf)
		if err != nil {
			return docSet{}, err
		}
		*buf = raw
		for len(raw) > 0 {
			at, l, rest, err := cutList(raw)
			if err != nil {
				return docSet{}, err
			}
			if at > last {
				return any, nil
			}
			if at >= first {
				if err := l.each(func(doc int) { any.add(doc) }); err != nil {
					return docSet{}, err
				}
			}
			raw = rest
		}
	}
	return any, nil
}

// list adds the messages that have a gram to a set.
func (b *block) list(g gram, to *docSet, buf *[]byte) error {
	i, found := slices.BinarySearchFunc(b.table, g, func(p page, g gram) int { return int(p.first) - int(g) })
	if !found {
		if i == 0 {
			return nil
		}
		i--
	}
	raw, err := b.section(b.table[i].extent, *buf)
	if err != nil {
		return err
	}
	*buf = raw
	for len(raw) > 0 {
		at, l, rest, err := cutList(raw)
		if err != nil {
			return err
		}
		if at == g {
			return l.each(func(doc int) { to.add(doc) })
		}
		if at > g {
			return nil
		}
		raw = rest
	}
	return nil
}

// eachList calls fn for every gram and its list, ascending by gram.
func (b *block) eachList(fn func(gram, postings) error) error {
	var buf []byte
	for _, p := range b.table {
		raw, err := b.section(p.extent, buf)
		if err != nil {
			return err
		}
		buf = raw
		for len(raw) > 0 {
			g, l, rest, err := cutList(raw)
			if err != nil {
				return err
			}
			if err := fn(g, l); err != nil {
				return err
			}
			raw = rest
		}
	}
	return nil
}

// postings is an encoded list of messages: the distances between them as
// varints, or a bit for each message if that is shorter.
type postings struct {
	bits bool
	b    []byte
}

// cutList takes the first list of a page: its gram, its length and kind, the
// list.
func cutList(raw []byte) (g gram, l postings, rest []byte, err error) {
	if len(raw) < 5 {
		return 0, postings{}, nil, errDamaged
	}
	g = gram(binary.LittleEndian.Uint32(raw))
	head, n := binary.Uvarint(raw[4:])
	raw = raw[4+max(n, 0):]
	if n <= 0 || head>>1 > uint64(len(raw)) {
		return 0, postings{}, nil, errDamaged
	}
	return g, postings{head&1 != 0, raw[:head>>1]}, raw[head>>1:], nil
}

func appendList(b []byte, g gram, l postings) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(g))
	head := uint64(len(l.b)) << 1
	if l.bits {
		head |= 1
	}
	return append(binary.AppendUvarint(b, head), l.b...)
}

// each calls fn for every message of the list, ascending.
func (l postings) each(fn func(doc int)) error {
	if l.bits {
		if len(l.b) > blockDocs/8 {
			return errDamaged
		}
		for i, c := range l.b {
			for bit := range 8 {
				if c>>bit&1 != 0 {
					fn(i*8 + bit)
				}
			}
		}
		return nil
	}
	doc := -1
	for b := l.b; len(b) > 0; {
		d, n := binary.Uvarint(b)
		if n <= 0 || d > blockDocs {
			return errDamaged
		}
		doc += int(d) + 1
		if doc >= blockDocs {
			return errDamaged
		}
		fn(doc)
		b = b[n:]
	}
	return nil
}

// column reads a column: texts are those of message i from ends[i] to
// ends[i+1].
func (b *block) column(c int, buf *[]byte) (column, error) {
	raw, err := b.section(b.foot.columns[c], *buf)
	if err != nil {
		return column{}, err
	}
	*buf = raw
	n := int(b.foot.docs)
	if len(raw) < (n+1)*4 {
		return column{}, errDamaged
	}
	col := column{ends: raw[:(n+1)*4], text: raw[(n+1)*4:]}
	if col.end(n) != len(col.text) {
		return column{}, errDamaged
	}
	return col, nil
}

type column struct{ ends, text []byte }

// end is where the text of message doc begins, and that of doc-1 ends.
func (c *column) end(doc int) int { return int(binary.LittleEndian.Uint32(c.ends[doc*4:])) }

// of returns the text of a message.
func (c *column) of(doc int) []byte { return c.text[c.end(doc):c.end(doc+1)] }
