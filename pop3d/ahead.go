package pop3d

import (
	"bytes"
	"context"
	"io"

	"postrider/store"
)

const (
	aheadBytes = 256 << 10 // read at once, at most
	aheadCount = 64
)

// ahead is messages that a client will ask for next: most fetch all there are,
// one RETR after the other, and a read of many costs little more than of one.
type ahead struct {
	next int            // the index behind the last one fetched; 0 at first
	data map[int][]byte // whole messages, by index
}

// take returns a message that was read ahead, nil if it was not. It reads
// ahead where the client goes from message to message.
func (c *conn) take(i int) []byte {
	a := &c.ahead
	data, ok := a.data[i]
	sequential := i > 0 && i == a.next
	a.next = i + 1
	switch {
	case ok:
		delete(a.data, i)
		return data
	case !sequential:
		a.data = nil
		return nil
	}
	uids := c.following(i)
	if len(uids) < 2 {
		return nil
	}
	a.data = make(map[int][]byte, len(uids))
	// A message that cannot be read is fetched alone, which tells why.
	ctx := context.WithoutCancel(c.ctx) // a command under way is finished
	_ = c.s.o.Store.Fetch(ctx, c.drop.box, store.UIDSetOf(uids...), store.NeedBody, func(ct *store.Content) error {
		b := make([]byte, ct.Size)
		if n, err := ct.ReadAt(b, 0); n < len(b) && err != nil && err != io.EOF {
			return nil
		} else if i, ok := c.drop.view.Index(ct.UID); ok && n == len(b) {
			a.data[i] = b
		}
		return nil
	})
	data = a.data[i]
	delete(a.data, i)
	return data
}

// following returns the messages from index i on that are to be read at once.
func (c *conn) following(i int) []store.UID {
	var uids []store.UID
	total := int64(0)
	for d := c.drop; i < d.view.Len() && len(uids) < aheadCount; i++ {
		r := d.view.At(i)
		if total += r.Size; total > aheadBytes {
			break
		}
		if !d.isDeleted(i) {
			uids = append(uids, r.UID)
		}
	}
	return uids
}

// contentOf is a message in memory as the store would give it.
func contentOf(data []byte) *store.Content {
	return &store.Content{Size: int64(len(data)), ReaderAt: bytes.NewReader(data)}
}
