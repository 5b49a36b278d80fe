package mailauth

import (
	"fmt"
	"slices"
	"strings"

	"postrider/mail"
)

// Act is what is done with what a DMARC policy asks for.
type Act uint8

const (
	ActEnforce Act = iota // refuse, and file to Junk
	ActJunk               // file to Junk what should be refused
	ActReport             // only say so
)

// SPFAction is what is done where SPF fails and no DMARC policy says anything.
type SPFAction uint8

const (
	SPFAccept SPFAction = iota // forwarders break SPF
	SPFJunk
	SPFRefuse
)

// Verdict is what becomes of a message.
type Verdict string

const (
	Accept Verdict = "accept"
	Junk   Verdict = "junk"
	Refuse Verdict = "refuse" // for good
	Defer  Verdict = "defer"  // come back later
)

// Refusal is how a Refuse or Defer reads on the wire.
type Refusal struct {
	Code     int    `json:"code"`
	Enhanced [3]int `json:"enhanced"`
	Text     string `json:"text"`
}

// Result is what a check found, and what follows.
type Result struct {
	Verdict Verdict     `json:"verdict"`
	Reply   *Refusal    `json:"reply,omitempty"`
	Reasons []string    `json:"why,omitempty"`
	Addr    string      `json:"addr"`
	SPF     SPF         `json:"spf"`
	DKIM    []Signature `json:"dkim,omitempty"`
	DMARC   DMARC       `json:"dmarc"`
	ARC     ARC         `json:"arc"`
	IPRev   IPRev       `json:"iprev"`

	From   mail.Address `json:"-"`
	Helo   string       `json:"-"`
	Header []byte       `json:"-"` // of the message, as far as it was looked at

	header   *header
	judged   []DMARC // each author's domain that has a policy
	override string  // why a policy was not followed, as reports name it (RFC 9990)
}

func (r *Result) because(format string, args ...any) {
	r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...))
}

func (r *Result) refuse(v Verdict, code, class, subject, detail int, text string) {
	r.Verdict = v
	r.Reply = &Refusal{code, [3]int{class, subject, detail}, text}
}

// decide makes a verdict of what was found.
func (r *Result) decide(o *Options, k *Check) {
	r.Verdict = Accept
	r.explain(k)
	switch {
	case k.tooLong:
		r.because("its header is longer than %d bytes", maxHeader)
		r.refuse(Refuse, 552, 5, 3, 4, "Header too long")
	case k.authors.fields > 1:
		// RFC 5322 §3.6 allows one; two of them are two stories of who wrote it.
		r.because("it has %d From fields", k.authors.fields)
		r.refuse(Refuse, 550, 5, 7, 1, "A message has one From field (RFC 5322 section 3.6)")
	case r.DMARC.Result == TempError && r.DMARC.record != nil:
		if r.DMARC.Asks != AskNone && !r.spared(o) {
			r.refuse(Defer, 451, 4, 7, 26, "The sender could not be checked against the policy of "+r.DMARC.Domain+", try again later")
		}
	case r.DMARC.Result == Fail:
		r.follow(o)
	case k.authors.many:
		r.because("From names more than %d domains", maxAuthors)
		r.Verdict = Junk
	case r.DMARC.Result == None && r.SPF.Result == Fail && !r.signedByAuthor(k):
		r.spfFailed(o.SPFFail)
	}
	if o.Act == ActReport && r.Verdict != Accept {
		r.because("it is accepted because policies are only reported here")
		r.Verdict, r.Reply, r.override = Accept, nil, "local_policy"
	} else if o.Act == ActJunk && r.Verdict == Refuse {
		r.because("it is not refused because policies only lead to Junk here")
		r.Verdict, r.Reply, r.override = Junk, nil, "local_policy"
	}
}

// follow does what the author's domain asks for.
func (r *Result) follow(o *Options) {
	d := &r.DMARC
	if d.Asks == AskNone {
		r.because("%s asks for nothing to be done about it", d.Found)
		return
	}
	if r.spared(o) {
		return
	}
	r.because("%s asks to %s such mail", d.Found, map[Disposition]string{AskReject: "reject", AskQuarantine: "quarantine"}[d.Asks])
	if d.Asks == AskQuarantine {
		r.Verdict = Junk
		return
	}
	r.refuse(Refuse, 550, 5, 7, 26, "Not from "+d.Domain+" by SPF or DKIM, and its DMARC policy is to reject") // RFC 7372 §3.3
}

// spared tells whether a trusted sealer vouches for every author of whom
// nothing is proved here.
func (r *Result) spared(o *Options) bool {
	by := ""
	for i := range r.judged {
		if d := &r.judged[i]; d.severity() >= someAction {
			if by = r.vouched(d.Domain, o.Sealers); by == "" {
				return false
			}
		}
	}
	if by != "" {
		r.because("%s, which is trusted, says by ARC that it passed there", by)
		r.override = "trusted_forwarder"
	}
	return by != ""
}

func (r *Result) spfFailed(a SPFAction) {
	switch a {
	case SPFJunk:
		r.Verdict = Junk
	case SPFRefuse:
		r.refuse(Refuse, 550, 5, 7, 23, "SPF: "+r.SPF.Domain+" does not send from "+r.Addr) // RFC 7372 §3.2
	}
}

// signedByAuthor tells whether the author's own domain signed it, whatever SPF
// says.
func (r *Result) signedByAuthor(k *Check) bool {
	return slices.ContainsFunc(r.DKIM, func(s Signature) bool {
		return s.Result == Pass && slices.ContainsFunc(k.authors.domains, func(d string) bool { return within(d, s.Domain) })
	})
}

// explain says in words what was found.
func (r *Result) explain(k *Check) {
	switch s := r.SPF; s.Result {
	case Pass:
		r.because("SPF: %s sends from %s", s.Domain, r.Addr)
	case None:
	default:
		r.because("SPF %s: %s (%s)", s.Result, s.Reason, s.Domain)
	}
	for _, s := range r.DKIM {
		if s.Result == Pass {
			r.because("DKIM: signed by %s", s.Domain)
		} else {
			r.because("DKIM %s: %s (%s)", s.Result, s.Reason, s.Domain)
		}
	}
	if k.more > 0 {
		r.because("%d more signatures were not looked at", k.more)
	}
	switch d := &r.DMARC; {
	case k.tooLong:
	case k.authors.fields == 0:
		r.because("DMARC: it has no From, so that there is no policy to ask for")
	case len(k.authors.domains) == 0:
		r.because("DMARC: its From names no domain, so that there is no policy to ask for")
	case d.Result == Pass:
		r.because("DMARC: it is from %s", d.Domain)
	case d.Result != None:
		r.because("DMARC %s: %s", d.Result, d.Reason)
	}
	if s := r.DMARC.differs(); s != "" {
		r.because("%s", s)
	}
	switch a := r.ARC; a.Result {
	case Pass:
		r.because("ARC: sealed by %s", strings.Join(a.Sealers, ", then "))
	case None:
	default:
		r.because("ARC %s: %s", a.Result, a.Reason)
	}
}

// vouched returns the trusted sealer who says that the message passed DMARC for
// a domain when it had it; empty if there is none. Each sealer that is passed over on
// the way back has to be trusted too, as it could have changed anything.
func (r *Result) vouched(domain string, trusted []string) string {
	if r.ARC.Result != Pass {
		return ""
	}
	for i := len(r.ARC.Sealers) - 1; i >= 0; i-- {
		sealer := r.ARC.Sealers[i]
		if !slices.ContainsFunc(trusted, func(t string) bool { return within(sealer, t) }) {
			return ""
		}
		dmarc, arc := sealedResults(r.ARC.results[i], domain)
		if dmarc {
			return sealer
		}
		if !arc {
			return ""
		}
	}
	return ""
}

// sealedResults reads what an ARC-Authentication-Results says: that DMARC
// passed for the domain, that the chain did.
func sealedResults(value, domain string) (dmarc, arc bool) {
	for part := range strings.SplitSeq(stripQuotes(value), ";") {
		words := strings.Fields(part)
		if len(words) == 0 {
			continue
		}
		switch strings.ToLower(words[0]) {
		case "arc=pass":
			arc = true
		case "dmarc=pass":
			for _, w := range words[1:] {
				name, v, _ := strings.Cut(w, "=")
				dmarc = dmarc || strings.EqualFold(name, "header.from") && strings.EqualFold(v[strings.LastIndexByte(v, '@')+1:], domain)
			}
		}
	}
	return dmarc, arc
}

// stripQuotes takes quoted strings and comments out, and with them what they
// could pretend.
func stripQuotes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
			}
			b.WriteByte('?')
		case '(':
			i += commentLen(s[i:]) - 1
			b.WriteByte(' ')
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
