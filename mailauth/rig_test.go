package mailauth

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/resolve"
	"postrider/mail"
)

var testNow = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// world is a DNS: "TXT a.test", "MX a.test", "A a.test" and "PTR 192.0.2.1" to
// records; "!" is a look-up that fails for now. What is not there does not
// exist, unless something is below it or it has another type.
type world map[string][]string

func (w world) get(kind, name string) ([]string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if len(name) > 253 || name == "" {
		return nil, resolve.ErrBadName
	}
	rrs, ok := w[kind+" "+name]
	if len(rrs) == 1 && rrs[0] == "!" {
		return nil, errors.New("timeout")
	}
	if !ok {
		for k := range w {
			_, n, _ := strings.Cut(k, " ")
			if within(n, name) {
				return nil, nil
			}
		}
		return nil, resolve.ErrNoDomain
	}
	return rrs, nil
}

func (w world) TXT(_ context.Context, name string) ([]string, resolve.Info, error) {
	rrs, err := w.get("TXT", name)
	return rrs, resolve.Info{}, err
}

func (w world) MX(_ context.Context, name string) ([]resolve.MX, resolve.Info, error) {
	rrs, err := w.get("MX", name)
	var out []resolve.MX
	for _, rr := range rrs {
		out = append(out, resolve.MX{Host: rr})
	}
	return out, resolve.Info{}, err
}

func (w world) A(_ context.Context, name string) ([]netip.Addr, resolve.Info, error) {
	return w.addrs("A", name, netip.Addr.Is4)
}

func (w world) AAAA(_ context.Context, name string) ([]netip.Addr, resolve.Info, error) {
	if w["AAAA "+name] != nil {
		return w.addrs("AAAA", name, netip.Addr.Is6)
	}
	return w.addrs("A", name, netip.Addr.Is6)
}

func (w world) addrs(kind, name string, wanted func(netip.Addr) bool) (out []netip.Addr, info resolve.Info, err error) {
	rrs, err := w.get(kind, name)
	for _, rr := range rrs {
		if a := netip.MustParseAddr(rr); wanted(a) {
			out = append(out, a)
		}
	}
	return out, info, err
}

func (w world) PTR(_ context.Context, a netip.Addr) ([]string, resolve.Info, error) {
	rrs, err := w.get("PTR", a.String())
	return rrs, resolve.Info{}, err
}

func (w world) with(more ...string) world {
	out := world{}
	for k, v := range w {
		out[k] = v
	}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] == "" {
			delete(out, more[i])
		} else {
			out[more[i]] = []string{more[i+1]}
		}
	}
	return out
}

// rsaKey is made once: it takes its time.
var rsaKey = sync.OnceValues(func() ([]byte, error) { return NewKey(RSA) })

// key makes a key and publishes it. RSA keys are all the same.
func (w world) key(t testing.TB, domain, selector, algorithm string) *Key {
	t.Helper()
	der, err := rsaKey()
	if algorithm == Ed25519 { // always the same, so that what a fuzzer keeps stays good
		seed := sha256.Sum256([]byte(selector + domain))
		der, err = x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed(seed[:]))
	}
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(domain, selector, der)
	if err != nil {
		t.Fatal(err)
	}
	w["TXT "+k.RecordName()] = []string{k.Record()}
	return k
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}

func split(s string) (head, body []byte) {
	n := mail.HeaderSize([]byte(s))
	return []byte(s[:n]), []byte(s[n:])
}

// signed returns a message with signatures in front.
func sign(t testing.TB, s string, keys ...*Key) string {
	t.Helper()
	head, body := split(s)
	sigs, err := Sign(keys, testNow, bytes.NewReader(body), head)
	if err != nil {
		t.Fatal(err)
	}
	return string(sigs) + s
}

// check checks a message from a.test, in pieces.
func check(t testing.TB, w world, o Options, s string) *Result {
	t.Helper()
	return checkFrom(t, w, o, "alice@a.test", s)
}

func checkFrom(t testing.TB, w world, o Options, from, s string) *Result {
	t.Helper()
	o.Resolver, o.Now = w, func() time.Time { return testNow }
	p := Peer{Addr: netip.MustParseAddr("192.0.2.1"), Helo: "mail.a.test"}
	if from != "" {
		a, err := mail.ParseAddress(from)
		if err != nil {
			t.Fatal(err)
		}
		p.From = a
	}
	k := New(o).Begin(t.Context(), p)
	for b := []byte(s); len(b) > 0; {
		n := min(len(b), 7)
		k.Write(b[:n])
		b = b[n:]
	}
	return k.Finish()
}

const hello = "From: Alice <alice@a.test>\r\nTo: Bob <bob@b.test>\r\nSubject: Hello\r\n\tthere\r\nDate: Mon, 23 Nov 2026 09:30:00 +0000\r\n" +
	"Message-ID: <1@a.test>\r\n\r\nHello  Bob, \r\n\r\n\tbye\r\n\r\n\r\n"

// silent is a resolver that never answers.
type silent struct{}

func (silent) wait(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func (s silent) TXT(ctx context.Context, _ string) ([]string, resolve.Info, error) {
	return nil, resolve.Info{}, s.wait(ctx)
}

func (s silent) MX(ctx context.Context, _ string) ([]resolve.MX, resolve.Info, error) {
	return nil, resolve.Info{}, s.wait(ctx)
}

func (s silent) A(ctx context.Context, _ string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, s.wait(ctx)
}

func (s silent) AAAA(ctx context.Context, _ string) ([]netip.Addr, resolve.Info, error) {
	return nil, resolve.Info{}, s.wait(ctx)
}

func (s silent) PTR(ctx context.Context, _ netip.Addr) ([]string, resolve.Info, error) {
	return nil, resolve.Info{}, s.wait(ctx)
}
