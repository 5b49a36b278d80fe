package soak

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/lab"
)

// ports are all that strangers may connect to.
var ports = []string{"smtp", "submission", "submission-tls", "pop3", "pop3-tls", "imap", "imap-tls"}

// TestSlowClients has thousands of connections on all ports say one byte in
// ten seconds, while a normal client says hello and goes. The server answers
// it as before: the slow ones hold a descriptor each, and nobody's turn. Times
// with them and without are taken in turn, and compared round by round, so
// that what else the machine does counts for both. Only a full run compares.
func TestSlowClients(t *testing.T) {
	begin := time.Now()
	conns, rounds := pick("slow", 100, 5000), pick("slow", 1, 5)
	lasting := time.Duration(pick("slow", 200, 20_000)) * time.Millisecond
	moreFiles(t, conns+500)
	c := siteConfig(t.TempDir())
	c.Extra = "[limits]\nconnections_per_ip = 0\n"
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var idle, under []time.Duration
	var ratios []float64
	for range rounds {
		without := hellosFor(t, s, lasting)
		leave := crawl(t, s, conns)
		for end := time.Now().Add(patience); openFiles(t, s) < conns; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d files are open, and %d connections should be", openFiles(t, s), conns)
			}
		}
		with := hellosFor(t, s, lasting)
		if left := openFiles(t, s); left < conns {
			t.Errorf("of %d slow connections %d files are left after %v", conns, left, lasting)
		}
		leave()
		settled(t, s, 50)
		idle, under = append(idle, without...), append(under, with...)
		ratios = append(ratios, p99(with).Seconds()/p99(without).Seconds())
	}
	slices.Sort(ratios)
	ratio := ratios[len(ratios)/2]
	if full("slow") && (ratio > 3 || p99(under) > time.Second) {
		t.Errorf("a normal client's p99 is %v with %d slow ones, %v without, in the middle of %d rounds %.2f times as long", p99(under), conns, p99(idle), rounds, ratio)
	}
	report(t, "slow clients", begin, "%d connections at a byte in ten seconds: p99 of %d hellos %v, %v without; in the middle of %d rounds %.2f times as long",
		conns, len(under), p99(under).Round(10*time.Microsecond), p99(idle).Round(10*time.Microsecond), rounds, ratio)
}

// crawl opens connections, spread over all ports, that say a byte every ten
// seconds until leave is called.
func crawl(t *testing.T, s *lab.Site, conns int) (leave func()) {
	t.Helper()
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range conns {
		nc, err := net.Dial("tcp", s.Addr[ports[i%len(ports)]])
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			defer nc.Close()
			tick := time.NewTicker(10 * time.Second)
			defer tick.Stop()
			for {
				nc.Write([]byte("N"))
				select {
				case <-done:
					return
				case <-tick.C:
				}
			}
		})
	}
	return func() { close(done); all.Wait() }
}

// moreFiles lets this process, and the server that it starts, open n files.
func moreFiles(t *testing.T, n int) {
	t.Helper()
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		t.Fatal(err)
	}
	if want := uint64(2 * n); r.Cur < want {
		r.Cur, r.Max = want, max(r.Max, want)
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			t.Fatalf("%d open files are needed: %v", want, err)
		}
	}
}

func p99(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)*99/100]
}

// hellosFor says hello again and again for some time, and returns how long each
// took.
func hellosFor(t *testing.T, s *lab.Site, lasting time.Duration) (took []time.Duration) {
	t.Helper()
	for end := time.Now().Add(lasting); time.Now().Before(end); {
		for _, words := range [][2]string{{"smtp", "EHLO c.test\r\nQUIT\r\n"}, {"imap", "a NOOP\r\nb LOGOUT\r\n"}} {
			begin := time.Now()
			got, err := hello(s, "127.0.0.1", words[0], words[1])
			if err != nil || len(got) < 50 {
				t.Fatalf("%s answers %q, %v", words[0], got, err)
			}
			took = append(took, time.Since(begin))
		}
	}
	return took
}

// hello says something, and returns all that is answered.
func hello(s *lab.Site, from, port, words string) ([]byte, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Minute}
	nc, err := d.Dial("tcp", s.Addr[port])
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	nc.Write([]byte(words))
	var got []byte
	b := make([]byte, 4096)
	for {
		n, err := nc.Read(b)
		got = append(got, b[:n]...)
		if err != nil {
			return got, nil // the end, or a reset behind the answer
		}
	}
}

// TestFlood has one address open connections on all ports, faster than it may,
// and keep them. Those beyond its share are told to come back and closed; a
// client from elsewhere is served meanwhile, and the flood's own address after.
func TestFlood(t *testing.T) {
	begin := time.Now()
	const share = 50
	flood := pick("flood", 600, 20_000)
	c := siteConfig(t.TempDir())
	c.Extra = fmt.Sprintf("[limits]\nconnections_per_ip = %d\n", share)
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var mu sync.Mutex
	greeted, refused := 0, 0
	var kept []net.Conn
	tell := map[string]string{"smtp": "421 ", "submission": "421 ", "pop3": "-ERR", "imap": "* BYE"}
	var clients sync.WaitGroup
	for w := range 8 {
		clients.Go(func() {
			for i := w; i < flood; i += 8 {
				port := []string{"smtp", "submission", "pop3", "imap"}[i%4]
				nc, err := net.Dial("tcp", s.Addr[port])
				if err != nil {
					t.Error(err)
					return
				}
				nc.SetDeadline(time.Now().Add(time.Minute))
				b := make([]byte, 512)
				n, _ := nc.Read(b)
				mu.Lock()
				switch {
				case bytes.HasPrefix(b[:n], []byte(tell[port])):
					refused++
				case n > 0:
					greeted++
					kept = append(kept, nc)
					nc = nil
				default:
					t.Errorf("%s closes a connection without a word", port)
				}
				mu.Unlock()
				if nc != nil {
					nc.Close()
				}
			}
		})
	}
	flooded := make(chan struct{})
	go func() { clients.Wait(); close(flooded) }()
	var others []time.Duration
	for over := false; !over; {
		at := time.Now()
		got, err := hello(s, "127.0.0.2", "smtp", "EHLO c.test\r\nQUIT\r\n")
		if err != nil || !bytes.Contains(got, []byte("221 ")) {
			t.Fatalf("another address is answered %q, %v", got, err)
		}
		others = append(others, time.Since(at))
		select {
		case <-flooded:
			over = true
		default:
		}
	}
	took := time.Since(begin)
	// A service's ports count together, so each of four services has a share.
	if greeted > 4*share || greeted+refused != flood {
		t.Errorf("of %d connections %d were served, at most %d allowed, and %d refused", flood, greeted, 4*share, refused)
	}
	for _, nc := range kept {
		nc.Close()
	}
	left := time.Now()
	for {
		got, err := hello(s, "127.0.0.1", "smtp", "EHLO c.test\r\nQUIT\r\n")
		if err == nil && bytes.Contains(got, []byte("221 ")) {
			break
		}
		if time.Since(left) > 2*time.Second {
			t.Fatalf("two seconds after the flood its address is answered %q, %v", got, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if full("flood") && p99(others) > time.Second {
		t.Errorf("another client's p99 is %v", p99(others))
	}
	report(t, "flood", begin, "%d connections from one address in %.0f s: %d served, the others told to come back; p99 of another client's hello %v; served again %d ms after it",
		flood, took.Seconds(), greeted, p99(others).Round(10*time.Microsecond), time.Since(left).Milliseconds())
}

// TestSlowReaders has clients ask for large messages and read none of them. Each
// holds little memory and no transaction: mail comes in meanwhile, and the
// log of the database is moved.
func TestSlowReaders(t *testing.T) {
	begin := time.Now()
	l := large{clients: pick("slow", 10, 200), size: 10_000_000}
	const each, more = 1 << 20, 16 << 20 // octets allowed
	c := siteConfig(t.TempDir())
	c.Extra = "[limits]\nconnections_per_ip = 0\n"
	c.Accounts = append(c.Accounts, lab.Account{Address: largeUser(0), Password: password})
	s, err := lab.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	if err := l.append(s, 0); err != nil {
		t.Fatal(err)
	}
	before := memoryOf(t, s, "VmRSS")
	for range l.clients {
		k, err := dialTalk(s.Addr["imap"])
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		err = k.exchange([2]string{fmt.Sprintf("x LOGIN %s %q", largeUser(0), password), "x OK"}, [2]string{"x EXAMINE Archive", "x OK"})
		if err != nil {
			t.Fatal(err)
		}
		k.Conn.(*net.TCPConn).SetReadBuffer(4096)
		if _, err := fmt.Fprint(k, "x FETCH 1 BODY.PEEK[]\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	grown := memoryOf(t, s, "VmRSS") - before
	if grown > int64(l.clients)*each+more {
		t.Errorf("%d who read nothing take %d MiB", l.clients, grown>>20)
	}
	// 64 MB of mail make the log be moved several times, if nobody holds it.
	wal := int64(0)
	for range 8 {
		if err := (large{size: 8_000_000}).smtp(s, 0); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			w, err := dial(s.Addr["smtp"])
			if err == nil {
				if _, err = w.hear("220"); err == nil {
					_, err = w.say("250", "EHLO c.test")
				}
			}
			if err == nil {
				_, err = w.transact("x@c.test", []string{bob}, []byte("Subject: x\r\n\r\n"+strings.Repeat("text\r\n", 500)), false, 1)
				w.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if info, err := os.Stat(s.DataDir() + "/mail.db-wal"); err == nil {
		wal = info.Size()
	}
	if wal > 32<<20 {
		t.Errorf("the log of the database has %d MiB: somebody holds it", wal>>20)
	}
	report(t, "slow readers", begin, "%d clients that read nothing of 10 MB take %d MiB; the database's log has %d MiB after 72 MB of mail", l.clients, grown>>20, wal>>20)
}
