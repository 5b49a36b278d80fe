package sqlite

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"postrider/store"
)

// held is a body that is in memory and says so.
type held struct{ *bytes.Reader }

func (h held) Bytes() []byte {
	b := make([]byte, h.Size())
	h.ReadAt(b, 0)
	return b
}

// TestInMemory prepares bodies that are in memory and the same ones that have
// to be read, and finds no difference.
func TestInMemory(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{InlineMax: 3000})
	for _, text := range []string{
		"", "x", "\r\n", "\n", "é", "Subject: x\r\n\r\ntext\r\n", "Subject: x\r\n\r\nüber\r\n", "Subject: ü\r\n\r\ntext",
		"a: b\n\nü\n", "a: b\r\r\nü", "a: b\r\n\r\r\nü\r\n", "X-Y: z\r\n" + strings.Repeat("line\r\n", 490), strings.Repeat("long\r\n", 1000),
	} {
		for _, cuts := range [][]store.Range{nil, {{From: 0, To: int64(len(text) / 2)}}} {
			read, err := e.prepareBody(context.Background(), "test", strings.NewReader(text), cuts)
			if err != nil {
				t.Fatal(err)
			}
			got, err := e.prepareBody(context.Background(), "test", held{bytes.NewReader([]byte(text))}, cuts)
			if err != nil {
				t.Fatal(err)
			}
			if got.Hash != read.Hash || got.shape != read.shape || !bytes.Equal(got.meta, read.meta) ||
				!bytes.Equal(got.data, read.data) || got.place != read.place || got.served != read.served {
				t.Errorf("%.20q: in memory\n%+v, read\n%+v", text, got, read)
			}
		}
	}
}
