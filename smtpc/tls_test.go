package smtpc

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"postrider/smtpc/smtpctest"
)

func TestOpportunisticTLS(t *testing.T) {
	conf, _ := smtpctest.Certificate(t, "somebody.else.test")
	s := smtpctest.New(t, smtpctest.Options{TLS: conf})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	if m := s.Messages(); len(m) != 1 || !m[0].TLS || !strings.HasPrefix(r.Outcomes[0].TLS, "TLS 1.3 TLS_") {
		t.Errorf("got %+v, %q", m, r.Outcomes[0].TLS)
	}
	if n := strings.Count(strings.Join(s.Lines(), "\n"), "EHLO"); n != 2 {
		t.Errorf("%d EHLO: the state must start again (RFC 3207 section 4.2)", n)
	}
}

func TestTLSFailsThenInClear(t *testing.T) {
	conf, _ := smtpctest.Certificate(t, "mx.b.test")
	old := conf.Clone()
	old.MaxVersion, old.MinVersion = tls.VersionTLS10, tls.VersionTLS10
	why := map[string]string{"old version": "the remote server gave TLS up: protocol version not supported", "garbage": "what the remote server says is no TLS",
		"hangs up": "the remote server closed the connection"}
	for name, o := range map[string]smtpctest.Options{
		"old version": {TLS: old},
		"garbage": {Ext: []string{"STARTTLS"}, Reply: func(c *smtpctest.Conn, l string) string {
			if l == "STARTTLS" {
				c.Write([]byte("220 go\r\n"))
				b := make([]byte, 100)
				c.Read(b)
				return "this is no TLS"
			}
			return smtpctest.Default
		}},
		"454": {Ext: []string{"STARTTLS"}, Reply: func(c *smtpctest.Conn, l string) string {
			if l == "STARTTLS" {
				return "454 4.7.0 out of order"
			}
			return smtpctest.Default
		}},
		"hangs up": {Ext: []string{"STARTTLS"}, Reply: func(c *smtpctest.Conn, l string) string {
			if l == "STARTTLS" {
				c.Write([]byte("220 go\r\n"))
				return smtpctest.Close
			}
			return smtpctest.Default
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := smtpctest.New(t, o)
			r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
			want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
			if m := s.Messages(); len(m) != 1 || m[0].TLS || r.Outcomes[0].TLS != "" {
				t.Errorf("got %+v", m)
			}
			said := fmt.Sprint(r.Lines)
			if why[name] != "" && !strings.Contains(said, "TLS failed, connecting again without it: "+why[name]) {
				t.Errorf("the dialogue does not say why: %s", said)
			}
		})
	}
}

func TestInjectionAfterSTARTTLS(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"STARTTLS"}, Reply: func(c *smtpctest.Conn, l string) string {
		if l == "STARTTLS" {
			return "220 go\r\n250-b.test\r\n250 AUTH PLAIN"
		}
		return smtpctest.Default
	}})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.7.0", "in clear after its reply to STARTTLS")
	if len(s.Messages()) != 0 || s.Conns() != 1 {
		t.Errorf("%d messages, %d connections", len(s.Messages()), s.Conns())
	}
}

// smart makes a client with a smarthost at s.
func smart(t *testing.T, s *smtpctest.Server, h Smarthost, change ...func(*Options)) *Client {
	h.Port = int(s.Addr().Port())
	if h.Host == "" {
		h.Host = "127.0.0.1"
	}
	return client(t, nil, 0, append(change, func(o *Options) { o.Smarthost = &h })...)
}

func TestSmarthost(t *testing.T) {
	for _, mech := range []string{"PLAIN", "LOGIN"} {
		s := smtpctest.New(t, smtpctest.Options{Ext: []string{"auth x-other " + mech, "8bitmime"}})
		c := smart(t, s, Smarthost{User: "alice", Password: "canary-pass"})
		r := send(t, c, "anything.example", letter(t, "bob@anything.example"))
		want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
		var kept strings.Builder
		for _, l := range r.Lines {
			kept.WriteString(l.Text + "\n")
		}
		read := strings.Join(s.Lines(), "\n")
		switch mech {
		case "PLAIN": // \0alice\0canary-pass
			if !strings.Contains(read, "AUTH PLAIN AGFsaWNlAGNhbmFyeS1wYXNz") || !strings.Contains(kept.String(), "AUTH PLAIN [credentials]\n235") {
				t.Errorf("the server read %q, kept %q", read, kept.String())
			}
		case "LOGIN":
			if !strings.Contains(read, "Y2FuYXJ5LXBhc3M=") || strings.Count(kept.String(), "[credentials]") != 2 {
				t.Errorf("the server read %q, kept %q", read, kept.String())
			}
		}
		for _, secret := range []string{"canary", "Y2FuYXJ5", "AGFsaWNl"} {
			if strings.Contains(kept.String(), secret) {
				t.Errorf("the record has the password: %q", kept.String())
			}
		}
	}
}

func TestSmarthostFails(t *testing.T) {
	refuse := func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, "AUTH") {
			return "535 5.7.8 wrong"
		}
		return smtpctest.Default
	}
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"AUTH PLAIN"}, Reply: refuse})
	r := send(t, smart(t, s, Smarthost{User: "alice", Password: "x"}), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.7.8", "535 5.7.8 wrong")
	s = smtpctest.New(t, smtpctest.Options{Ext: []string{"AUTH CRAM-MD5"}})
	r = send(t, smart(t, s, Smarthost{User: "alice", Password: "x"}), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.7.0", "neither AUTH PLAIN nor AUTH LOGIN")
	r = send(t, client(t, zoned(t, ""), 0, func(o *Options) { o.Smarthost = &Smarthost{Host: "nowhere.b.test"} }), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.4.4", "has no address")
}

// TestSmarthostWantsLogin shows that mail waits, and is not given up, when the
// smarthost wants a login that nobody has configured. To a destination's own
// host the same words are an answer.
func TestSmarthostWantsLogin(t *testing.T) {
	for _, verb := range []string{"MAIL", "RCPT", "DATA"} {
		s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
			if strings.HasPrefix(l, verb) {
				return "530 5.7.0 Authentication required"
			}
			return smtpctest.Default
		}})
		r := send(t, smart(t, s, Smarthost{}), "b.test", letter(t, "bob@b.test"))
		want(t, r.Outcomes[0], "temporary 530 4.7.0", "Authentication required")
		r = send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
		want(t, r.Outcomes[0], "permanent 530 5.7.0", "Authentication required")
	}
}

func TestSmarthostTLS(t *testing.T) {
	conf, pool := smtpctest.Certificate(t, "127.0.0.1")
	other, _ := smtpctest.Certificate(t, "127.0.0.1")
	trust := func(o *Options) { o.TLS = &tls.Config{RootCAs: pool} }
	for name, c := range map[string]struct {
		o    smtpctest.Options
		mode TLSMode
		want string
	}{
		"starttls":            {smtpctest.Options{TLS: conf, Ext: []string{"AUTH PLAIN"}}, TLSStartTLS, "delivered 250 2.0.0"},
		"none":                {smtpctest.Options{TLS: conf, Ext: []string{"AUTH PLAIN"}}, TLSNone, "delivered 250 2.0.0"},
		"not offered":         {smtpctest.Options{Ext: []string{"AUTH PLAIN"}}, TLSStartTLS, "temporary 0 4.7.4"},
		"unknown certificate": {smtpctest.Options{TLS: other, Ext: []string{"AUTH PLAIN"}}, TLSStartTLS, "temporary 0 4.7.5"},
	} {
		s := smtpctest.New(t, c.o)
		r := send(t, smart(t, s, Smarthost{User: "alice", Password: "x", TLS: c.mode}, trust), "b.test", letter(t, "bob@b.test"))
		t.Run(name, func(t *testing.T) { want(t, r.Outcomes[0], c.want, "") })
		sent := strings.Contains(strings.Join(s.Lines(), "\n"), "AUTH")
		if sent != strings.HasPrefix(c.want, "delivered") {
			t.Errorf("%s: password sent: %v", name, sent)
		}
	}
}

func TestImplicitTLS(t *testing.T) {
	conf, pool := smtpctest.Certificate(t, "127.0.0.1")
	s := smtpctest.New(t, smtpctest.Options{Implicit: conf})
	c := smart(t, s, Smarthost{TLS: TLSImplicit}, func(o *Options) { o.TLS = &tls.Config{RootCAs: pool} })
	r := send(t, c, "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	if r.Outcomes[0].TLS == "" {
		t.Error("in clear")
	}
	r = send(t, smart(t, s, Smarthost{TLS: TLSImplicit}), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "temporary 0 4.7.5", "certificate")
}

// A password goes over loopback or over TLS with a valid certificate, and
// nowhere else, whatever the configuration says.
func TestPasswordPolicy(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"AUTH PLAIN"}})
	far := func(o *Options) { o.Dial = dialTo(s.Addr().String()) }
	for _, mode := range []TLSMode{TLSOpportunistic, TLSNone, TLSStartTLS} {
		c := smart(t, s, Smarthost{Host: "192.0.2.1", User: "alice", Password: "x", TLS: mode}, far)
		o := send(t, c, "b.test", letter(t, "bob@b.test")).Outcomes[0]
		if o.Status != Temporary || !strings.HasPrefix(o.Enhanced, "4.7.") {
			t.Errorf("mode %d: %v", mode, o)
		}
	}
	if read := strings.Join(s.Lines(), "\n"); strings.Contains(read, "AUTH") {
		t.Errorf("sent in clear: %q", read)
	}
}
