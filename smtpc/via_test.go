package smtpc

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/smtpc/smtpctest"
)

// socks is a SOCKS5 proxy (RFC 1928) that asks for me and secret (RFC 1929).
func socks(t *testing.T, used *atomic.Int64) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 256)
				read := func(n int) []byte { io.ReadFull(c, b[:n]); return b[:n] }
				read(int(read(2)[1]))
				c.Write([]byte{5, 2})
				user := string(read(int(read(2)[1])))
				if pass := string(read(int(read(1)[0]))); user != "me" || pass != "secret" {
					c.Write([]byte{1, 1})
					return
				}
				c.Write([]byte{1, 0})
				if h := read(4); h[3] != 1 {
					return // an IPv4 address, as names are resolved by who asks
				}
				ip, _ := netip.AddrFromSlice(read(4))
				to, err := net.Dial("tcp", netip.AddrPortFrom(ip, binary.BigEndian.Uint16(read(2))).String())
				if err != nil {
					c.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
					return
				}
				used.Add(1)
				defer to.Close()
				c.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				go io.Copy(to, c)
				io.Copy(c, to)
			}()
		}
	}()
	return l.Addr().String()
}

func TestViaSOCKS(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	var used atomic.Int64
	at := socks(t, &used)
	c := client(t, zoned(t, oneMX), s.Addr().Port())
	r := send(t, c.Via(Via{Name: "proxy", SOCKS: at, SOCKSUser: "me", SOCKSPassword: "secret"}), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	if used.Load() != 1 || r.Outcomes[0].Route != "proxy" {
		t.Errorf("used %d times, %+v", used.Load(), r.Outcomes[0])
	}
	r = send(t, c.Via(Via{SOCKS: at, SOCKSUser: "me", SOCKSPassword: "wrong"}), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.4.1", "connecting failed")
	if text := r.Outcomes[0].Text; strings.Contains(text, "wrong") {
		t.Errorf("a password in %q", text)
	}
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	if used.Load() != 1 {
		t.Error("other mail goes through the proxy too")
	}
}

func TestViaSource(t *testing.T) {
	var from atomic.Value
	s := smtpctest.New(t, smtpctest.Options{})
	c := client(t, zoned(t, oneMX), s.Addr().Port()).Via(Via{Source4: netip.MustParseAddr("127.0.0.77")})
	dial := c.o.Dial
	c.o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err == nil {
			from.Store(conn.LocalAddr().String())
		}
		return conn, err
	}
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
	if got := from.Load().(string); !strings.HasPrefix(got, "127.0.0.77:") {
		t.Errorf("sent from %s", got)
	}
}

func TestViaSmarthost(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	c := client(t, zoned(t, oneMX), 1).Via(Via{Name: "relay", Smarthost: &Smarthost{Host: "127.0.0.1", Port: int(s.Addr().Port())}})
	want(t, send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0], "delivered 250 2.0.0", "")
}

// An address that does not answer holds up the next for a moment only.
func TestFirstAddressIsSilent(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	d := zoned(t, "@ MX 10 mx\nmx A 127.0.0.1\nmx AAAA 2001:db8::1\n")
	var cancelled atomic.Int64
	c := client(t, d, s.Addr().Port(), func(o *Options) {
		o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "[2001:db8:") {
				<-ctx.Done()
				cancelled.Add(1)
				return nil, ctx.Err()
			}
			return (&net.Dialer{}).DialContext(ctx, network, addr)
		}
	})
	r := send(t, c, "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	if r.Outcomes[0].Addr != s.Addr().String() {
		t.Errorf("went to %s", r.Outcomes[0].Addr)
	}
	for end := time.Now().Add(patience); cancelled.Load() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the silent address is still waited for")
		}
	}
}
