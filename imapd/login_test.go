package imapd_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/xdg-go/scram"
)

// ca signs client certificates.
type ca struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

// authority is the one that the test servers trust.
var authority = sync.OnceValue(func() *ca { return newCA() })

func newCA() *ca {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &ca{cert, key, pool}
}

// client makes a certificate for addresses.
func (a *ca) client(addresses ...string) tls.Certificate {
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(3), NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour),
		EmailAddresses: addresses, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// tlsClient speaks to the server that wants TLS, from the first byte on.
func (w *world) tlsClient(t *testing.T, certs ...tls.Certificate) (*client, tls.ConnectionState) {
	t.Helper()
	cfg := w.tls.Clone()
	cfg.Certificates = certs
	nc := w.dial("x:tls").(*tls.Conn).NetConn()
	tc := tls.Client(nc, cfg)
	t.Cleanup(func() { nc.Close() })
	tc.SetDeadline(time.Now().Add(20 * time.Second))
	if err := tc.Handshake(); err != nil {
		t.Fatal(err)
	}
	return newClient(t, net.Conn(tc)), tc.ConnectionState()
}

// scramLogin carries out an AUTHENTICATE and returns its tagged response.
func scramLogin(t *testing.T, c *client, mech string, conv *scram.ClientConversation) string {
	t.Helper()
	first, err := conv.Step("")
	if err != nil {
		t.Fatal(err)
	}
	c.send("a AUTHENTICATE " + mech + " " + base64.StdEncoding.EncodeToString([]byte(first)))
	for {
		l := c.line()
		challenge, ok := strings.CutPrefix(l, "+ ")
		if !ok {
			if strings.HasPrefix(l, "a OK") && !conv.Valid() {
				t.Error("the server did not prove that it knows the password")
			}
			return l
		}
		raw, err := base64.StdEncoding.DecodeString(challenge)
		if err != nil {
			t.Fatal(err)
		}
		response, err := conv.Step(string(raw))
		if err != nil {
			t.Fatal(err)
		}
		c.send(base64.StdEncoding.EncodeToString([]byte(response)))
	}
}

// TestScram logs in without a password on the wire (RFC 7677), with channel
// bindings (RFC 9266, RFC 5929) and without.
//
// caps: AUTH=SCRAM-SHA-256 success
// caps: AUTH=SCRAM-SHA-256 refusal
// caps: AUTH=SCRAM-SHA-256 concurrent
// caps: AUTH=SCRAM-SHA-256-PLUS success
// caps: AUTH=SCRAM-SHA-256-PLUS refusal
// caps: AUTH=SCRAM-SHA-256-PLUS concurrent
func TestScram(t *testing.T) {
	w := newWorld(t)
	exporter := func(s tls.ConnectionState) scram.ChannelBinding { b, _ := scram.NewTLSExporterBinding(&s); return b }
	endpoint := func(s tls.ConnectionState) scram.ChannelBinding {
		b, _ := scram.NewTLSServerEndpointBinding(&s)
		return b
	}
	forged := func(s tls.ConnectionState) scram.ChannelBinding {
		b := exporter(s)
		b.Data = []byte("forged")
		return b
	}
	for _, x := range []struct {
		name, mech, user, password, want string
		bind                             func(tls.ConnectionState) scram.ChannelBinding
		advertise                        bool
	}{
		{"right", "SCRAM-SHA-256", "alice@a.test", password, "a OK [CAPABILITY ", nil, false},
		{"wrong", "SCRAM-SHA-256", "alice@a.test", "wrong", "a NO [AUTHENTICATIONFAILED] ", nil, false},
		{"nobody", "SCRAM-SHA-256", "nobody@a.test", password, "a NO [AUTHENTICATIONFAILED] ", nil, false},
		{"exporter", "SCRAM-SHA-256-PLUS", "alice@a.test", password, "a OK [CAPABILITY ", exporter, false},
		{"endpoint", "SCRAM-SHA-256-PLUS", "alice@a.test", password, "a OK [CAPABILITY ", endpoint, false},
		{"other connection", "SCRAM-SHA-256-PLUS", "alice@a.test", password, "a NO [AUTHENTICATIONFAILED] ", forged, false},
		{"PLUS without binding", "SCRAM-SHA-256-PLUS", "alice@a.test", password, "a BAD ", nil, false},
		{"binding without PLUS", "SCRAM-SHA-256", "alice@a.test", password, "a BAD ", exporter, false},
		{"downgraded", "SCRAM-SHA-256", "alice@a.test", password, "a BAD ", nil, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			c, state := w.tlsClient(t)
			if l := c.line(); !strings.Contains(l, "AUTH=SCRAM-SHA-256 AUTH=SCRAM-SHA-256-PLUS") {
				t.Error(l)
			}
			other, _ := w.tlsClient(t) // another one does the same meanwhile
			other.line()
			sc, err := scram.SHA256.NewClient(x.user, x.password, "")
			if err != nil {
				t.Fatal(err)
			}
			conv := sc.NewConversation()
			switch {
			case x.bind != nil:
				conv = sc.NewConversationWithChannelBinding(x.bind(state))
			case x.advertise:
				conv = sc.NewConversationAdvertisingChannelBinding()
			}
			if got := scramLogin(t, c, x.mech, conv); !strings.HasPrefix(got, x.want) {
				t.Errorf("got %q, want %q", got, x.want)
			}
			oc, _ := scram.SHA256.NewClient("carol@a.test", password, "")
			if got := scramLogin(t, other, "SCRAM-SHA-256", oc.NewConversation()); !strings.HasPrefix(got, "a OK") {
				t.Error(got)
			}
		})
	}
}

// TestExternal logs in by a client certificate.
//
// caps: AUTH=EXTERNAL success
// caps: AUTH=EXTERNAL refusal
// caps: AUTH=EXTERNAL concurrent
func TestExternal(t *testing.T) {
	w := newWorld(t)
	both, stranger := authority().client("alice@a.test", "carol@a.test"), newCA().client("alice@a.test")
	for _, x := range []struct {
		name, say, want string
		cert            tls.Certificate
		announced       bool
	}{
		{"the first", "=", "a OK [CAPABILITY ", both, true},
		{"the second", "Y2Fyb2xAYS50ZXN0", "a OK [CAPABILITY ", both, true}, // carol@a.test
		{"somebody else", "Ym9iQGEudGVzdA==", "a NO [AUTHENTICATIONFAILED] ", both, true},
		{"nobody here", "=", "a NO [AUTHENTICATIONFAILED] ", authority().client("x@a.test"), true},
		{"another authority", "=", "a NO [CANNOT] ", stranger, false},
	} {
		c, _ := w.tlsClient(t, x.cert)
		if l := c.line(); strings.Contains(l, "AUTH=EXTERNAL") != x.announced {
			t.Errorf("%s: %s", x.name, l)
		}
		c.send("a AUTHENTICATE EXTERNAL " + x.say)
		if got := c.line(); !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: got %q, want %q", x.name, got, x.want)
		}
	}
	c, _ := w.tlsClient(t, both)
	c.line()
	c.send("a AUTHENTICATE EXTERNAL")
	if l := c.line(); l != "+ " {
		t.Error(l)
	}
	c.send("")
	if l := c.line(); !strings.HasPrefix(l, "a OK") {
		t.Error(l)
	}
}
