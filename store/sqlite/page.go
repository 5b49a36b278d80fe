package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"

	"postrider/store"
)

// A page is what views know of up to pageRows neighbouring messages of a
// mailbox, column by column:
//
//	count     uvarint
//	keywords  uvarint n, then n times: uvarint length, text
//	columns   uid, modseq, system, keywords, size, received, saved, email, thread
//	trailer   4 bytes CRC-32C over the mailbox and all that stands before; 0, 0, 0, version
//
// A column is a byte, a base (zigzag varint) and for each message a number of
// 0 to 8 bytes, little-endian, to be added to the base. The low 4 bits of the
// byte are the number's width. With relative set the values are differences:
// saved to received, thread to email. A uid counts from the one before it.
// The trailer is as long as the widest number, so that each of them can be
// read as 8 bytes and masked.
const (
	pageVersion = 1
	pageTrailer = 8
	relative    = 0x10

	// maxPageRows bounds what a page that is read may hold.
	maxPageRows = 1 << 12
)

var errPage = errors.New("page is damaged")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// pageSum ties a page's bytes to its mailbox.
func pageSum(box store.MailboxID, b []byte) uint32 {
	var at [16]byte
	binary.LittleEndian.PutUint64(at[:], uint64(box.Account))
	binary.LittleEndian.PutUint64(at[8:], uint64(box.N))
	return crc32.Update(crc32.Checksum(at[:], castagnoli), castagnoli, b)
}

// appendPage adds to b the page of the messages [i, j) of r, at least one.
func appendPage(b []byte, box store.MailboxID, r *store.Rows, i, j int) []byte {
	start := len(b)
	b = binary.AppendUvarint(b, uint64(j-i))
	b, local := appendKeywords(b, r, r.Set[i:j])
	b = appendUIDs(b, r.UID[i:j])
	b = appendColumn(b, r.ModSeq[i:j])
	b = appendColumn(b, r.System[i:j])
	b = appendColumn(b, local)
	b = appendColumn(b, r.Size[i:j])
	b = appendColumn(b, r.Received[i:j])
	b = appendRelative(b, r.Saved[i:j], r.Received[i:j])
	b = appendColumn(b, r.EmailID[i:j])
	b = appendRelative(b, r.ThreadID[i:j], r.EmailID[i:j])
	b = binary.LittleEndian.AppendUint32(b, pageSum(box, b[start:]))
	return append(b, 0, 0, 0, pageVersion)
}

// appendKeywords writes the sets of keywords that occur, and returns each
// message's number among them, from 1; 0 is none.
func appendKeywords(b []byte, r *store.Rows, sets []uint32) (page []byte, local []uint32) {
	local = make([]uint32, len(sets))
	var distinct []uint32
	for i, set := range sets {
		if set == 0 {
			continue
		}
		n := 0
		for n < len(distinct) && distinct[n] != set {
			n++
		}
		if n == len(distinct) {
			distinct = append(distinct, set)
		}
		local[i] = uint32(n + 1)
	}
	b = binary.AppendUvarint(b, uint64(len(distinct)))
	for _, set := range distinct {
		words := r.Keywords(set)
		b = binary.AppendUvarint(b, uint64(len(words)))
		b = append(b, words...)
	}
	return b, local
}

// number is what a column holds.
type number interface {
	~uint8 | ~uint32 | ~int64
}

// widthOf is how many bytes hold the numbers from 0 to span.
func widthOf(span uint64) int { return (bits.Len64(span) + 7) / 8 }

func appendColumn[T number](b []byte, values []T) []byte {
	lo, hi := bounds(values)
	width := widthOf(uint64(hi) - uint64(lo))
	b = append(b, byte(width))
	b = binary.AppendVarint(b, int64(lo))
	for _, v := range values {
		b = appendNumber(b, uint64(v)-uint64(lo), width)
	}
	return b
}

func bounds[T number](values []T) (lo, hi T) {
	lo, hi = values[0], values[0]
	for _, v := range values {
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi
}

func appendNumber(b []byte, v uint64, width int) []byte {
	n := len(b)
	b = binary.LittleEndian.AppendUint64(b, v)
	return b[:n+width]
}

// appendUIDs writes what each UID is more than the successor of the one
// before it.
func appendUIDs(b []byte, uids []store.UID) []byte {
	gaps := make([]uint32, len(uids))
	for i := 1; i < len(uids); i++ {
		gaps[i] = uint32(uids[i] - uids[i-1] - 1)
	}
	_, hi := bounds(gaps)
	width := widthOf(uint64(hi))
	b = append(b, byte(width))
	b = binary.AppendVarint(b, int64(uids[0]))
	for _, g := range gaps {
		b = appendNumber(b, uint64(g), width)
	}
	return b
}

// appendRelative writes values by themselves or by how they differ from the
// numbers beside, whichever is shorter.
func appendRelative(b []byte, values, beside []int64) []byte {
	lo, hi := bounds(values)
	dlo, dhi := int64(math.MaxInt64), int64(math.MinInt64)
	for i, v := range values {
		d := v - beside[i]
		dlo, dhi = min(dlo, d), max(dhi, d)
	}
	width := widthOf(uint64(dhi) - uint64(dlo))
	if width >= widthOf(uint64(hi)-uint64(lo)) {
		return appendColumn(b, values)
	}
	b = append(b, byte(width)|relative)
	b = binary.AppendVarint(b, dlo)
	for i, v := range values {
		b = appendNumber(b, uint64(v)-uint64(beside[i])-uint64(dlo), width)
	}
	return b
}

// decodePage adds the messages of a page to r. What is damaged, or could not
// have been written, is an error, and r is then as it was.
func decodePage(data []byte, box store.MailboxID, r *store.Rows) error {
	end := len(data) - pageTrailer
	if end < 1 || data[len(data)-1] != pageVersion || binary.LittleEndian.Uint32(data[end:]) != pageSum(box, data[:end]) {
		return errPage
	}
	was := r.Len()
	d := pageDecoder{b: data}
	if err := d.rows(r); err != nil {
		r.Truncate(was)
		return err
	}
	return nil
}

// pageDecoder reads a page's bytes from the front. b ends with the trailer.
type pageDecoder struct {
	b []byte
	n int // messages
}

// left is how many bytes there are before the trailer.
func (d *pageDecoder) left() int { return len(d.b) - pageTrailer }

// rows adds the messages to r.
func (d *pageDecoder) rows(r *store.Rows) error {
	n, err := d.uvarint(maxPageRows)
	if err != nil || n == 0 {
		return errPage
	}
	d.n = int(n)
	was := r.Len()
	r.Extend(d.n)
	if err := d.columns(r, was); err != nil {
		return err
	}
	if d.left() != 0 {
		return errPage
	}
	return nil
}

// columns fills the columns of r from index at on.
func (d *pageDecoder) columns(r *store.Rows, at int) error {
	sets, err := d.keywords(r)
	if err != nil {
		return err
	}
	if err := d.uids(r.UID, at); err != nil {
		return err
	}
	if err := column(d, r.ModSeq[at:], nil, 1, math.MaxInt64); err != nil {
		return err
	}
	if err := column(d, r.System[at:], nil, 0, 31); err != nil {
		return err
	}
	if err := column(d, r.Set[at:], nil, 0, uint32(len(sets))); err != nil {
		return err
	}
	if len(sets) > 0 {
		for i, n := range r.Set[at:] {
			if n > 0 {
				r.Set[at+i] = sets[n-1]
			}
		}
	}
	if err := column(d, r.Size[at:], nil, 0, math.MaxInt64); err != nil {
		return err
	}
	if err := column(d, r.Received[at:], nil, math.MinInt64, math.MaxInt64); err != nil {
		return err
	}
	if err := column(d, r.Saved[at:], r.Received[at:], math.MinInt64, math.MaxInt64); err != nil {
		return err
	}
	if err := column(d, r.EmailID[at:], nil, math.MinInt64, math.MaxInt64); err != nil {
		return err
	}
	return column(d, r.ThreadID[at:], r.EmailID[at:], math.MinInt64, math.MaxInt64)
}

func (d *pageDecoder) uvarint(most uint64) (uint64, error) {
	v, n := binary.Uvarint(d.b[:d.left()])
	if n <= 0 || v > most {
		return 0, errPage
	}
	d.b = d.b[n:]
	return v, nil
}

// keywords reads the sets of keywords and returns their numbers in r.
func (d *pageDecoder) keywords(r *store.Rows) ([]uint32, error) {
	n, err := d.uvarint(uint64(d.n))
	if err != nil || n == 0 {
		return nil, err
	}
	sets := make([]uint32, 0, n)
	for range n {
		size, err := d.uvarint(uint64(d.left()))
		if err != nil || int(size) > d.left() {
			return nil, errPage
		}
		sets = append(sets, r.Number(string(d.b[:size])))
		d.b = d.b[size:]
	}
	return sets, nil
}

// head reads a column's byte and base and returns its numbers, with 8 bytes
// or more behind them.
func (d *pageDecoder) head() (width int, rel bool, base int64, numbers []byte, err error) {
	if d.left() < 2 {
		return 0, false, 0, nil, errPage
	}
	kind := d.b[0]
	width, rel = int(kind&0xf), kind&relative != 0
	base, n := binary.Varint(d.b[1:d.left()])
	if n <= 0 || width > 8 || kind&^(0xf|relative) != 0 || width*d.n > d.left()-1-n {
		return 0, false, 0, nil, errPage
	}
	numbers = d.b[1+n:]
	d.b = numbers[width*d.n:]
	return width, rel, base, numbers, nil
}

// maskOf leaves the low width bytes of a number.
func maskOf(width int) uint64 {
	if width == 0 {
		return 0
	}
	return math.MaxUint64 >> (64 - 8*width)
}

// column reads a column into values. It may be relative to the numbers beside
// if there are any; every value has to be from lo to hi.
func column[T number](d *pageDecoder, values, beside []T, lo, hi T) error {
	width, rel, base, b, err := d.head()
	if err != nil || rel && beside == nil {
		return errPage
	}
	mask := maskOf(width)
	least, most := hi, lo
	for i := range values {
		v := int64(binary.LittleEndian.Uint64(b)&mask) + base
		b = b[width:]
		if rel {
			v += int64(beside[i])
		}
		t := T(v)
		if int64(t) != v {
			return errPage
		}
		values[i] = t
		least, most = min(least, t), max(most, t)
	}
	if least < lo || most > hi {
		return errPage
	}
	return nil
}

// uids reads the UIDs into the column from index at on: they rise, also above
// the one before at.
func (d *pageDecoder) uids(uids []store.UID, at int) error {
	width, rel, first, b, err := d.head()
	if err != nil || rel || first < 1 || first >= int64(store.MaxUID) || at > 0 && first <= int64(uids[at-1]) {
		return errPage
	}
	mask := maskOf(width) & math.MaxUint32
	next := uint64(first)
	for i := at; i < len(uids); i++ {
		next += binary.LittleEndian.Uint64(b) & mask
		b = b[width:]
		uids[i] = store.UID(next)
		next++
	}
	if next > uint64(store.MaxUID) { // wrapped round, or too high
		return errPage
	}
	return nil
}

// pageError says which page is damaged.
func pageError(box store.MailboxID, lo int64, err error) error {
	return fmt.Errorf("mailbox %d/%d: page from UID %d: %w", int64(box.Account), box.N, lo, err)
}
