package mailauth

import (
	"strings"

	"postrider/mail"
)

const resultsField = "Authentication-Results"

// results writes what an Authentication-Results says behind the authserv-id
// (RFC 8601 §2.2), one method in each element.
func (r *Result) results() []string {
	var all []string
	add := func(method string, v Value, reason string, props ...string) {
		s := method + "=" + string(v)
		if reason != "" {
			s += " reason=" + quoted(reason)
		}
		for i := 0; i+1 < len(props); i += 2 {
			if props[i+1] != "" {
				s += " " + props[i] + "=" + pvalue(props[i+1])
			}
		}
		all = append(all, s)
	}
	if len(r.DKIM) == 0 {
		add("dkim", None, "")
	}
	for _, s := range r.DKIM {
		b := s.b
		if len(b) > 8 {
			b = b[:8] // RFC 6008 §3
		}
		add("dkim", s.Result, s.Reason, "header.d", s.Domain, "header.s", s.Selector, "header.a", s.Algorithm, "header.b", b)
	}
	prop := "smtp.mailfrom"
	if r.SPF.Scope == "helo" {
		prop = "smtp.helo"
	}
	add("spf", r.SPF.Result, r.SPF.Reason, prop, r.SPF.Domain)
	add("dmarc", r.DMARC.Result, r.DMARC.Reason, "header.from", r.DMARC.Domain, "policy.dmarc", string(r.DMARC.Asks))
	if r.ARC.Result != None {
		add("arc", r.ARC.Result, r.ARC.Reason, "smtp.remote-ip", r.Addr)
	}
	add("iprev", r.IPRev.Result, r.IPRev.Reason, "policy.iprev", r.Addr)
	return all
}

// Field is the Authentication-Results of a message, with the name of the
// server that checked it.
func (r *Result) Field(id string) string {
	return foldResults(resultsField, id, strings.Join(r.results(), ";\x00"))
}

// Results is what Field says, as Seal wants it.
func (r *Result) Results() string { return strings.Join(r.results(), ";\x00") }

// foldResults writes a field with each result, which NUL parts, on lines of
// its own.
func foldResults(name, id, results string) string {
	var b strings.Builder
	b.WriteString(name + ": " + id + ";")
	for s := range strings.SplitSeq(results, "\x00") {
		b.WriteString("\r\n\t")
		width := 8
		for i, word := range splitWords(s) {
			if i > 0 {
				if width+1+len(word) > foldAt {
					b.WriteString("\r\n\t")
					width = 8
				} else {
					b.WriteString(" ")
					width++
				}
			}
			b.WriteString(word)
			width += len(word)
		}
	}
	return b.String() + "\r\n"
}

// splitWords splits at spaces, those in quotes too: what is folded there reads
// as one space again.
func splitWords(s string) []string { return strings.Split(s, " ") }

// pvalue writes the value of a property: a token or an address as it is,
// anything else in quotes (RFC 8601 §2.2).
func pvalue(s string) string {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>,;:\"/[]?=`, c) >= 0 {
			return quoted(s)
		}
	}
	return s
}

// quoted writes a quoted string of printable ASCII; anything else in it
// becomes a question mark, so that nothing can end the field.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r < ' ' || r > '~':
			r = '?'
		case r == '"' || r == '\\':
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	b.WriteByte('"')
	return b.String()
}

// oneWord makes a value of the peer's fit to stand in a reason.
func oneWord(s string) string {
	if len(s) > 20 {
		s = s[:20]
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// Forged tells whether a field claims to be an Authentication-Results of the
// server id, which nobody else may write (RFC 8601 §5).
func Forged(f mail.Field, id string) bool {
	if !f.Is(resultsField) {
		return false
	}
	got := strings.TrimRight(authservID(f.Value()), ".")
	if key, err := mail.DomainKey(got); err == nil {
		got = key // a name of U-labels is the same server
	}
	return strings.EqualFold(got, id)
}

// authservID reads the identifier that an Authentication-Results begins with:
// a token or a quoted string, with comments before it. Whatever ends a token
// (RFC 2045 §5.1) ends it, as readers take less care than writers.
func authservID(s string) string {
	for {
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, "(") {
			break
		}
		s = s[commentLen(s):]
	}
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s) && s[i] != '"'; i++ {
			if s[i] == '\\' && i+1 < len(s) {
				i++
			}
			b.WriteByte(s[i])
		}
		return trimSpace(b.String())
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?=`, r) }); i >= 0 {
		s = s[:i]
	}
	return s
}

// commentLen is how long the comment at the beginning of s is.
func commentLen(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}
