package mailauth

import (
	"errors"
	"net/netip"
	"regexp"
	"strings"
)

// errSPFSyntax is a record that is not by the grammar.
var errSPFSyntax = errors.New("the record is not by the grammar of SPF")

// The grammar of a record's terms (RFC 7208 §12), in pieces. The macros c, r
// and t are for explanations alone (§7.2).
const (
	spfMacro   = `%(?:[%_-]|\{[slodiphv](?:0*[1-9][0-9]*)?r?[-.+,/_=]*\})`
	spfMacros  = `(?:[!-$&-~]|` + spfMacro + `)*`
	spfDomain  = spfMacros + `(?:\.(?:[a-z0-9]*[a-z][a-z0-9]*|[a-z0-9]+-[a-z0-9-]*[a-z0-9])\.?|` + spfMacro + `)`
	spfPrefix4 = `(?:/(?:[0-9]|[12][0-9]|3[0-2]))?`
	spfPrefix6 = `(?:/(?:[0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))?`
)

var (
	spfDirective = regexp.MustCompile(`(?i)^[-+?~]?(?:all|(?:include|exists):` + spfDomain + `|ptr(?::` + spfDomain + `)?|(?:a|mx)(?::` + spfDomain + `)?` +
		spfPrefix4 + `(?:/` + spfPrefix6 + `)?|ip4:([0-9.]+)` + spfPrefix4 + `|ip6:([0-9a-f:.]+)` + spfPrefix6 + `)$`)
	spfModifier = regexp.MustCompile(`(?i)^(?:(redirect|exp)=` + spfDomain + `|([a-z][a-z0-9_.-]*)=` + spfMacros + `)$`)
)

// IsSPF tells whether a TXT record is one of SPF (RFC 7208 §4.5).
func IsSPF(txt string) bool {
	const version = "v=spf1"
	return len(txt) >= len(version) && strings.EqualFold(txt[:len(version)], version) && (len(txt) == len(version) || txt[len(version)] == ' ')
}

// ValidSPF tells whether all of a record is by the grammar. A fault anywhere
// makes it worthless, even if a term before it would match (RFC 7208 §4.6).
func ValidSPF(record string) bool {
	once := map[string]bool{}
	for _, term := range strings.Split(record, " ")[1:] {
		if term == "" {
			continue
		}
		if m := spfDirective.FindStringSubmatch(term); m != nil {
			if addr := m[1] + m[2]; addr != "" {
				if a, err := netip.ParseAddr(addr); err != nil || a.Is4() != (m[1] != "") {
					return false
				}
			}
			continue
		}
		m := spfModifier.FindStringSubmatch(term)
		if m == nil {
			return false
		}
		name := strings.ToLower(m[1] + m[2])
		if name == "redirect" || name == "exp" { // RFC 7208 §6: with a domain, and once
			if m[1] == "" || once[name] {
				return false
			}
			once[name] = true
		}
	}
	return true
}
