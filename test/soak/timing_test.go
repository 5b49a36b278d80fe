package soak

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/lab"
)

// question is something that a peer may ask about a user before it has logged
// in. Said is what comes before, ask is what is timed; #u stands for the user,
// #p for a wrong password, #B(…) for base64, #s for the proof that SCRAM wants.
type question struct {
	name, listener string
	said           []string
	ask, answer    string
	repeated       bool // the password is the same every time
}

// slow are the questions that count as guesses: each is paused for.
var slow = []question{
	{name: "IMAP LOGIN", listener: "imap", ask: `a LOGIN #u "#p"`, answer: "a NO [AUTHENTICATIONFAILED]"},
	{name: "IMAP LOGIN again", listener: "imap", ask: `a LOGIN #u "#p"`, answer: "a NO [AUTHENTICATIONFAILED]", repeated: true},
	{name: "IMAP PLAIN", listener: "imap", ask: "a AUTHENTICATE PLAIN #B(\x00#u\x00#p)", answer: "a NO [AUTHENTICATIONFAILED]"},
	{name: "IMAP AUTH LOGIN", listener: "imap", said: []string{"a AUTHENTICATE LOGIN", "#B(#u)"}, ask: "#B(#p)", answer: "a NO [AUTHENTICATIONFAILED]"},
	{name: "IMAP SCRAM", listener: "imap", said: []string{"a AUTHENTICATE SCRAM-SHA-256 #B(n,,n=#u,r=abc)"}, ask: "#s", answer: "a NO [AUTHENTICATIONFAILED]"},
	{name: "POP3 PASS", listener: "pop3", said: []string{"USER #u"}, ask: "PASS #p", answer: "-ERR [AUTH]"},
	{name: "POP3 PASS again", listener: "pop3", said: []string{"USER #u"}, ask: "PASS #p", answer: "-ERR [AUTH]", repeated: true},
	{name: "POP3 PLAIN", listener: "pop3", ask: "AUTH PLAIN #B(\x00#u\x00#p)", answer: "-ERR [AUTH]"},
	{name: "POP3 SCRAM", listener: "pop3", said: []string{"AUTH SCRAM-SHA-256 #B(n,,n=#u,r=abc)"}, ask: "#s", answer: "-ERR [AUTH]"},
	{name: "SMTP PLAIN", listener: "submission", said: []string{"EHLO c.test"}, ask: "AUTH PLAIN #B(\x00#u\x00#p)", answer: "535"},
	{name: "SMTP PLAIN again", listener: "submission", said: []string{"EHLO c.test"}, ask: "AUTH PLAIN #B(\x00#u\x00#p)", answer: "535", repeated: true},
	{name: "SMTP LOGIN", listener: "submission", said: []string{"EHLO c.test", "AUTH LOGIN", "#B(#u)"}, ask: "#B(#p)", answer: "535"},
	{name: "SMTP SCRAM", listener: "submission", said: []string{"EHLO c.test", "AUTH SCRAM-SHA-256 #B(n,,n=#u,r=abc)"}, ask: "#s", answer: "535"},
}

// quick are the others. RCPT from other servers is not among them: its answer
// tells by itself, as it must.
var quick = []question{
	{name: "IMAP SCRAM challenge", listener: "imap", ask: "a AUTHENTICATE SCRAM-SHA-256 #B(n,,n=#u,r=abc)", answer: "+ "},
	{name: "POP3 SCRAM challenge", listener: "pop3", ask: "AUTH SCRAM-SHA-256 #B(n,,n=#u,r=abc)", answer: "+ "},
	{name: "SMTP SCRAM challenge", listener: "submission", said: []string{"EHLO c.test"}, ask: "AUTH SCRAM-SHA-256 #B(n,,n=#u,r=abc)", answer: "334 "},
	{name: "POP3 USER", listener: "pop3", ask: "USER #u", answer: "+OK"},
	{name: "SMTP VRFY", listener: "smtp", said: []string{"EHLO c.test"}, ask: "VRFY #u", answer: "252"},
	{name: "SMTP RCPT without login", listener: "submission", said: []string{"EHLO c.test", "MAIL FROM:<x@a.test>"}, ask: "RCPT TO:<#u>", answer: "5"},
}

// times of the answers about users who exist and who do not.
type times struct{ known, unknown []float64 }

// likeness is how likely times as far apart as these are if they all have the
// same cause (the two-sided test of Mann and Whitney, by its normal limit), and
// by how much, in seconds, the medians differ.
func (x *times) likeness(shift float64) (p, apart float64) {
	type sample struct {
		took    float64
		unknown bool
	}
	var all []sample
	for _, s := range x.known {
		all = append(all, sample{s, false})
	}
	for _, s := range x.unknown {
		all = append(all, sample{s + shift, true})
	}
	slices.SortFunc(all, func(a, b sample) int {
		switch {
		case a.took < b.took:
			return -1
		case a.took > b.took:
			return 1
		}
		return 0
	})
	ranks := 0.0 // of the unknown
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].took == all[i].took {
			j++
		}
		for ; i < j; i++ {
			if all[i].unknown {
				ranks += float64(i) + 1
			}
		}
	}
	m, n := float64(len(x.unknown)), float64(len(x.known))
	u := ranks - m*(m+1)/2
	z := (u - m*n/2) / math.Sqrt(m*n*(m+n+1)/12)
	return math.Erfc(math.Abs(z) / math.Sqrt2), median(x.unknown) + shift - median(x.known)
}

func median(x []float64) float64 {
	s := slices.Sorted(slices.Values(x))
	return s[len(s)/2]
}

// seen is the smallest difference, in seconds, that would have been found.
func (x *times) seen(limit float64) float64 {
	for shift := 1e-6; ; shift *= 1.1 {
		a, _ := x.likeness(shift)
		b, _ := x.likeness(-shift)
		if a < limit && b < limit {
			return shift
		}
	}
}

// census asks questions about users of two kinds.
type census struct {
	s     *lab.Site
	t     *testing.T
	users int

	mu    sync.Mutex
	times map[string]*times
	tries int
}

// round asks each question so many times about either kind, in random order,
// from several clients at once.
func (c *census) round(random *rand.Rand, questions []question, samples, clients int) {
	type try struct {
		q     question
		known bool
		user  string
		n     int
	}
	var all []try
	for i := range samples {
		for _, q := range questions {
			c.tries++
			all = append(all, try{q, true, fmt.Sprintf("user%03d@a.test", i%c.users), c.tries}, try{q, false, fmt.Sprintf("none%03d@a.test", i%c.users), c.tries})
		}
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	c.times = map[string]*times{}
	for _, q := range questions {
		c.times[q.name] = &times{}
	}
	var wg sync.WaitGroup
	for w := range clients {
		wg.Go(func() {
			for i := w; i < len(all); i += clients {
				r := all[i]
				password := "wrong"
				if !r.q.repeated {
					password = fmt.Sprintf("wrong %06d", r.n)
				}
				took, err := c.ask(r.q, r.user, password, r.n)
				if err != nil {
					c.t.Errorf("%s about %s: %v", r.q.name, r.user, err)
					return
				}
				c.mu.Lock()
				x := c.times[r.q.name]
				if r.known {
					x.known = append(x.known, took.Seconds())
				} else {
					x.unknown = append(x.unknown, took.Seconds())
				}
				c.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// ask asks one question over a connection of its own, from one of many
// networks, since guesses from one are counted together.
func (c *census) ask(q question, user, password string, n int) (time.Duration, error) {
	from := net.IPv4(127, byte(1+n/200%200), byte(1+n%200), 1)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: patience}
	nc, err := d.Dial("tcp", c.s.Addr[q.listener])
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	w := &wire{Conn: nc}
	w.r = newReader(nc)
	hear := w.line
	if q.listener == "smtp" || q.listener == "submission" {
		hear = w.reply
	}
	last, err := hear()
	for _, s := range q.said {
		if err == nil {
			if err = w.send("%s", spell(s, user, password, last)); err == nil {
				last, err = hear()
			}
		}
	}
	if err != nil {
		return 0, err
	}
	line := spell(q.ask, user, password, last)
	begin := time.Now()
	if err := w.send("%s", line); err != nil {
		return 0, err
	}
	got, err := hear()
	took := time.Since(begin)
	if err == nil && !strings.HasPrefix(got, q.answer) {
		err = fmt.Errorf("answered %q", got)
	}
	return took, err
}

// spell makes a line of a question's template and the last answer.
func spell(template, user, password, last string) string {
	s := strings.NewReplacer("#u", user, "#p", password).Replace(template)
	if s == "#s" { // what is not the proof (RFC 5802 §3)
		challenge := last[strings.LastIndexByte(last, ' ')+1:]
		first, _ := base64.StdEncoding.DecodeString(challenge)
		nonce, _, _ := strings.Cut(string(first), ",")
		s = "#B(c=biws," + nonce + ",p=" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + ")"
	}
	before, rest, found := strings.Cut(s, "#B(")
	if !found {
		return s
	}
	return before + base64.StdEncoding.EncodeToString([]byte(strings.TrimSuffix(rest, ")")))
}

// TestTiming asks about users who exist and who do not, by all protocols, in
// random order, and compares how long the answers take. A difference counts
// if it is beyond chance and a second round shows it as well. Only a full run
// compares; the work that is done is counted by TestSameWork in auth.
func TestTiming(t *testing.T) {
	random, _ := seeded(t)
	begin := time.Now()
	conf := siteConfig(t.TempDir())
	c := &census{t: t, users: pick("timing", 2, 60)}
	for i := range c.users {
		conf.Accounts = append(conf.Accounts, lab.Account{Address: fmt.Sprintf("user%03d@a.test", i), Password: password})
	}
	conf.Extra = "[limits]\nconnections_per_ip = 0\n"
	s, err := lab.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	c.s = s
	logins, others := pick("timing", 1, 200), pick("timing", 2, 3000)
	// One in a hundred of sound servers would be suspected.
	limit := 0.01 / float64(len(slow)+len(quick))
	lowest, seen := 1.0, map[bool]float64{}
	for _, group := range []struct {
		questions        []question
		samples, clients int
	}{{quick, others, 1}, {slow, logins, 6}} {
		c.round(random, group.questions, group.samples, group.clients)
		if t.Failed() || !full("timing") {
			continue
		}
		var suspects []question
		first := c.times
		for _, q := range group.questions {
			x := first[q.name]
			p, apart := x.likeness(0)
			lowest = min(lowest, p)
			isSlow := group.clients > 1
			seen[isSlow] = max(seen[isSlow], x.seen(limit))
			t.Logf("%-24s known %.3f ms, unknown %+.1f µs, p %.4f; %.0f µs would be seen", q.name, 1e3*median(x.known), 1e6*apart, p, 1e6*x.seen(limit))
			if math.Abs(apart) > median(x.known)/20 || p < limit {
				suspects = append(suspects, q)
			}
		}
		if len(suspects) == 0 {
			continue
		}
		c.round(random, suspects, group.samples/2, group.clients)
		for _, q := range suspects {
			_, was := first[q.name].likeness(0)
			if p, apart := c.times[q.name].likeness(0); p < 0.01 && apart*was > 0 {
				t.Errorf("%s: an unknown user is answered %.1f and %.1f µs later than a known one (p %.6f)", q.name, 1e6*was, 1e6*apart, p)
			}
		}
	}
	if !full("timing") {
		return // nothing was compared
	}
	report(t, "timing", begin, "%d ways to ask for a user, %d logins and %d other questions each: known and unknown are not told apart (lowest p %.3f); "+
		"%.2f ms in a login and %.0f µs in the others would have been seen", len(slow)+len(quick), 2*logins, 2*others, lowest, 1e3*seen[true], 1e6*seen[false])
}

// TestLikeness: the same times are alike, a twentieth later is seen, and so is
// a small part that is late.
func TestLikeness(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	draw := func(n int, factor float64) (all []float64) {
		for range n {
			all = append(all, factor*(1e-3+1e-4*random.ExpFloat64()))
		}
		return all
	}
	low := 0
	for range 200 {
		x := times{draw(300, 1), draw(300, 1)}
		if p, _ := x.likeness(0); p < 0.01 {
			low++
		}
	}
	if low > 8 { // 2 are to be expected
		t.Errorf("%d of 200 comparisons of the like are below 1 %%", low)
	}
	x := times{draw(300, 1), draw(300, 1.05)}
	if p, apart := x.likeness(0); p > 1e-6 || apart < 20e-6 {
		t.Errorf("a twentieth later: p %g, apart %g", p, apart)
	}
	if p, _ := (&times{x.unknown, x.known}).likeness(0); p > 1e-6 {
		t.Errorf("a twentieth earlier: p %g", p)
	}
}
