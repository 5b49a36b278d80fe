package mail

import "strings"

// asciiField returns a header field in ASCII. Text becomes encoded words (RFC
// 2047 §5); display names too, but no address; parameters of MIME fields are
// extended (RFC 2231). Other structured fields have no way to be converted.
func asciiField(f Field) ([]byte, error) {
	if isASCIIBytes(f.Raw) {
		return f.Raw, nil
	}
	if !isASCII(f.Name) || f.Name == "" {
		return nil, ErrNotASCII
	}
	value := strings.ReplaceAll(strings.ToValidUTF8(f.Value(), "\uFFFD"), "\r", " ") // as Parse reads it
	var err error
	switch strings.ToLower(f.Name) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "resent-from", "resent-sender", "resent-to", "resent-cc",
		"resent-bcc", "disposition-notification-to", "mail-followup-to", "mail-reply-to", "errors-to":
		value, err = asciiAddresses(value)
	case "content-type":
		value, err = asciiContentType(value)
	case "content-disposition":
		value, err = asciiDisposition(value)
	case "received", "return-path", "date", "message-id", "in-reply-to", "references", "resent-date", "resent-message-id",
		"mime-version", "content-transfer-encoding", "content-id", "content-location", "content-language", "content-md5",
		"dkim-signature", "arc-seal", "arc-message-signature", "arc-authentication-results", "authentication-results",
		"received-spf", "list-id", "list-post", "list-help", "list-unsubscribe", "list-unsubscribe-post", "list-subscribe",
		"list-archive", "list-owner":
		return nil, ErrNotASCII
	default:
		value = EncodeWord(value)
	}
	if err == nil && !isASCII(value) {
		err = ErrNotASCII // a type or the name of a parameter, which nothing encodes (RFC 2045 §5.1)
	}
	if err != nil {
		return nil, err
	}
	return []byte(Fold(f.Name, value)), nil
}

// asciiAddresses writes a list of addresses in ASCII.
func asciiAddresses(value string) (string, error) {
	var b strings.Builder
	comma := false
	for _, a := range ParseAddressList(value) {
		if a.Group == GroupEnd {
			b.WriteByte(';')
			comma = true
			continue
		}
		if comma {
			b.WriteString(", ")
		}
		comma = a.Group == NoGroup
		if a.Group == GroupStart {
			// Formatted as the name of no address, which is quoted or
			// encoded as a phrase is.
			b.WriteString(strings.TrimSuffix(FormatAddress(a.Local, Address{}), " <>") + ": ")
			continue
		}
		addr, ok := a.Address()
		if !ok || !addr.IsASCII() {
			return "", ErrNotASCII
		}
		b.WriteString(FormatAddress(a.Name, addr))
	}
	return b.String(), nil
}

func asciiContentType(value string) (string, error) {
	typ, sub, params, ok := parseContentType(value)
	if !ok {
		return "", ErrNotASCII
	}
	return asciiParams(typ+"/"+sub, params), nil
}

func asciiDisposition(value string) (string, error) {
	disposition, params := parseDisposition(value)
	if disposition == "" {
		return "", ErrNotASCII
	}
	return asciiParams(disposition, params), nil
}

// asciiParams appends parameters to a value.
func asciiParams(value string, params []Param) string {
	var b strings.Builder
	b.WriteString(value)
	for _, p := range params {
		b.WriteString("; " + p.Name)
		switch {
		case isToken(p.Extended):
			b.WriteString("*=" + p.Extended)
		case isPrintable(p.Value):
			b.WriteString("=" + quoteLocal(p.Value))
		default:
			b.WriteString("*=utf-8''")
			writePercent(&b, p.Value)
		}
	}
	return b.String()
}
