package wire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// nameBase64 is the base64 of modified UTF-7 (RFC 3501 §5.1.3).
var nameBase64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// DecodeName decodes a mailbox's name from modified UTF-7 (RFC 3501 §5.1.3).
// Names with bytes above ASCII are UTF-8 already, from clients that do not care
// for modes. What stands encoded although it could stand for itself is
// refused: two names on the wire must not be one mailbox.
func DecodeName(s string) (name string, ok bool) {
	if !isASCII(s) {
		return s, utf8.ValidString(s)
	}
	if strings.IndexByte(s, '&') < 0 {
		return s, true
	}
	var out strings.Builder
	afterShift := false
	for s != "" {
		if s[0] != '&' {
			out.WriteByte(s[0])
			s, afterShift = s[1:], false
			continue
		}
		end := strings.IndexByte(s, '-')
		switch {
		case end < 0:
			return "", false
		case end == 1:
			out.WriteByte('&')
			afterShift = false
		case afterShift: // two encoded pieces without anything between
			return "", false
		default:
			text, ok := decodeShift(s[1:end])
			if !ok {
				return "", false
			}
			out.WriteString(text)
			afterShift = true
		}
		s = s[end+1:]
	}
	return out.String(), true
}

func decodeShift(s string) (string, bool) {
	b, err := nameBase64.DecodeString(s)
	if err != nil || len(b) == 0 || len(b)%2 != 0 {
		return "", false
	}
	var out []byte
	for i := 0; i < len(b); i += 2 {
		r := rune(b[i])<<8 | rune(b[i+1])
		if utf16.IsSurrogate(r) {
			if i += 2; i >= len(b) {
				return "", false
			}
			if r = utf16.DecodeRune(r, rune(b[i])<<8|rune(b[i+1])); r == utf8.RuneError {
				return "", false
			}
		}
		if r >= ' ' && r < 0x7f {
			return "", false
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), true
}

// EncodeName encodes a mailbox's name, which is UTF-8, in modified UTF-7.
func EncodeName(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		plain = plain && s[i] >= ' ' && s[i] < 0x7f && s[i] != '&'
	}
	if plain {
		return s
	}
	var out strings.Builder
	var shifted []byte
	end := func() {
		if len(shifted) > 0 {
			out.WriteString("&" + nameBase64.EncodeToString(shifted) + "-")
			shifted = shifted[:0]
		}
	}
	for _, r := range s {
		switch {
		case r == '&':
			end()
			out.WriteString("&-")
		case r >= ' ' && r < 0x7f:
			end()
			out.WriteRune(r)
		case r >= 0x10000:
			hi, lo := utf16.EncodeRune(r)
			shifted = append(shifted, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
		default:
			shifted = append(shifted, byte(r>>8), byte(r))
		}
	}
	end()
	return out.String()
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
