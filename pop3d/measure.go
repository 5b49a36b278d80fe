package pop3d

import (
	"context"
	"sync"

	"postrider/store"
)

// measure finds the few messages that RETR cannot send as they are stored:
// one that does not end in CRLF gets it (RFC 1939 §3), and for a client
// without UTF8 a header that is not ASCII is another. LIST has to tell what
// will be sent (RFC 6856 §2.1).
func (d *maildrop) measure(ctx context.Context, s *Server, utf8 bool) error {
	shapes, err := s.o.Store.Shapes(ctx, d.box)
	if err != nil {
		return err
	}
	var read []store.UID
	for uid, shape := range shapes {
		i, ok := d.view.Index(uid)
		switch {
		case !ok: // it came after the snapshot
		case shape&store.ShapeHighHeader != 0 && !utf8:
			if d.extra[i], ok = s.surrogates.get(d.view.At(i).EmailID); !ok {
				read = append(read, uid)
			}
		case shape&store.ShapeOpen != 0:
			d.extra[i] = int64(len("\r\n"))
		}
	}
	if len(read) == 0 {
		return nil
	}
	buf := make([]byte, chunkSize)
	return s.o.Store.Fetch(ctx, d.box, store.UIDSetOf(read...), store.NeedBody, func(ct *store.Content) error {
		m, err := newMessage(ct, utf8, buf)
		if err != nil {
			return nil // RETR will tell; the others can be fetched
		}
		n, err := m.octets()
		if i, ok := d.view.Index(ct.UID); ok && err == nil {
			d.extra[i] = n - ct.Size
			s.surrogates.add(ct.EmailID, n-ct.Size)
		}
		return nil
	})
}

const maxSurrogates = 100_000

// surrogateSizes remembers by how much surrogates differ in size, by EMAILID:
// each takes reading its message, and clients log in again and again.
type surrogateSizes struct {
	mu    sync.Mutex
	extra map[int64]int64
}

func (s *surrogateSizes) get(email int64) (extra int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	extra, ok = s.extra[email]
	return extra, ok
}

// add remembers one, and forgets any other if there are too many.
func (s *surrogateSizes) add(email, extra int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.extra == nil {
		s.extra = map[int64]int64{}
	}
	for k := range s.extra {
		if len(s.extra) < maxSurrogates {
			break
		}
		delete(s.extra, k)
	}
	s.extra[email] = extra
}
