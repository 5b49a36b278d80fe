package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// sink is an SMTP server that takes everything, keeps nothing, and tells got
// of each message: when it was there, and its header. It is as cheap as can be,
// since it shares the machine with the server that is measured.
type sink struct {
	listener net.Listener
	got      func(at time.Time, messageID []byte)
	count    atomic.Int64
	open     sync.Map // net.Conn → struct{}
	all      sync.WaitGroup
}

// sinkLine is the longest line that the sink takes, with room to spare.
const sinkLine = 64 << 10

// newSink listens on addr. got is called by many goroutines at once, before
// the reply is sent; the Message-ID, with its brackets, is valid during the
// call only.
func newSink(addr string, got func(at time.Time, messageID []byte)) (*sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sink{listener: l, got: got}
	s.all.Go(s.accept)
	return s, nil
}

// close ends the sink and all its connections.
func (s *sink) close() {
	s.listener.Close()
	s.open.Range(func(c, _ any) bool { c.(net.Conn).Close(); return true })
	s.all.Wait()
}

func (s *sink) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		s.open.Store(c, struct{}{})
		s.all.Go(func() {
			defer s.open.Delete(c)
			defer c.Close()
			s.serve(c)
		})
	}
}

// serve is one connection. Replies to commands that came together leave
// together (RFC 2920 §3.2).
func (s *sink) serve(c net.Conn) {
	r := bufio.NewReaderSize(c, sinkLine)
	w := bufio.NewWriter(c)
	io.WriteString(w, "220 sink.mailbench.example\r\n")
	for {
		if r.Buffered() == 0 {
			if w.Flush() != nil {
				return
			}
		}
		line, err := r.ReadSlice('\n')
		if err != nil || len(line) < 4 {
			return
		}
		switch verb := string(bytes.ToUpper(line[:4])); verb {
		case "EHLO":
			io.WriteString(w, "250-sink.mailbench.example\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n")
		case "HELO", "MAIL", "RCPT", "RSET", "NOOP", "VRFY":
			io.WriteString(w, "250 ok\r\n")
		case "DATA":
			io.WriteString(w, "354 go on\r\n")
			if w.Flush() != nil || s.data(r) != nil {
				return
			}
			io.WriteString(w, "250 taken\r\n")
		case "QUIT":
			io.WriteString(w, "221 bye\r\n")
			w.Flush()
			return
		default:
			io.WriteString(w, "500 unknown\r\n")
		}
	}
}

var messageIDField = []byte("message-id:")

// data reads a message up to the dot.
func (s *sink) data(r *bufio.Reader) error {
	var id []byte
	header := true
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case len(line) == 3 && line[0] == '.' && line[1] == '\r':
			s.count.Add(1)
			s.got(time.Now(), id)
			return nil
		case !header:
		case len(line) == 2:
			header = false
		case id == nil && len(line) > len(messageIDField) && bytes.EqualFold(line[:len(messageIDField)], messageIDField):
			id = append(id, bytes.TrimSpace(line[len(messageIDField):])...)
		}
	}
}
