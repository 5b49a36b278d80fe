package imapd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/internal/wiretest"
)

// benchMessages are in the mailbox of a benchmark, of 10 KB each.
const benchMessages = 2000

// benchWorld has alice's INBOX full. Few deliveries at once leave bodies in the
// database, many put them into a segment.
func benchWorld(b *testing.B, atOnce int) (*world, *bufio.ReadWriter) {
	w := newWorld(b)
	work := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := range work {
				if err := w.accept(benchMessage(i), "INBOX"); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range benchMessages {
		work <- i
	}
	close(work)
	wg.Wait()
	return w, benchLogin(b, w.dial("client"))
}

func benchLogin(b *testing.B, c net.Conn) *bufio.ReadWriter {
	b.Cleanup(func() { c.Close() })
	rw := bufio.NewReadWriter(bufio.NewReaderSize(c, 256<<10), bufio.NewWriter(c))
	if _, err := rw.ReadString('\n'); err != nil {
		b.Fatal(err)
	}
	command(b, rw, fmt.Sprintf("LOGIN alice@a.test %q", password))
	command(b, rw, "EXAMINE INBOX")
	return rw
}

// command sends a command and reads all of its responses.
func command(b *testing.B, rw *bufio.ReadWriter, text string) {
	b.Helper()
	fmt.Fprintf(rw, "a %s\r\n", text)
	rw.Flush()
	for {
		line, err := rw.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			b.Fatal(err)
		}
		if i := strings.LastIndexByte(string(line[max(0, len(line)-12):]), '{'); i >= 0 {
			var n int64
			if k, _ := fmt.Sscanf(string(line[max(0, len(line)-12):][i:]), "{%d}\r\n", &n); k == 1 {
				io.CopyN(io.Discard, rw, n)
			}
			continue
		}
		if bytes.HasPrefix(line, []byte("a ")) {
			if !bytes.HasPrefix(line, []byte("a OK")) {
				b.Fatalf("%s", line)
			}
			return
		}
	}
}

func benchMessage(i int) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "Date: Mon, 15 Jan 2024 10:20:%02d +0000\r\nFrom: \"Bob %d\" <bob%d@b.test>\r\nTo: Alice <alice@a.test>, carol@a.test\r\n", i%60, i%9, i%9)
	fmt.Fprintf(&s, "Subject: Re: number %d\r\nMessage-ID: <%d.%d@b.test>\r\nReferences: <%d@b.test>\r\n <%d@b.test>\r\nMIME-Version: 1.0\r\n", i, i, i*i, i, i+1)
	s.WriteString("Content-Type: multipart/alternative; boundary=\"next part\"\r\n\r\n--next part\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	for s.Len() < 4000 {
		fmt.Fprintf(&s, "line %d of message %d, which tells nothing new\r\n", s.Len(), i)
	}
	s.WriteString("--next part\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n")
	for s.Len() < 10<<10 {
		fmt.Fprintf(&s, "<p>line %d of message %d, which tells nothing new\r\n", s.Len(), i)
	}
	s.WriteString("--next part--\r\n")
	return []byte(s.String())
}

// BenchmarkFetch is one FETCH of all messages; "first" by a server that has
// not fetched them before.
func BenchmarkFetch(b *testing.B) {
	for _, x := range []struct{ name, items string }{
		{"list", "(UID FLAGS RFC822.SIZE INTERNALDATE)"},
		{"envelope", "ENVELOPE"},
		{"structure", "BODYSTRUCTURE"},
		{"fields", "BODY.PEEK[HEADER.FIELDS (FROM TO CC SUBJECT DATE MESSAGE-ID REFERENCES)]"},
		{"body", "BODY.PEEK[]"},
	} {
		for _, place := range []struct {
			name   string
			atOnce int
		}{{"database", 1}, {"segment", 64}} {
			b.Run(x.name+"/"+place.name, func(b *testing.B) {
				w, rw := benchWorld(b, place.atOnce)
				b.ResetTimer()
				for range b.N {
					if x.name != "body" {
						b.StopTimer()
						rw = benchLogin(b, wiretest.Listen(b, w.server(nil, "127.0.0.0/8").Serve)("client"))
						b.StartTimer()
					}
					command(b, rw, "FETCH 1:* "+x.items)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/benchMessages, "us/message")
			})
		}
	}
}

// BenchmarkStore is one STORE of all of 10,000 messages.
func BenchmarkStore(b *testing.B) {
	w := newWorld(b)
	rw := benchLogin(b, w.dial("client"))
	var text strings.Builder
	for range 1000 {
		text.WriteString(" {6+}\r\na: b\r\n")
	}
	for range 10 {
		command(b, rw, "APPEND INBOX"+text.String())
	}
	command(b, rw, "SELECT INBOX")
	b.ResetTimer()
	for i := range b.N {
		command(b, rw, []string{`STORE 1:* +FLAGS.SILENT (\Seen)`, `STORE 1:* -FLAGS.SILENT (\Seen)`}[i%2])
	}
}

// BenchmarkAppend is APPENDs of 10 KB by 8 clients at once.
func BenchmarkAppend(b *testing.B) {
	w := newWorld(b)
	text := string(benchMessage(1))
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range 8 {
		rw := benchLogin(b, w.dial("client"))
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				command(b, rw, fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text))
			}
		})
	}
	wg.Wait()
}
