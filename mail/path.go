package mail

import (
	"errors"
	"strings"
)

// ParsePath reads what follows the colon of MAIL FROM: and RCPT TO:, a
// reverse-path or forward-path (RFC 5321 §4.1.2), and returns the ESMTP
// parameters after it as they stand. <> is the zero Address. Spaces before
// the path and an address without brackets are what people type, and are
// accepted; a source route is read and dropped, as §3.6.1 asks.
func ParsePath(s string) (addr Address, rest string, err error) {
	s = strings.TrimLeft(s, " \t")
	bracket := strings.HasPrefix(s, "<")
	if bracket {
		s = s[1:]
		if after, ok := strings.CutPrefix(s, ">"); ok {
			rest, err = pathRest(after)
			return Address{}, rest, err
		}
		if s, err = skipRoute(s); err != nil {
			return Address{}, "", err
		}
	}
	addr, n, err := scanMailbox(s)
	if errors.Is(err, errNoDomain) && strings.EqualFold(addr.Local, "postmaster") {
		err = nil
	}
	if err != nil {
		return Address{}, "", err
	}
	s = s[n:]
	if bracket {
		after, ok := strings.CutPrefix(s, ">")
		if !ok {
			return Address{}, "", errAngleBracket
		}
		s = after
	}
	if rest, err = pathRest(s); err != nil {
		return Address{}, "", err
	}
	return addr, rest, nil
}

// pathRest returns the parameters after a path, which a space sets apart.
func pathRest(s string) (string, error) {
	if s == "" || s[0] == ' ' || s[0] == '\t' {
		return strings.Trim(s, " \t"), nil
	}
	return "", errAfterAddress
}

// skipRoute drops a source route, "@a,@b:".
func skipRoute(s string) (string, error) {
	for strings.HasPrefix(s, "@") {
		end := strings.IndexAny(s, ",:>")
		if end < 0 || s[end] == '>' {
			return "", errSourceRoute
		}
		if _, err := parseDomain(s[1:end]); err != nil {
			return "", errSourceRoute
		}
		if s[end] == ':' {
			return s[end+1:], nil
		}
		if s = s[end+1:]; !strings.HasPrefix(s, "@") {
			return "", errSourceRoute
		}
	}
	return s, nil
}
