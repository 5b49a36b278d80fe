package deflate

// huffman is a canonical code (RFC 1951 §3.2.2): how many codes there are of
// each length, and the symbols in the order of their codes.
type huffman struct {
	count  [maxBits + 1]uint16
	symbol [symbols]uint16
}

// build makes the code of lengths; it is false if there is none. A code may be
// incomplete only if it has one symbol, of one bit, or none (RFC 1951 §3.2.7).
func (h *huffman) build(lengths []uint8) bool {
	clear(h.count[:])
	for _, n := range lengths {
		h.count[n]++
	}
	used := len(lengths) - int(h.count[0])
	h.count[0] = 0
	left := 1
	var at [maxBits + 2]uint16
	for n := 1; n <= maxBits; n++ {
		if left = left<<1 - int(h.count[n]); left < 0 {
			return false
		}
		at[n+1] = at[n] + h.count[n]
	}
	if left > 0 && used > 0 && (used != 1 || h.count[1] != 1) {
		return false
	}
	for sym, n := range lengths {
		if n > 0 {
			h.symbol[at[n]] = uint16(sym)
			at[n]++
		}
	}
	return true
}

// find looks for a symbol at the beginning of the lowest have bits of b. It
// returns of how many bits its code is: 0 if that cannot be told yet, more than
// maxBits if no code begins so.
func (h *huffman) find(b uint64, have uint) (sym int, n uint) {
	code, first, index := 0, 0, 0
	for n = 1; n <= maxBits; n++ {
		if n > have {
			return 0, 0
		}
		code |= int(b & 1)
		b >>= 1
		count := int(h.count[n])
		if code-first < count {
			return int(h.symbol[index+code-first]), n
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, maxBits + 1
}

// fixedLit and fixedDist are the codes of RFC 1951 §3.2.6.
var fixedLit, fixedDist = fixed()

func fixed() (lit, dist huffman) {
	var lengths [symbols]uint8
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	lit.build(lengths[:])
	for i := range 32 { // two of them never occur
		lengths[i] = 5
	}
	dist.build(lengths[:32])
	return lit, dist
}
