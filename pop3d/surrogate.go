package pop3d

import (
	"mime"
	"strings"
	"unicode/utf8"

	"postrider/mail"
	"postrider/store"
)

// maxHeader bounds the header that a surrogate is made of; a message with a
// longer one is sent as it is.
const maxHeader = 256 * 1024

// invalidAddress stands for an address that is not ASCII (RFC 6858 §2.1).
const invalidAddress = "<invalid@internationalized-address.invalid>"

// newMessage returns what the client gets to see of a stored message: the
// message itself, or, for a client without UTF8 whose message has UTF-8 in its
// header, a surrogate with an ASCII header (RFC 6856 §2.1, RFC 6858).
func newMessage(ct *store.Content, asUTF8 bool, buf []byte) (*message, error) {
	m := &message{body: ct, to: ct.Size}
	if asUTF8 {
		return m, nil
	}
	b, err := m.chunk(buf, 0, m.to)
	if err != nil {
		return nil, err
	}
	n := mail.HeaderSize(b)
	if n == len(b) && m.to > int64(n) {
		if b, err = m.chunk(make([]byte, maxHeader), 0, m.to); err != nil {
			return nil, err
		}
		if n = mail.HeaderSize(b); n == maxHeader {
			return m, nil
		}
	}
	if !isASCII(b[:n]) {
		m.head, m.from = surrogateHeader(b[:n]), int64(n)
	}
	return m, nil
}

// surrogateHeader makes a header ASCII. A field that is neither ASCII nor
// UTF-8 is junk of older kind, and stays as it is; a line that is no field
// goes, since where the fields before it have gone it would end the header.
func surrogateHeader(header []byte) []byte {
	var out []byte
	end := 0
	for f := range mail.Fields(header) {
		end += len(f.Raw)
		if f.Name == "" {
			continue
		}
		if isASCII(f.Raw) || !utf8.Valid(f.Raw) {
			out = append(out, f.Raw...)
		} else if v := surrogateValue(f); v != "" {
			out = append(out, f.Name+": "+v+"\r\n"...)
		}
	}
	return append(out, header[end:]...)
}

// surrogateValue is the new value of a field, empty if the field goes, as all
// do that RFC 6858 §2.4 knows nothing better for.
func surrogateValue(f mail.Field) string {
	switch strings.ToLower(f.Name) {
	case "from", "sender", "reply-to", "to", "cc", "bcc",
		"resent-from", "resent-sender", "resent-reply-to", "resent-to", "resent-cc", "resent-bcc":
		return surrogateAddresses(f.Value())
	case "subject", "comments", "content-description":
		return foldWords(mail.EncodeWord(f.Value()))
	case "content-type", "content-disposition":
		t, params, err := mime.ParseMediaType(f.Value())
		if err != nil {
			return ""
		}
		return strings.ReplaceAll(mime.FormatMediaType(t, params), "; ", ";\r\n ")
	}
	return ""
}

// surrogateAddresses keeps ASCII addresses, encodes display names, and puts
// an invalid address in place of one that is not ASCII, whose text becomes
// part of the display name.
func surrogateAddresses(value string) string {
	var out strings.Builder
	sep := ""
	for _, a := range mail.ParseAddressList(value) {
		switch a.Group {
		case mail.GroupStart:
			out.WriteString(sep + displayName(a.Local) + ":")
			sep = " "
			continue
		case mail.GroupEnd:
			out.WriteString(";")
			sep = ",\r\n "
			continue
		}
		out.WriteString(sep + surrogateAddress(a))
		sep = ",\r\n "
	}
	return out.String()
}

func surrogateAddress(a mail.ListAddress) string {
	spec := a.Local
	if addr, ok := a.Address(); ok {
		spec = addr.String()
	} else if a.Domain != "" {
		spec += "@" + a.Domain
	}
	name, angle := a.Name, "<"+spec+">"
	if !isASCII(spec) {
		name, angle = strings.TrimSpace(name+" <"+spec+">"), invalidAddress
		if a.Name == "" {
			name = spec
		}
	}
	if name == "" {
		return angle
	}
	return displayName(name) + " " + angle
}

// displayName writes a name as a phrase (RFC 5322 §3.2.5). Encoded words in
// it are left as they are: decoded, they might hold anything.
func displayName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, name)
	switch {
	case !isASCII(name):
		return foldWords(mail.EncodeWord(name))
	case strings.Contains(name, "=?"):
		return name
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// foldWords puts each encoded word on a line of its own.
func foldWords(s string) string { return strings.ReplaceAll(s, "?= =?", "?=\r\n =?") }

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
