package mailauth

import (
	"slices"
	"strings"
	"unicode"

	"postrider/mail"
)

// maxAuthors bounds the domains in From that are looked up.
const maxAuthors = 5

// authors is who a header says that it is from.
type authors struct {
	fields  int      // From fields; anything but one is no message of RFC 5322 §3.6
	domains []string // of all authors, each once, in A-labels
	many    bool     // there are more domains than are looked up
}

// findAuthors reads every From. Whatever some reader may take for the author
// counts: each address of a list or group, in a list of bad form each word with
// an "@", and if one of them is no address whatever looks like a domain behind
// an "@" (RFC 9989 §11.5: what is judged must be what is shown).
func findAuthors(h *header) authors {
	var a authors
	for _, place := range h.all("from") {
		a.fields++
		value, unread := h.fields[place].Value(), false
		for _, addr := range mail.Authors(value) {
			unread = !a.add(addr.Domain) || unread
		}
		if unread {
			for _, domain := range behindAt(value) {
				a.add(domain)
			}
		}
	}
	return a
}

// add adds a domain, and tells whether it is one.
func (a *authors) add(domain string) bool {
	key, err := mail.DomainKey(domain)
	switch {
	case err != nil || key == "" || key[0] == '[':
		return false
	case slices.Contains(a.domains, key):
	case len(a.domains) == maxAuthors:
		a.many = true
	default:
		a.domains = append(a.domains, key)
	}
	return true
}

// dots are what IDNA takes for one.
const dots = ".\u3002\uff0e\uff61"

// behindAt finds what stands behind each "@" and may be in a domain, with no
// regard to what stands around it: readers differ in what they pass over.
func behindAt(s string) (all []string) {
	other := func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.N, unicode.M) && !strings.ContainsRune("-_"+dots, r)
	}
	for _, rest := range strings.Split(s, "@")[1:] {
		rest = strings.TrimLeftFunc(rest, other)
		if i := strings.IndexFunc(rest, other); i >= 0 {
			rest = rest[:i]
		}
		all = append(all, strings.Trim(rest, dots))
	}
	return all
}
