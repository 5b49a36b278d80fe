package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"postrider/store"
)

const chunkSize = 32 * 1024 // how much of a message is read at a time

// retr sends a message.
func (c *conn) retr(arg string) error {
	d := c.drop
	i, err := d.find(arg)
	if err != nil {
		return err
	}
	send := func(m *message, buf []byte) error {
		return m.send(c.w, fmt.Sprintf("%d octets", d.size(i)), buf, m.size())
	}
	if data := c.take(i); data != nil {
		err = c.present(contentOf(data), send)
	} else {
		err = c.fetch(i, send)
	}
	if err != nil {
		return err
	}
	if d.sent == nil {
		d.sent = make([]bool, d.view.Len())
	}
	d.sent[i] = true
	d.retrieved++
	c.s.o.Store.WasRead(d.box, store.UIDSetOf(d.view.UID(i)), "pop3")
	return nil
}

// top sends a message's header and the first lines of its body.
func (c *conn) top(arg string) error {
	first, second, _ := strings.Cut(arg, " ")
	lines, err := number(strings.TrimLeft(second, " "))
	if err != nil {
		return errTopUsage
	}
	i, err := c.drop.find(first)
	if err != nil {
		return err
	}
	return c.fetch(i, func(m *message, buf []byte) error {
		end, err := m.topEnd(buf, lines)
		if err != nil {
			return err
		}
		return m.send(c.w, "top of message follows", buf, end)
	})
}

// fetch calls send with the message at index i. Nothing of the store is held
// while send waits for the peer.
func (c *conn) fetch(i int, send func(m *message, buf []byte) error) error {
	found := false
	ctx := context.WithoutCancel(c.ctx) // a command under way is finished
	err := c.s.o.Store.Fetch(ctx, c.drop.box, store.UIDSetOf(c.drop.view.UID(i)), store.NeedBody,
		func(ct *store.Content) error {
			found = true
			return c.present(ct, send)
		})
	if err == nil && !found {
		return errGone // expunged by IMAP since the snapshot
	}
	return err
}

// present calls send with a message as this client gets to see it.
func (c *conn) present(ct *store.Content, send func(m *message, buf []byte) error) error {
	chunk := c.s.chunks.Get().(*[chunkSize]byte)
	defer c.s.chunks.Put(chunk)
	m, err := newMessage(ct, c.utf8, chunk[:])
	if err != nil {
		return err
	}
	return send(m, chunk[:])
}

// message is what a client gets to see: head, then body from an offset on.
// Nearly always head is empty and the offset 0.
type message struct {
	head []byte
	body io.ReaderAt
	from int64
	to   int64
}

func (m *message) size() int64 { return int64(len(m.head)) + m.to - m.from }

// octets is the size of what is sent: with the line end that send adds where
// the last line lacks it.
func (m *message) octets() (int64, error) {
	n := m.size()
	if n == 0 {
		return 0, nil
	}
	var end [2]byte
	b, err := m.chunk(end[:], max(0, n-2), n)
	if err == nil && string(b) != "\r\n" {
		n += 2
	}
	return n, err
}

// ReadAt reads the message as a whole.
func (m *message) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(m.head)) {
		n = copy(b, m.head[off:])
		if n == len(b) {
			return n, nil
		}
	}
	k, err := m.body.ReadAt(b[n:], off+int64(n)-int64(len(m.head))+m.from)
	return n + k, err
}

// chunk reads as much of [off, end) as buf holds.
func (m *message) chunk(buf []byte, off, end int64) ([]byte, error) {
	b := buf[:min(int64(len(buf)), end-off)]
	if n, err := m.ReadAt(b, off); n < len(b) {
		return nil, fmt.Errorf("read message at %d: %w", off+int64(n), err)
	}
	return b, nil
}

// send answers +OK with first and the message's first end bytes, dot-stuffed
// and terminated (RFC 1939 §3). The first chunk is read before anything is
// written, so that what cannot be read is a -ERR; an error after that is
// errBroken.
func (m *message) send(w *bufio.Writer, first string, buf []byte, end int64) error {
	b, err := m.chunk(buf, 0, end)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "+OK %s\r\n", first)
	tail := [2]byte{'\r', '\n'} // the last two bytes sent
	for off := int64(0); off < end; {
		if err := stuff(w, b, tail[1] == '\n'); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
		off += int64(len(b))
		if n := len(b); n > 1 {
			tail = [2]byte(b[n-2:])
		} else {
			tail = [2]byte{tail[1], b[0]}
		}
		if b, err = m.chunk(buf, off, end); err != nil {
			return fmt.Errorf("%w: %w", errBroken, err)
		}
	}
	if tail != [2]byte{'\r', '\n'} {
		w.WriteString("\r\n")
	}
	if _, err := w.WriteString(".\r\n"); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// topEnd returns where the header and the first lines of the body end.
func (m *message) topEnd(buf []byte, lines int64) (int64, error) {
	size := m.size()
	inHeader := true
	length, first := 0, byte(0) // of the line under way
	for off := int64(0); off < size; {
		b, err := m.chunk(buf, off, size)
		if err != nil {
			return 0, err
		}
		for i, ch := range b {
			switch {
			case ch != '\n':
				if length++; length == 1 {
					first = ch
				}
				continue
			case inHeader:
				inHeader = length > 1 || length == 1 && first != '\r'
			default:
				lines--
			}
			length = 0
			if !inHeader && lines <= 0 {
				return off + int64(i) + 1, nil
			}
		}
		off += int64(len(b))
	}
	return size, nil
}

var (
	dot   = []byte(".")
	lfDot = []byte("\n.")
)

// stuff writes b, which begins a line if start, with a dot put before each
// line that begins with one. A line is what LF ends: a client that takes LF
// alone for a line end must not see a termination inside a message.
func stuff(w io.Writer, b []byte, start bool) error {
	if start && len(b) > 0 && b[0] == '.' {
		if _, err := w.Write(dot); err != nil {
			return err
		}
	}
	for {
		i := bytes.Index(b, lfDot)
		if i < 0 {
			_, err := w.Write(b)
			return err
		}
		if _, err := w.Write(b[:i+1]); err != nil {
			return err
		}
		if _, err := w.Write(dot); err != nil {
			return err
		}
		b = b[i+1:]
	}
}
