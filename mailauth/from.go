package mailauth

import (
	"slices"

	"postrider/mail"
)

// maxAuthors bounds the domains in From that are looked up.
const maxAuthors = 5

// authors is who a header says that it is from.
type authors struct {
	fields  int      // From fields; anything but one is no message of RFC 5322 §3.6
	domains []string // of all authors, each once, in A-labels
	invalid bool     // something there has no valid address
	many    bool     // there are more domains than are looked up
}

// findAuthors reads every From. Whatever some reader may take for the author
// counts: each address of a list or group, and in a list of bad form each word
// with an "@" (RFC 9989 §11.5: what is judged must be what is shown).
func findAuthors(h *header) authors {
	var a authors
	for _, place := range h.all("from") {
		a.fields++
		for _, addr := range mail.Authors(h.fields[place].Value()) {
			domain, err := mail.DomainKey(addr.Domain)
			switch {
			case addr.IsZero() || err != nil || domain == "" || domain[0] == '[':
				a.invalid = true
			case slices.Contains(a.domains, domain):
			case len(a.domains) == maxAuthors:
				a.many = true
			default:
				a.domains = append(a.domains, domain)
			}
		}
	}
	return a
}
