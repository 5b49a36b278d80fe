package mail

import (
	"bytes"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// DecodeCharset returns text in UTF-8, given the charset of what r reads.
// What cannot be is U+FFFD. Text in US-ASCII, without a charset, or in one
// that is unknown comes as it is.
func DecodeCharset(charset string, r io.Reader) io.Reader {
	e := charsetOf(charset)
	if e == nil {
		return r
	}
	return e.NewDecoder().Reader(r)
}

// KnownCharset tells whether DecodeCharset can decode this charset, so that
// IMAP can answer BADCHARSET (RFC 9051 §6.4.4).
func KnownCharset(charset string) bool {
	return strings.EqualFold(charset, "us-ascii") || charsetOf(charset) != nil
}

// charsetOf finds an encoding by its name in MIME; nil for US-ASCII and what
// is unknown. Names mean what browsers take them for, since that is what
// senders mean: iso-8859-1 is windows-1252.
func charsetOf(name string) encoding.Encoding {
	name = strings.ToLower(strings.TrimSpace(name))
	switch name {
	case "", "us-ascii", "ascii", "ansi_x3.4-1968":
		return nil
	case "utf-16":
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM) // RFC 2781 §4.3
	case "utf-7", "unicode-1-1-utf-7":
		return utf7{}
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	}
	e, err := htmlindex.Get(name)
	if err != nil || e == encoding.Replacement {
		e, err = ianaindex.MIME.Encoding(name)
	}
	if err != nil || e == encoding.Replacement {
		return nil
	}
	return e
}

// decodeBytes returns b in UTF-8, ok false if the charset is unknown.
func decodeBytes(charset string, b []byte) ([]byte, bool) {
	e := charsetOf(charset)
	if e == nil {
		return bytes.ToValidUTF8(b, []byte("\uFFFD")), KnownCharset(charset)
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return bytes.ToValidUTF8(b, []byte("\uFFFD")), true
	}
	return out, true
}
