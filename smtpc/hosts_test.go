package smtpc

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/smtpc/smtpctest"
)

// at starts a server at another loopback address and the port of first.
func at(t *testing.T, first *smtpctest.Server, ip string, o smtpctest.Options) *smtpctest.Server {
	t.Helper()
	o.Addr = netip.AddrPortFrom(netip.MustParseAddr(ip), first.Addr().Port()).String()
	return smtpctest.New(t, o)
}

// hurried dials so that the client's deadlines come in a thirtieth of their
// time at one address: patience, in a second. The others are not hurried: they
// may have to wait for the processor.
func hurried(ip string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil || !strings.HasPrefix(addr, ip+":") {
			return c, err
		}
		return hurriedConn{c}, nil
	}
}

type hurriedConn struct{ net.Conn }

func soon(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return time.Now().Add(time.Until(t) / 30)
}

func (c hurriedConn) SetDeadline(t time.Time) error      { return c.Conn.SetDeadline(soon(t)) }
func (c hurriedConn) SetReadDeadline(t time.Time) error  { return c.Conn.SetReadDeadline(soon(t)) }
func (c hurriedConn) SetWriteDeadline(t time.Time) error { return c.Conn.SetWriteDeadline(soon(t)) }

func TestNextHost(t *testing.T) {
	greet := func(line string) smtpctest.Options {
		return smtpctest.Options{Greet: func(*smtpctest.Conn) string { return line }}
	}
	reply := func(verb, line string) smtpctest.Options {
		return smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
			if strings.HasPrefix(l, verb) {
				return line
			}
			return smtpctest.Default
		}}
	}
	endless := strings.Repeat("250-on and on\r\n", 200)
	for name, o := range map[string]smtpctest.Options{
		"busy":           greet("421 4.3.2 busy"),
		"greets 554":     greet("554 no service here"),
		"silent":         greet(smtpctest.Hang),
		"hangs up":       greet(smtpctest.Close),
		"garbage":        greet("SSH-2.0-OpenSSH_9.9"),
		"code 099":       greet("099 hello"),
		"code 600":       greet("600 hello"),
		"endless line":   greet("220 " + strings.Repeat("x", 100_000)),
		"endless reply":  reply("EHLO", endless),
		"codes differ":   reply("EHLO", "250-one\r\n251 two"),
		"refuses EHLO":   reply("EHLO", "450 no"),
		"leaves at EHLO": reply("EHLO", smtpctest.Close),
		"neither helo":   {Reply: func(_ *smtpctest.Conn, l string) string { return "502 what?" }},
		"421 at MAIL":    reply("MAIL", "421 4.3.2 going down"),
		"leaves at MAIL": reply("MAIL", smtpctest.Close),
		"leaves at RCPT": reply("RCPT", smtpctest.Close),
		"421 at RCPT":    reply("RCPT", "421 4.3.2 going down"),
		"leaves at DATA": reply("DATA", smtpctest.Close),
		"speaks unasked": {Ext: []string{"SIZE"}, Reply: reply("MAIL", "250 ok\r\n250 ok").Reply},
		"drips": {Greet: func(c *smtpctest.Conn) string {
			for range 100 {
				if _, err := c.Write([]byte("2")); err != nil {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			return smtpctest.Close
		}},
		"stalls in middle": {Block: func(c *smtpctest.Conn, n int) bool {
			if n == 2 {
				time.Sleep(3 * time.Second)
			}
			return n < 2
		}},
		"leaves in middle": {Block: func(c *smtpctest.Conn, n int) bool { return n < 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			bad := smtpctest.New(t, o)
			good := at(t, bad, "127.0.0.2", smtpctest.Options{})
			d := zoned(t, "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.1\nmx2 A 127.0.0.2\n")
			c := client(t, d, bad.Addr().Port(), func(o *Options) {
				switch name {
				case "silent", "drips", "stalls in middle":
					o.Dial = hurried("127.0.0.1")
				}
			})
			lines := 10
			if strings.HasSuffix(name, "in middle") { // more than the buffers on the way hold
				lines = 12_000
			}
			m := letterOf(t, "Subject: x\r\n\r\n"+strings.Repeat(strings.Repeat("line ", 160)+"\r\n", lines), "bob@b.test", "carol@b.test")
			r := send(t, c, "b.test", m)
			for _, o := range r.Outcomes {
				want(t, o, "delivered 250 2.0.0", "")
				if o.Host != "mx2.b.test" {
					t.Errorf("delivered to %s", o.Host)
				}
			}
			if n := len(good.Messages()); n != 1 {
				t.Errorf("the second host has %d messages", n)
			}
		})
	}
}

func TestWhatTheHostSays(t *testing.T) {
	type c struct {
		verb, reply, want, text string
	}
	for _, c := range []c{
		{"MAIL", "451 4.3.0 try later", "temporary 451 4.3.0", "try later"},
		{"MAIL", "550 5.7.1 you are listed", "permanent 550 5.7.1", "you are listed"},
		{"MAIL", "354 what", "temporary 0 4.5.0", "unexpected reply: 354 what"},
		{"RCPT", "452 4.2.2 mailbox full", "temporary 452 4.2.2", "mailbox full"},
		{"RCPT", "552 5.2.2 mailbox full", "permanent 552 5.2.2", "mailbox full"},
		{"RCPT", "550 2.1.1 odd", "permanent 550 5.0.0", "2.1.1 odd"},
		{"RCPT", "251 ok, forwarding", "delivered 250 2.0.0", ""},
		{"RCPT", "221 2.0.0 bye", "temporary 0 4.5.0", "unexpected reply: 221 bye"},
		{"DATA", "451 4.3.0 not now", "temporary 451 4.3.0", "not now"},
		{"DATA", "554 5.5.1 no", "permanent 554 5.5.1", "no"},
		{"DATA", "250 ok?", "temporary 0 4.5.0", "unexpected reply: 250 ok?"},
		{".", "550-5.7.1 spam\r\n550 5.7.1 see http://b.test/", "permanent 550 5.7.1", "spam see http://b.test/"},
		{".", "451 4.7.0 \x1b[31mred\x07\xff", "temporary 451 4.7.0", "?[31mred??"},
		{".", "421 4.3.2 going down", "temporary 421 4.3.2", "going down"},
		{".", "200 fine", "delivered 200 2.0.0", "fine"},
		{".", smtpctest.Close, "temporary 0 4.4.2", "may have been delivered"},
		{".", smtpctest.Hang, "temporary 0 4.4.2", "may have been delivered"},
		{".", "nonsense", "temporary 0 4.5.0", "may have been delivered"},
	} {
		t.Run(c.verb+" "+c.reply, func(t *testing.T) {
			s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
				if strings.HasPrefix(l, c.verb) {
					return c.reply
				}
				return smtpctest.Default
			}})
			other := at(t, s, "127.0.0.2", smtpctest.Options{})
			d := zoned(t, "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.1\nmx2 A 127.0.0.2\n")
			r := send(t, client(t, d, s.Addr().Port(), func(o *Options) {
				if c.reply == smtpctest.Hang {
					o.Timeouts.End = 300 * time.Millisecond
				}
			}), "b.test", letter(t, "bob@b.test"))
			want(t, r.Outcomes[0], c.want, c.text)
			if r.Outcomes[0].Host != "mx1.b.test" || other.Conns() != 0 || r.Unreachable {
				t.Errorf("went on to %s, %d connections, unreachable=%v", r.Outcomes[0].Host, other.Conns(), r.Unreachable)
			}
		})
	}
}

func TestRefusedInTheMiddle(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"8BITMIME"}, Block: func(c *smtpctest.Conn, n int) bool {
		if n == 1 {
			c.Write([]byte("552 5.3.4 too much\r\n"))
			c.Conn.(*net.TCPConn).CloseRead()
		}
		return n < 1
	}})
	m := letterOf(t, "Subject: x\r\n\r\n"+strings.Repeat("line\r\n", 2_000_000), "bob@b.test")
	o := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m).Outcomes[0]
	// The reset may overtake the server's last words.
	if o.Status == Delivered || o.Status == Permanent && o.Code != 552 {
		t.Errorf("got %v", o)
	}
}

func TestAllHostsDown(t *testing.T) {
	d := zoned(t, "@ MX 10 mx1\n@ MX 20 mx2\nmx1 A 127.0.0.1\nmx1 A 127.0.0.3\nmx2 A 127.0.0.2\n")
	r := send(t, client(t, d, 1), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.4.1", "connection refused")
	if !r.Unreachable || r.Outcomes[0].Host != "mx2.b.test" {
		t.Errorf("unreachable=%v, %v", r.Unreachable, r.Outcomes[0])
	}
	tried := 0
	for _, l := range r.Lines {
		if strings.HasPrefix(l.Text, "connecting to ") {
			tried++
		}
	}
	if tried != 3 {
		t.Errorf("tried %d addresses", tried)
	}
}

func TestOnlyHostRefusesForGood(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Greet: func(*smtpctest.Conn) string { return "521 no mail here" }})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "permanent 521 5.0.0", "no mail here")
}

func TestIPv6Absent(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	d := zoned(t, "@ MX 10 mx\nmx A 127.0.0.1\nmx AAAA 2001:db8::1\nmx AAAA 2001:db8::2\n")
	var tried []string
	var mu sync.Mutex // on a slow machine two are tried at once
	c := client(t, d, s.Addr().Port(), func(o *Options) {
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			mu.Lock()
			tried = append(tried, addr)
			mu.Unlock()
			if strings.HasPrefix(addr, "[2001:db8:") {
				return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	mu.Lock()
	defer mu.Unlock()
	if len(tried) < 2 || !strings.HasPrefix(tried[0], "[2001:db8:") {
		t.Errorf("tried %v", tried)
	}
}

func TestWithoutMX(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	d := zoned(t, "@ A 127.0.0.1\nwww CNAME b.test.\nmxalias MX 1 www\n")
	c := client(t, d, s.Addr().Port())
	for _, dest := range []string{"b.test", "www.b.test", "mxalias.b.test", "[127.0.0.1]"} {
		want(t, send(t, c, dest, letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	}
	if n := len(s.Messages()); n != 4 {
		t.Errorf("%d messages", n)
	}
}

func TestEqualHostsTakeTurns(t *testing.T) {
	s1 := smtpctest.New(t, smtpctest.Options{})
	s2 := at(t, s1, "127.0.0.2", smtpctest.Options{})
	s3 := at(t, s1, "127.0.0.3", smtpctest.Options{})
	d := zoned(t, "@ MX 10 m1\n@ MX 10 m2\n@ MX 20 m3\nm1 A 127.0.0.1\nm2 A 127.0.0.2\nm3 A 127.0.0.3\n")
	c := client(t, d, s1.Addr().Port())
	for range 40 {
		send(t, c, "b.test", letter(t, "bob@b.test"))
	}
	if a, b := len(s1.Messages()), len(s2.Messages()); a == 0 || b == 0 || a+b != 40 || s3.Conns() != 0 {
		t.Errorf("%d, %d and %d messages", a, b, len(s3.Messages()))
	}
}

func TestManyMXOverTCP(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	var z strings.Builder
	for i := range 100 {
		z.WriteString("@ MX 10 a-rather-long-name-for-a-host-" + strings.Repeat("x", i%10) + string(rune('a'+i/10)) + "\n")
	}
	z.WriteString("* A 127.0.0.2\n@ MX 5 mx\nmx A 127.0.0.1\n")
	c := client(t, zoned(t, z.String()), s.Addr().Port())
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	s.Close()
	r := send(t, c, "b.test", letter(t, "bob@b.test"))
	n := 0
	for _, l := range r.Lines {
		if strings.HasPrefix(l.Text, "connecting to ") {
			n++
		}
	}
	if n != maxHosts {
		t.Errorf("tried %d hosts", n)
	}
}

func TestBetterHostsThanUs(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	d := zoned(t, "@ MX 10 mx\n@ MX 20 us\n@ MX 30 worse\nmx A 127.0.0.1\nus A 127.0.0.2\nworse A 127.0.0.3\n")
	ours := func(o *Options) { o.Hostname = "us.b.test" }
	c := client(t, d, s.Addr().Port(), ours)
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	s.Close()
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "temporary 0 4.4.1", "refused")
}

func TestBrokenOff(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, "MAIL") {
			return smtpctest.Hang
		}
		return smtpctest.Default
	}})
	se := client(t, zoned(t, oneMX), s.Addr().Port(), func(o *Options) { o.Timeouts.Command = 1e12 }).Session("b.test")
	ctx, cancel := context.WithCancel(context.Background())
	se.rec.trace = func(l Line) {
		if l.Dir == Sent && strings.HasPrefix(l.Text, "MAIL") {
			cancel()
		}
	}
	want(t, se.Send(ctx, letter(t, "bob@b.test")).Outcomes[0], "temporary 0 4.4.2", "broken off")
}

func TestLoopbackNamesAreCompared(t *testing.T) {
	local := ListensAt(netip.MustParseAddrPort("127.0.0.1:25"), netip.MustParseAddrPort("[::]:26"))
	for a, w := range map[string]bool{"127.0.0.1:25": true, "127.0.0.2:25": false, "127.0.0.1:27": false, "127.0.0.9:26": true,
		"[::1]:26": true, "192.0.2.1:26": false, "[::ffff:127.0.0.1]:25": true} {
		if got := local(netip.MustParseAddrPort(a)); got != w {
			t.Errorf("%s: %v", a, got)
		}
	}
}
