package test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/lab"
	"postrider/internal/labdns"
)

// TestPolicies hands a live server mail that nothing proves, from domains that
// ask for different things, and looks where it goes; what pretends to be the
// server's own findings is hidden.
func TestPolicies(t *testing.T) {
	t.Parallel()
	dns, err := labdns.Start("127.0.0.1:0", strings.NewReader("$TTL 60\ntest. SOA ns.test. h.test. 1 1 1 1 1\n127.in-addr.arpa. SOA ns.test. h.test. 1 1 1 1 1\n"+
		"_dmarc.reject.test. TXT \"v=DMARC1; p=reject\"\n_dmarc.quarantine.test. TXT \"v=DMARC1; p=quarantine\"\n_dmarc.none.test. TXT \"v=DMARC1; p=none\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	for policy, want := range map[string]map[string]string{
		"enforce": {"reject.test": "550 5.7.26", "quarantine.test": "Junk", "none.test": "INBOX", "silent.test": "INBOX"},
		"junk":    {"reject.test": "Junk", "quarantine.test": "Junk", "none.test": "INBOX"},
		"report":  {"reject.test": "INBOX", "quarantine.test": "INBOX", "none.test": "INBOX"},
	} {
		s := newSite(t, func(c *lab.Config) {
			c.Resolver, c.Extra = dns.Addr(), "[checks]\nexempt_networks = []\npolicy = \""+policy+"\"\n"
		})
		for domain, where := range want {
			text := "Authentication-Results: mail.a.test; dmarc=pass header.from=" + domain + "\r\n" + strings.ReplaceAll(message("from "+domain), "alice@a.test", "x@"+domain)
			err := hand(t, "127.0.0.1", s, "x@"+domain, bob, text)
			if code, _, refused := strings.Cut(where, " "); refused {
				if err == nil || !strings.HasPrefix(err.Error(), code) {
					t.Errorf("%s, %s: %v", policy, domain, err)
					continue
				}
				said := strings.NewReplacer(`"`, "", "\n", " ").Replace(err.Error())
				if !strings.HasPrefix(said, where) {
					t.Errorf("%s, %s: %s", policy, domain, said)
				}
				journeyUntil(t, s, "asks to reject such mail", refusedID(t, said))
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", policy, domain, err)
				continue
			}
			got := client(t, "", "curl", "-sS", "imap://"+s.Addr["imap"]+"/"+where+"?SUBJECT%20"+domain, "-u", bob+":"+password)
			uid := regexp.MustCompile(`\* SEARCH (\d+)`).FindStringSubmatch(got)
			if uid == nil {
				t.Errorf("%s, %s is not in %s: %s", policy, domain, where, got)
				continue
			}
			read := client(t, "", "curl", "-sS", "imap://"+s.Addr["imap"]+"/"+where+";MAILINDEX="+uid[1], "-u", bob+":"+password)
			if n := strings.Count(read, "Authentication-Results:"); n != 1 || strings.Contains(read, "dmarc=pass") {
				t.Errorf("%s, %s: %d Authentication-Results in\n%s", policy, domain, n, read)
			}
		}
	}
}

// TestForgedUnchecked: a server that checks nothing lets nobody else say that
// it did, either.
func TestForgedUnchecked(t *testing.T) {
	t.Parallel()
	for exempt, want := range map[string]int{"": 0, `"127.0.0.0/8"`: 1} {
		s := newSite(t, func(c *lab.Config) { c.Extra = "[checks]\nenabled = false\nexempt_networks = [" + exempt + "]\n" })
		text := "Authentication-Results: mail.a.test; dmarc=pass\r\n" + message("forged")
		if err := hand(t, "127.0.0.1", s, "x@b.test", bob, text); err != nil {
			t.Fatal(err)
		}
		if got := waitInbox(t, s, bob, 1)[0]; strings.Count(got, "Authentication-Results") != want {
			t.Errorf("exempt are %s:\n%s", exempt, got)
		}
	}
}

// TestJourneyScopes: who sent sees all of a journey, an administrator too,
// each recipient only himself, Bcc or not, and others nothing.
func TestJourneyScopes(t *testing.T) {
	t.Parallel()
	const hidden, other, root = "hidden@a.test", "other@a.test", "root@a.test"
	s := newSite(t, func(c *lab.Config) {
		c.Accounts = append(c.Accounts, lab.Account{Address: hidden, Password: password}, lab.Account{Address: other, Password: password})
	})
	if out, err := s.Run(t.Context(), password+"\n", "account", "add", "--admin", root); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	id := submit(t, s, alice, bob, message("with a Bcc"), "--mail-rcpt", hidden, "--mail-rcpt", "far@b.test")
	var rows []struct{ ID, To string }
	all := journeyUntil(t, s, "queued", id)
	out, err := s.Run(t.Context(), "", "queue", "list", "--json")
	if err != nil || json.Unmarshal([]byte(out), &rows) != nil || len(rows) != 1 {
		t.Fatalf("the queue: %v\n%s", err, out)
	}
	everybody := []string{bob, hidden, "far@b.test"}
	for _, c := range []struct {
		who  string
		sees []string // of everybody; nil is nothing at all
	}{{"", everybody}, {root, everybody}, {alice, everybody}, {bob, []string{bob}}, {hidden, []string{hidden}}, {other, nil}} {
		for _, by := range []string{id, "<with.a.Bcc@a.test>", rows[0].ID} {
			for _, form := range []string{"", "--json"} {
				args := []string{"journey", by}
				if c.who != "" {
					args = append(args, "--account", c.who)
				}
				if form != "" {
					args = append(args, form)
				}
				got, err := s.Run(t.Context(), "", args...)
				if (err == nil) != (c.sees != nil) {
					t.Errorf("%v: %v\n%s", args, err, got)
				}
				for _, r := range everybody {
					want := false
					for _, v := range c.sees {
						want = want || v == r
					}
					if strings.Contains(got, r) != want {
						t.Errorf("%v: %s is shown: %v\n%s\nall of it:\n%s", args, r, !want, got, all)
					}
				}
			}
		}
	}
}
