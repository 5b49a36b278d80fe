package storetest

import (
	"bytes"
	"io"
	"math/rand/v2"

	"postrider/store"
)

// whole reads all of a message, and pieces of it, which must agree.
func whole(s *suite, c *store.Content) string {
	s.Helper()
	all := make([]byte, c.Size)
	if n, err := c.ReadAt(all, 0); int64(n) != c.Size || (err != nil && err != io.EOF) {
		s.Fatalf("reading %d bytes of message %d gave %d: %v", c.Size, c.UID, n, err)
	}
	if !bytes.HasPrefix(all, c.Prefix) {
		s.Errorf("message %d does not begin with its prefix", c.UID)
	}
	if n, err := c.ReadAt(make([]byte, 1), c.Size); n != 0 || err != io.EOF {
		s.Errorf("reading behind the end of message %d gave %d: %v", c.UID, n, err)
	}
	r := rand.New(rand.NewPCG(uint64(c.Size), 1))
	for range 20 {
		from := r.Int64N(c.Size + 1)
		piece := make([]byte, r.Int64N(min(c.Size-from, 5000)+1))
		n, err := c.ReadAt(piece, from)
		if n != len(piece) || (err != nil && err != io.EOF) || !bytes.Equal(piece, all[from:from+int64(n)]) {
			s.Fatalf("reading %d bytes at %d of message %d gave %d other ones: %v", len(piece), from, c.UID, n, err)
		}
	}
	return string(all)
}

// noise is n bytes that cannot be compressed, in lines.
func noise(n int, seed uint64) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	r := rand.New(rand.NewPCG(seed, 2))
	b := make([]byte, 0, n+2)
	for len(b) < n {
		if len(b)%78 == 76 {
			b = append(b, '\r', '\n')
			continue
		}
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b[:n])
}

// cut returns text less the ranges.
func cut(text string, ranges []store.Range) string {
	var out []byte
	at := int64(0)
	for _, r := range ranges {
		out = append(out, text[at:r.From]...)
		at = r.To
	}
	return string(append(out, text[at:]...))
}
