package sqlite

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"postrider/store"
)

// maxName bounds a mailbox name, in bytes of its NFC.
const maxName = 1000

// cleanName brings a mailbox name into the form in which it is stored:
// Normalization Form C, INBOX in capitals also as a parent. Control
// characters, line separators (RFC 9051 §5.1), empty components and what is
// not UTF-8 are refused.
func cleanName(op, name string) (string, error) {
	if !utf8.ValidString(name) {
		return "", store.Errorf(store.Invalid, op, "mailbox name %q is not UTF-8", name)
	}
	name = norm.NFC.String(name)
	if len(name) > maxName {
		return "", store.Errorf(store.Invalid, op, "mailbox name has %d bytes, at most %d are allowed", len(name), maxName)
	}
	for _, r := range name {
		if r < 0x20 || r >= 0x7f && r <= 0x9f || r == 0x2028 || r == 0x2029 {
			return "", store.Errorf(store.Invalid, op, "mailbox name %q has a control character", name)
		}
	}
	parts := strings.Split(name, string(store.Delimiter))
	for _, p := range parts {
		if p == "" {
			return "", store.Errorf(store.Invalid, op, "mailbox name %q has an empty component", name)
		}
	}
	if strings.EqualFold(parts[0], store.Inbox) {
		parts[0] = store.Inbox
	}
	return strings.Join(parts, string(store.Delimiter)), nil
}
