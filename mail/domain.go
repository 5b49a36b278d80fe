package mail

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
)

// DomainKey returns the form of a domain that domains are compared by:
// A-labels in lower case (RFC 5890 §2.3.2.1). An address literal is its own
// key.
func DomainKey(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	if !isASCII(s) {
		a, err := toASCII(s)
		if err != nil {
			return "", errDomain
		}
		s = a
	}
	if err := checkDomain(s); err != nil {
		return "", err
	}
	return strings.ToLower(s), nil
}

// parseDomain returns the form of a domain or literal that Address has.
func parseDomain(s string) (string, error) {
	if strings.HasPrefix(s, "[") {
		return parseLiteral(s)
	}
	if isASCII(s) {
		if err := checkDomain(s); err != nil {
			return "", err
		}
		return strings.ToLower(s), nil
	}
	a, err := toASCII(s)
	if err != nil {
		return "", errDomain
	}
	if err := checkDomain(a); err != nil {
		return "", err
	}
	u, err := idnaProfile().ToUnicode(a)
	if err != nil {
		return "", errDomain
	}
	// What does not map to itself has no one form to compare or to write.
	if again, err := toASCII(u); err != nil || again != a {
		return "", errDomain
	}
	return u, nil
}

// idnaProfile is UTS #46 for look-up. What labels may be made of is
// checkDomain's to say.
func idnaProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(), idna.StrictDomainName(false))
}

func toASCII(s string) (string, error) {
	if len(s) > 4*maxDomain { // U-labels are at most four times as long
		return "", errDomainTooLong
	}
	return idnaProfile().ToASCII(s)
}

// checkDomain checks a domain in ASCII: labels of letters, digits, hyphens
// and, as hosts in the world have them, underscores.
func checkDomain(s string) error {
	if len(s) > maxDomain {
		return errDomainTooLong
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return errDomain
		}
		for i := 0; i < len(label); i++ {
			if !isLabelByte(label[i]) {
				return errDomain
			}
		}
	}
	return nil
}

func isLabelByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// parseLiteral checks an address literal (RFC 5321 §4.1.3) and returns its
// canonical form: [192.0.2.1], [IPv6:2001:db8::1], [tag:content].
func parseLiteral(s string) (string, error) {
	if len(s) > maxDomain || len(s) < 3 || s[len(s)-1] != ']' {
		return "", errLiteral
	}
	body := s[1 : len(s)-1]
	tag, content, tagged := strings.Cut(body, ":")
	if !tagged {
		ip, err := netip.ParseAddr(body)
		if err != nil || !ip.Is4() {
			return "", errLiteral
		}
		return "[" + ip.String() + "]", nil
	}
	if strings.EqualFold(tag, "IPv6") {
		ip, err := netip.ParseAddr(content)
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", errLiteral
		}
		return "[IPv6:" + ip.String() + "]", nil
	}
	if checkDomain(tag) != nil || strings.Contains(tag, ".") || content == "" {
		return "", errLiteral
	}
	for i := 0; i < len(content); i++ {
		if c := content[i]; c <= ' ' || c > '~' || '[' <= c && c <= ']' {
			return "", errLiteral
		}
	}
	return "[" + strings.ToLower(tag) + ":" + content + "]", nil
}
