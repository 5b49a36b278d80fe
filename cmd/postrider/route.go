package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"postrider/mail"
	"postrider/smtpc"
)

// route is a way out for some of the mail.
type route struct {
	senders map[string]bool // keys of addresses, and of domains with "@" in front
	dests   map[string]bool // domains, and with "." in front what is below
	client  *smtpc.Client
}

// routes makes the configured ways out of the one that all other mail takes,
// as queue.Options.Route wants them; nil if there are none.
func routes(cfg *Config, base *smtpc.Client) func(mail.Address, string) (*smtpc.Client, bool) {
	if len(cfg.Routes) == 0 {
		return nil
	}
	var list []route
	bySender := false
	for i := range cfg.Routes {
		r, _, _ := cfg.Routes[i].parse(i)
		r.client = base.Via(cfg.Routes[i].via(i))
		bySender = bySender || len(r.senders) > 0
		list = append(list, r)
	}
	return func(from mail.Address, dest string) (*smtpc.Client, bool) {
		for _, r := range list {
			if r.fits(from, dest) {
				return r.client, bySender
			}
		}
		return nil, bySender
	}
}

func (r *route) fits(from mail.Address, dest string) bool {
	return (len(r.senders) == 0 || r.sends(from)) && (len(r.dests) == 0 || r.leadsTo(dest))
}

func (r *route) sends(from mail.Address) bool {
	if from.IsZero() {
		return false // notices, whoever they are about, go as [queue] says
	}
	domain, err := mail.DomainKey(from.Domain)
	return r.senders[from.Key()] || err == nil && r.senders["@"+domain]
}

func (r *route) leadsTo(dest string) bool {
	if r.dests[dest] {
		return true
	}
	for d := dest; ; {
		_, above, ok := strings.Cut(d, ".")
		if !ok {
			return false
		}
		if d = above; r.dests["."+d] {
			return true
		}
	}
}

// parse reads senders and destinations; if one is wrong, it returns its key
// and what is wrong.
func (c *RouteConfig) parse(i int) (r route, key, wrong string) {
	r.senders, r.dests = map[string]bool{}, map[string]bool{}
	for _, s := range c.From {
		if domain, ok := strings.CutPrefix(s, "@"); ok {
			d, err := mail.DomainKey(domain)
			if err != nil {
				return r, "from", fmt.Sprintf("%q is no domain; write @example.org", s)
			}
			r.senders["@"+d] = true
			continue
		}
		a, err := mail.ParseAddress(s)
		if err != nil {
			return r, "from", fmt.Sprintf("%q is no address; write alice@example.org, or @example.org for all of a domain", s)
		}
		r.senders[a.Key()] = true
	}
	for _, s := range c.To {
		below, isBelow := strings.CutPrefix(s, ".")
		d, err := mail.DomainKey(below)
		if err != nil {
			return r, "to", fmt.Sprintf("%q is no domain; write example.com, or .example.com for those below it", s)
		}
		if isBelow {
			d = "." + d
		}
		r.dests[d] = true
	}
	return r, "", ""
}

// via is the way itself.
func (c *RouteConfig) via(i int) smtpc.Via {
	v := smtpc.Via{Name: c.Name, SOCKS: c.SOCKS, SOCKSUser: c.SOCKSUser, SOCKSPassword: c.SOCKSPassword,
		Smarthost: smarthost(QueueConfig{Smarthost: c.Smarthost, SmarthostUser: c.User, SmarthostPassword: c.Password, SmarthostTLS: c.TLS})}
	if v.Name == "" {
		v.Name = fmt.Sprintf("route %d", i+1)
	}
	for _, s := range c.Source {
		if a, err := netip.ParseAddr(s); err == nil && a.Is4() {
			v.Source4 = a
		} else if err == nil {
			v.Source6 = a
		}
	}
	return v
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, nerr := strconv.Atoi(port)
	return err == nil && host != "" && nerr == nil && n > 0 && n <= 65535
}

func (c *Config) checkRoutes() *problem {
	for i := range c.Routes {
		r := &c.Routes[i]
		at := func(key string) string { return fmt.Sprintf("route[%d].%s", i, key) }
		if r.TLS == "" {
			r.TLS = "opportunistic"
		}
		if _, key, wrong := r.parse(i); wrong != "" {
			return problemf(at(key), "%s", wrong)
		}
		_, tlsKnown := smarthostTLS(r.TLS)
		switch {
		case r.Smarthost != "" && !isHostPort(r.Smarthost):
			return problemf(at("smarthost"), `%q is no host with a port; write "smtp.example.net:587"`, r.Smarthost)
		case r.Smarthost == "" && r.User != "":
			return problemf(at("user"), "there is no smarthost to log in to")
		case (r.User == "") != (r.Password == ""):
			return &problem{at("user"), "user and password belong together; give both or neither", at("password")}
		case !tlsKnown:
			return problemf(at("tls"), `%q is no way; write "starttls", "tls", "opportunistic" or "none"`, r.TLS)
		case r.SOCKS != "" && !isHostPort(r.SOCKS):
			return problemf(at("socks"), `%q is no host with a port; write "127.0.0.1:1080"`, r.SOCKS)
		}
		if k := slices.IndexFunc(r.Source, func(s string) bool { _, err := netip.ParseAddr(s); return err != nil }); k >= 0 {
			return problemf(at("source"), "%q is no IP address", r.Source[k])
		}
	}
	return nil
}
