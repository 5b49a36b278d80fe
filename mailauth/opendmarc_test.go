package mailauth

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/needs"
	"postrider/mail"
)

// milter is a connection to a mail filter, as a mail server makes it
// (libmilter's protocol, version 6, in which every packet is answered).
type milter struct {
	net.Conn
	t *testing.T
}

// say sends a packet: a command, and strings that end with NUL.
func (m milter) say(command byte, data []byte, words ...string) {
	m.t.Helper()
	p := append([]byte{0, 0, 0, 0, command}, data...)
	for _, s := range words {
		p = append(append(p, s...), 0)
	}
	binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	if _, err := m.Write(p); err != nil {
		m.t.Fatal(err)
	}
}

// hear reads an answer: its kind, and what comes with it.
func (m milter) hear() (byte, string) {
	m.t.Helper()
	var size [4]byte
	_, err := io.ReadFull(m, size[:])
	p := make([]byte, binary.BigEndian.Uint32(size[:])%(1<<16))
	if err == nil {
		_, err = io.ReadFull(m, p)
	}
	if err != nil || len(p) == 0 {
		m.t.Fatalf("the filter's answer: %v", err)
	}
	return p[0], string(p[1:])
}

// judge gives the filter a message and returns the fields that it puts in
// front of it.
func (m milter) judge(from, message string) (fields []string) {
	m.t.Helper()
	step := func(command byte, data []byte, words ...string) bool {
		m.say(command, data, words...)
		kind, _ := m.hear()
		if kind != 'c' && kind != 'a' {
			m.t.Fatalf("the filter answers %q to %q", kind, command)
		}
		return kind == 'c'
	}
	head, body := split(message)
	step('M', nil, "<"+from+">")
	step('R', nil, "<bob@b.test>")
	for f := range mail.Fields(head) {
		step('L', nil, f.Name, strings.ReplaceAll(strings.TrimSpace(string(f.Raw[len(f.Name)+1:])), "\r\n", "\n"))
	}
	step('N', nil)
	step('B', body)
	m.say('E', nil)
	for {
		kind, data := m.hear()
		switch kind {
		case 'i': // insert a field, at an index
			words := strings.Split(data[4:], "\x00")
			fields = append(fields, words[0]+": "+words[1])
		case 'c', 'a':
			return fields
		default:
			m.t.Fatalf("the filter answers %q, %q", kind, data)
		}
	}
}

// openDMARC starts opendmarc with the world as its DNS. It asks the name
// server in resolv.conf, which is therefore another file for it; and that
// server has to be at port 53.
func openDMARC(t *testing.T, w world) milter {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	own := fmt.Sprintf("127.53.%d.%d", os.Getpid()>>8&255, os.Getpid()&255) // no other run's
	w.serve(t, own+":53", "com", "uk")
	resolv := write("resolv.conf", "nameserver "+own+"\noptions timeout:2 attempts:2\n")
	socket := filepath.Join(dir, "socket")
	conf := write("conf", "AuthservID opendmarc\nTrustedAuthservIDs mx.b.test\nSyslog false\nIgnoreHosts /dev/null\nSocket local:"+socket+"\n"+
		"PublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat\n")
	cmd := exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$1" /etc/resolv.conf && exec opendmarc -f -c "$2"`, "sh", resolv, conf)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			t.Cleanup(func() { conn.Close() })
			conn.SetDeadline(time.Now().Add(time.Minute))
			m := milter{conn, t}
			// Version 6; all changes of a message are allowed; no step is left out.
			m.say('O', []byte{0, 0, 0, 6, 0, 0, 1, 0xff, 0, 0, 0, 0})
			if kind, _ := m.hear(); kind != 'O' {
				t.Fatalf("the filter negotiates by %q", kind)
			}
			m.say('C', nil, "mail.a.test", "4\x04\x00192.0.2.1")
			m.hear()
			m.say('H', nil, "mail.a.test")
			m.hear()
			return m
		}
		if time.Now().After(end) {
			t.Fatalf("opendmarc does not begin: %v\n%s", err, complaint.String())
		}
	}
}

// shown is the part of an Authentication-Results from which DMARC follows.
func (r *Result) shown() string {
	var all []string
	for _, s := range r.results() {
		if strings.HasPrefix(s, "dkim=") || strings.HasPrefix(s, "spf=") {
			all = append(all, s)
		}
	}
	return foldResults(resultsField, "mx.b.test", strings.Join(all, ";\x00"))
}

// TestOpenDMARC compares what we say of messages with what opendmarc says,
// which goes by RFC 7489. Where it differs from RFC 9989 both answers are here.
// That strict alignment means the same domain, and that of several records
// none counts and others are passed over, stands in both (RFC 7489 §3.1, §6.6.3).
func TestOpenDMARC(t *testing.T) {
	needs.Root(t)
	needs.Command(t, "opendmarc", "-V")
	needs.Command(t, "unshare", "--mount", "true")
	w := world{
		"TXT _dmarc.reject.com":     {"v=DMARC1; p=reject"},
		"TXT _dmarc.quarantine.com": {"v=DMARC1; p=quarantine"},
		"TXT _dmarc.none.com":       {"v=DMARC1; p=none"},
		"TXT _dmarc.strict.com":     {"v=DMARC1; p=reject; adkim=s; aspf=s"},
		"TXT _dmarc.sub.com":        {"v=DMARC1; p=reject; sp=quarantine"},
		"TXT _dmarc.lax.com":        {"v=DMARC1; p=reject; sp=none"},
		"TXT _dmarc.own.sub.com":    {"v=DMARC1; p=none"},
		"TXT _dmarc.twice.com":      {"v=DMARC1; p=reject", "v=DMARC1; p=none"},
		"TXT _dmarc.other.com":      {"v=spf1 -all"},
		"TXT _dmarc.spf.com":        {"v=spf1 -all", "v=DMARC1; p=reject"},
		"TXT _dmarc.mid.walk.com":   {"v=DMARC1; p=reject"},
		"TXT _dmarc.cut.com":        {"v=DMARC1; p=reject"},
		"TXT _dmarc.unit.cut.com":   {"v=DMARC1; p=reject; psd=n"},
		"TXT _dmarc.co.uk":          {"v=DMARC1; p=reject"},
		"TXT _dmarc.walk.co.uk":     {"v=DMARC1; p=quarantine; psd=n"},
		"TXT _dmarc.gone.com":       {"v=DMARC1; p=none; np=reject"},
		"TXT _dmarc.trying.com":     {"v=DMARC1; p=reject; t=y"},
		"TXT _dmarc.odd.com":        {"v=DMARC1; p=odd; rua=mailto:x@odd.com"},
		"TXT bad.com":               {"v=spf1 -all"},
		"A sub.com":                 {"192.0.2.9"}, "A a.sub.com": {"192.0.2.9"}, "A a.lax.com": {"192.0.2.9"},
	}
	for _, sender := range []string{"reject.com", "mail.reject.com", "strict.com", "mail.strict.com", "elsewhere.com", "a.sub.com", "none.com", "cut.com"} {
		w["TXT "+sender] = []string{"v=spf1 ip4:192.0.2.1 -all"}
	}
	keys := map[string]*Key{}
	for _, d := range []string{"reject.com", "mail.reject.com", "strict.com", "mail.strict.com", "elsewhere.com", "sub.com", "none.com", "quarantine.com",
		"cut.com", "unit.cut.com", "y.co.uk", "walk.co.uk", "mid.walk.com", "twice.com"} {
		keys[d] = w.key(t, d, "e1", Ed25519)
	}
	cases := []struct {
		author, sender string
		signers        string // domains
		ours, theirs   string // theirs only where it differs, and why
		why            string
	}{
		{author: "reject.com", sender: "nothing.com", ours: "fail reject"},
		{author: "reject.com", sender: "reject.com", ours: "pass reject"},
		{author: "reject.com", sender: "bad.com", signers: "reject.com", ours: "pass reject"},
		{author: "reject.com", sender: "reject.com", signers: "reject.com", ours: "pass reject"},
		{author: "reject.com", sender: "bad.com", ours: "fail reject"},
		{author: "reject.com", sender: "elsewhere.com", signers: "elsewhere.com", ours: "fail reject"},
		{author: "reject.com", sender: "elsewhere.com", signers: "elsewhere.com reject.com", ours: "pass reject"},
		{author: "reject.com", sender: "mail.reject.com", ours: "pass reject"},
		{author: "reject.com", sender: "nothing.com", signers: "mail.reject.com", ours: "pass reject"},
		{author: "mail.reject.com", sender: "nothing.com", signers: "reject.com", ours: "pass reject"},
		{author: "REJECT.com", sender: "reject.com", ours: "pass reject"},
		{author: "strict.com", sender: "mail.strict.com", ours: "fail reject", theirs: "pass reject", why: "strict: the domains have to be the same (RFC 9989 §4.4)"},
		{author: "strict.com", sender: "nothing.com", signers: "mail.strict.com", ours: "fail reject", theirs: "pass reject", why: "the same"},
		{author: "strict.com", sender: "strict.com", ours: "pass reject"},
		{author: "strict.com", sender: "nothing.com", signers: "strict.com", ours: "pass reject"},
		{author: "mail.strict.com", sender: "strict.com", ours: "fail reject"},
		{author: "mail.strict.com", sender: "mail.strict.com", ours: "pass reject"},
		{author: "quarantine.com", sender: "bad.com", ours: "fail quarantine"},
		{author: "quarantine.com", sender: "bad.com", signers: "quarantine.com", ours: "pass quarantine"},
		{author: "none.com", sender: "bad.com", ours: "fail none"},
		{author: "none.com", sender: "none.com", ours: "pass none"},
		{author: "nothing.com", sender: "elsewhere.com", signers: "elsewhere.com", ours: "none none"},
		{author: "mail.nothing.com", sender: "nothing.com", ours: "none none"},
		{author: "sub.com", sender: "bad.com", ours: "fail reject"},
		{author: "a.sub.com", sender: "bad.com", ours: "fail quarantine"},
		{author: "a.sub.com", sender: "a.sub.com", ours: "pass quarantine"},
		{author: "a.sub.com", sender: "bad.com", signers: "sub.com", ours: "pass quarantine"},
		{author: "own.sub.com", sender: "bad.com", ours: "fail none"},
		{author: "a.lax.com", sender: "bad.com", ours: "fail none"},
		{author: "other.com", sender: "bad.com", ours: "none none"},
		{author: "spf.com", sender: "bad.com", ours: "fail reject", theirs: "none none", why: "what begins otherwise is passed over (RFC 9989 §4.10)"},
		{author: "twice.com", sender: "bad.com", signers: "twice.com", ours: "none none", theirs: "pass reject", why: "of several records none counts (RFC 9989 §4.10)"},
		{author: "a.mid.walk.com", sender: "bad.com", ours: "fail reject", theirs: "none none",
			why: "the record is between the author's domain and what the list calls its organization (RFC 9989 §4.10)"},
		{author: "a.mid.walk.com", sender: "bad.com", signers: "mid.walk.com", ours: "pass reject", theirs: "none none", why: "the same"},
		{author: "unit.cut.com", sender: "cut.com", signers: "cut.com", ours: "fail reject", theirs: "pass reject",
			why: "psd=n: the unit is an organization of its own (RFC 9989 §4.7)"},
		{author: "a.unit.cut.com", sender: "bad.com", signers: "unit.cut.com", ours: "pass reject"},
		{author: "x.walk.co.uk", sender: "bad.com", signers: "walk.co.uk", ours: "pass quarantine"},
		{author: "z.x.co.uk", sender: "bad.com", ours: "fail reject", theirs: "none none",
			why: "the list calls co.uk a public suffix, and its own record does not (RFC 9989 §4.10)"},
		{author: "z.x.co.uk", sender: "bad.com", signers: "y.co.uk", ours: "pass reject", theirs: "none none", why: "the same"},
		{author: "lost.gone.com", sender: "bad.com", ours: "fail reject", theirs: "fail none", why: "np: the domain does not exist (RFC 9989 §4.7)"},
		{author: "trying.com", sender: "bad.com", ours: "fail quarantine", theirs: "fail reject", why: "t=y: one step less (RFC 9989 §4.7)"},
		{author: "odd.com", sender: "bad.com", ours: "fail none", theirs: "permerror", why: "who wants reports is watched (RFC 9989 §4.10.1)"},
	}
	var messages []string
	var results []*Result
	for _, c := range cases {
		var by []*Key
		for _, d := range strings.Fields(c.signers) {
			if keys[d] == nil {
				t.Fatalf("no key of %s", d)
			}
			by = append(by, keys[d])
		}
		m := strings.ReplaceAll(hello, "alice@a.test", "alice@"+c.author)
		if len(by) > 0 {
			m = sign(t, m, by...)
		}
		messages, results = append(messages, m), append(results, checkFrom(t, w, Options{}, "x@"+c.sender, m))
	}
	filter := openDMARC(t, w)
	for i, c := range cases {
		said := strings.Join(filter.judge("x@"+c.sender, results[i].shown()+messages[i]), "\n")
		if found := regexp.MustCompile(`^Authentication-Results: opendmarc; dmarc=(\w+)(?: \(p=(\w+) dis=\w+\))? header\.from=[^\n]*$`).FindStringSubmatch(said); found != nil {
			said = strings.TrimSpace(found[1] + " " + found[2])
		}
		d, theirs := results[i].DMARC, c.theirs
		if theirs == "" {
			theirs = c.ours
		}
		asks := d.Asks
		if d.Result == None {
			asks = AskNone
		}
		ours := fmt.Sprintf("%s %s", d.Result, asks)
		if ours != c.ours || said != theirs {
			t.Errorf("from %s, sent by %s, signed by %q: we say %s, opendmarc %s; want %s and %s", c.author, c.sender, c.signers, ours, said, c.ours, theirs)
		} else if c.theirs != "" {
			t.Logf("from %s, sent by %s, signed by %q: we say %s, opendmarc %s: %s", c.author, c.sender, c.signers, ours, said, c.why)
		}
	}
	t.Logf("%d messages", len(cases))
}
