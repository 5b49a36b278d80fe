package main

import (
	"strings"
	"testing"

	"postrider/mail"
	"postrider/smtpc"
)

func TestRoutes(t *testing.T) {
	cfg, err := loadText(t, `
[[route]]
name = "lists"
from = ["@lists.example.org", "Boss@example.org"]
smarthost = "smtp.example.net:587"
user = "relay"
password = "x"
tls = "starttls"

[[route]]
to = ["example.com", ".example.net"]
source = ["192.0.2.1", "2001:db8::1"]
socks = "127.0.0.1:1080"
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, dest string
		want       int // route, from 1
	}{
		{"news@lists.example.org", "b.test", 1},
		{"news@LISTS.example.org", "example.com", 1},
		{"news@sub.lists.example.org", "b.test", 0},
		{"boss@example.org", "b.test", 1},
		{"alice@example.org", "b.test", 0},
		{"alice@example.org", "example.com", 2},
		{"alice@example.org", "sub.example.com", 0},
		{"alice@example.org", "a.b.example.net", 2},
		{"alice@example.org", "example.net", 0},
		{"", "example.com", 2},
		{"", "b.test", 0},
	} {
		var from mail.Address
		if c.from != "" {
			from, _ = mail.ParseAddress(c.from)
		}
		got := 0
		for i := range cfg.Routes {
			if r, _, _ := cfg.Routes[i].parse(i); r.fits(from, c.dest) {
				got = i + 1
				break
			}
		}
		if got != c.want {
			t.Errorf("from %q to %q: route %d, want %d", c.from, c.dest, got, c.want)
		}
	}
	v := cfg.Routes[0].via(0)
	if v.Name != "lists" || v.Smarthost.Host != "smtp.example.net" || v.Smarthost.Port != 587 || v.Smarthost.TLS != smtpc.TLSStartTLS {
		t.Errorf("%+v %+v", v, v.Smarthost)
	}
	v = cfg.Routes[1].via(1)
	if v.Name != "route 2" || v.Smarthost != nil || v.Source4.String() != "192.0.2.1" || v.Source6.String() != "2001:db8::1" || v.SOCKS == "" {
		t.Errorf("%+v", v)
	}
	choose := routes(cfg, smtpc.New(smtpc.Options{}))
	if c, bySender := choose(mail.Address{}, "b.test"); c != nil || !bySender {
		t.Error("no route should fit, and others may")
	}
	if routes(&Config{}, nil) != nil {
		t.Error("routes of nothing")
	}
}

func TestRouteErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"from = [\"bob\"]", `"bob" is no address`},
		{"from = [\"@\"]", `"@" is no domain`},
		{"to = [\"x y\"]", `"x y" is no domain`},
		{"smarthost = \"x\"", `"x" is no host with a port`},
		{"user = \"x\"\npassword = \"y\"", "there is no smarthost to log in to"},
		{"smarthost = \"x:25\"\nuser = \"x\"", "belong together"},
		{"tls = \"maybe\"", `"maybe" is no way`},
		{"socks = \"x\"", `"x" is no host with a port`},
		{"source = [\"x\"]", `"x" is no IP address`},
		{"via = \"x\"", `there is no key "via"`},
	} {
		_, err := loadText(t, "[[route]]\n"+c.text+"\n")
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}
