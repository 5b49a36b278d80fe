package deflate

import (
	"bufio"
	"errors"
	"io"
	"slices"
)

const (
	window  = 32 << 10 // how far back a match may reach
	maxBits = 15       // of a code

	symbols   = 288 // of literals and lengths, in the fixed code
	distances = 30
	endBlock  = 256
)

// ErrCorrupt says that what is read is not in the format of RFC 1951.
var ErrCorrupt = errors.New("deflate: corrupt input")

// errWait says that nothing more can be known without more input.
var errWait = errors.New("deflate: more input is needed")

// where the Reader stands.
type state uint8

const (
	atHeader state = iota // of a block
	inStored
	inCodes
	atEnd // behind the last block
)

// Reader inflates. It is one goroutine's.
type Reader struct {
	in *bufio.Reader

	bits  uint64 // read and not used, the first ones lowest
	nbits uint

	state  state
	final  bool // this block is the last
	stored int  // bytes to come of a stored block
	lit    *huffman
	dist   *huffman
	own    [2]huffman // of a block with codes of its own

	hist []byte // what was inflated: for matches, and what is not read yet
	read int    // where in hist that begins
	err  error
}

// NewReader makes a Reader of what in has.
func NewReader(in *bufio.Reader) *Reader { return &Reader{in: in} }

// Read waits only while there is nothing to hand out. Behind the end of a line
// it looks at nothing: that may be where the stream ends, see End.
func (r *Reader) Read(p []byte) (int, error) {
	for len(p) > 0 && r.err == nil && len(r.hist)-r.read < len(p) && !r.lineEnds() {
		if err := r.step(); err == errWait {
			if len(r.hist) > r.read {
				break
			}
			r.err = r.more()
		} else {
			r.err = err
		}
	}
	n := copy(p, r.hist[r.read:])
	r.read += n
	r.slide()
	if n == 0 && len(p) > 0 {
		return 0, r.err
	}
	return n, nil
}

// lineEnds tells whether what is not read ends with a line.
func (r *Reader) lineEnds() bool {
	n := len(r.hist)
	return n > r.read && r.hist[n-1] == '\n'
}

// End reads what the peer's flush has put behind the line that it ended its
// stream with, as far as that has come: the end of the block, and an empty one,
// of which a partial flush keeps the last bits to itself. It returns what it
// has read too much of.
func (r *Reader) End() (rest []byte, err error) {
	end := len(r.hist)
	for err == nil && (r.state == inCodes || r.state == inStored) {
		err = r.step()
	}
	if err == nil && r.state == atHeader && r.have(3) {
		err = r.header()
	}
	switch {
	case err != nil && err != errWait:
		return nil, err
	case len(r.hist) > end || r.stored > 0:
		return nil, ErrCorrupt
	}
	for r.take(r.nbits % 8); r.nbits > 0; {
		c, _ := r.take(8)
		rest = append(rest, byte(c))
	}
	return rest, nil
}

// slide drops what is read and too far back for any match.
func (r *Reader) slide() {
	if far := r.read - window; far > window {
		r.hist = slices.Delete(r.hist, 0, far)
		r.read -= far
	}
}

// more waits for a byte of input.
func (r *Reader) more() error {
	c, err := r.in.ReadByte()
	if err != nil {
		if errors.Is(err, io.EOF) && (r.state != atHeader || r.nbits >= 8) {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	r.bits |= uint64(c) << r.nbits
	r.nbits += 8
	return nil
}

// have takes input that is at hand until there are n bits.
func (r *Reader) have(n uint) bool {
	for r.nbits < n && r.in.Buffered() > 0 {
		if r.more() != nil {
			return false
		}
	}
	return r.nbits >= n
}

// take waits for n bits and uses them.
func (r *Reader) take(n uint) (uint, error) {
	for r.nbits < n {
		if err := r.more(); err != nil {
			return 0, noEOF(err)
		}
	}
	v := uint(r.bits & (1<<n - 1))
	r.bits >>= n
	r.nbits -= n
	return v, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// step inflates a little. errWait is returned only where nothing of what has
// arrived is used and not kept: what a flush leaves behind always ends there.
func (r *Reader) step() error {
	switch r.state {
	case atHeader:
		if !r.have(3) {
			return errWait
		}
		return r.header()
	case inStored:
		return r.copyStored()
	case inCodes:
		return r.symbol()
	}
	return io.EOF
}

// header reads the header of a block.
func (r *Reader) header() error {
	v, _ := r.take(3)
	r.final = v&1 != 0
	switch v >> 1 {
	case 0:
		return r.storedHeader()
	case 1:
		r.lit, r.dist, r.state = &fixedLit, &fixedDist, inCodes
		return nil
	case 2:
		r.lit, r.dist, r.state = &r.own[0], &r.own[1], inCodes
		return r.codes()
	}
	return ErrCorrupt
}

func (r *Reader) storedHeader() error {
	r.take(r.nbits % 8)
	n, err := r.take(16)
	if err != nil {
		return err
	}
	inverse, err := r.take(16)
	if err != nil {
		return err
	}
	if n != ^inverse&0xffff {
		return ErrCorrupt
	}
	r.stored, r.state = int(n), inStored
	return nil
}

func (r *Reader) copyStored() error {
	for r.stored > 0 && r.have(8) {
		c, _ := r.take(8)
		r.hist = append(r.hist, byte(c))
		r.stored--
	}
	if r.stored > 0 {
		return errWait
	}
	r.endBlock()
	return nil
}

func (r *Reader) endBlock() {
	if r.state = atHeader; r.final {
		r.state = atEnd
	}
}

// order is the order of the lengths of the code of codes (RFC 1951 §3.2.7).
var order = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codes reads the codes of a block that has its own.
func (r *Reader) codes() error {
	v, err := r.take(14)
	if err != nil {
		return err
	}
	nlit, ndist, ncode := int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if nlit > 286 || ndist > distances {
		return ErrCorrupt
	}
	var lengths [symbols + distances + 2]uint8
	for _, at := range order[:ncode] {
		n, err := r.take(3)
		if err != nil {
			return err
		}
		lengths[at] = uint8(n)
	}
	var h huffman
	if !h.build(lengths[:19]) {
		return ErrCorrupt
	}
	clear(lengths[:19])
	for i := 0; i < nlit+ndist; {
		sym, err := r.decode(&h)
		if err != nil {
			return err
		}
		if sym < 16 {
			lengths[i] = uint8(sym)
			i++
			continue
		}
		length, times, err := r.repeat(sym, i, &lengths)
		if err != nil {
			return err
		}
		if i+times > nlit+ndist {
			return ErrCorrupt
		}
		for ; times > 0; times-- {
			lengths[i] = length
			i++
		}
	}
	if lengths[endBlock] == 0 || !r.lit.build(lengths[:nlit]) || !r.dist.build(lengths[nlit:nlit+ndist]) {
		return ErrCorrupt
	}
	return nil
}

// repeat reads how often which length is repeated.
func (r *Reader) repeat(sym, i int, lengths *[symbols + distances + 2]uint8) (length uint8, times int, err error) {
	var n uint
	switch sym {
	case 16:
		if i == 0 {
			return 0, 0, ErrCorrupt
		}
		n, err = r.take(2)
		return lengths[i-1], int(n) + 3, err
	case 17:
		n, err = r.take(3)
		return 0, int(n) + 3, err
	}
	n, err = r.take(7)
	return 0, int(n) + 11, err
}

// lengthBase, lengthExtra, distBase and distExtra are the tables of RFC 1951
// §3.2.5.
var (
	lengthBase  = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [...]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

// symbol inflates a literal, a match or the end of a block.
func (r *Reader) symbol() error {
	r.have(maxBits)
	sym, n := r.lit.find(r.bits, r.nbits)
	switch {
	case n == 0:
		return errWait
	case n > maxBits:
		return ErrCorrupt
	}
	r.take(n)
	switch {
	case sym < endBlock:
		r.hist = append(r.hist, byte(sym))
		return nil
	case sym == endBlock:
		r.endBlock()
		return nil
	case sym-257 >= len(lengthBase):
		return ErrCorrupt
	}
	extra, err := r.take(uint(lengthExtra[sym-257]))
	if err != nil {
		return err
	}
	length := int(lengthBase[sym-257]) + int(extra)
	if sym, err = r.decode(r.dist); err != nil {
		return err
	}
	if sym >= distances {
		return ErrCorrupt
	}
	if extra, err = r.take(uint(distExtra[sym])); err != nil {
		return err
	}
	return r.match(length, int(distBase[sym])+int(extra))
}

func (r *Reader) match(length, distance int) error {
	from := len(r.hist) - distance
	if from < 0 {
		return ErrCorrupt
	}
	r.hist = slices.Grow(r.hist, length)
	for ; length > 0; length-- { // what it copies may be its own beginning
		r.hist = append(r.hist, r.hist[from])
		from++
	}
	return nil
}

// decode waits for a symbol.
func (r *Reader) decode(h *huffman) (int, error) {
	for {
		r.have(maxBits)
		sym, n := h.find(r.bits, r.nbits)
		switch {
		case n > maxBits:
			return 0, ErrCorrupt
		case n > 0:
			_, err := r.take(n)
			return sym, err
		}
		if err := r.more(); err != nil {
			return 0, noEOF(err)
		}
	}
}
