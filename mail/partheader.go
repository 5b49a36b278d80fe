package mail

import (
	"bytes"
	"slices"
	"strings"
)

// fieldID numbers the header fields that Parse keeps.
type fieldID int

const (
	noField fieldID = iota
	fieldDate
	fieldSubject
	fieldFrom
	fieldSender
	fieldReplyTo
	fieldTo
	fieldCc
	fieldBcc
	fieldInReplyTo
	fieldMessageID
	fieldReferences
	fieldContentType
	fieldContentEncoding
	fieldContentID
	fieldContentDescription
	fieldContentMD5
	fieldContentDisposition
	fieldContentLanguage
	fieldContentLocation
	fieldCount
)

// fieldOf finds a field by its name.
func fieldOf(name []byte) fieldID {
	if len(name) > len("content-transfer-encoding") {
		return noField
	}
	var room [len("content-transfer-encoding")]byte
	for i, c := range name {
		room[i] = lower(c)
	}
	switch string(room[:len(name)]) {
	case "date":
		return fieldDate
	case "subject":
		return fieldSubject
	case "from":
		return fieldFrom
	case "sender":
		return fieldSender
	case "reply-to":
		return fieldReplyTo
	case "to":
		return fieldTo
	case "cc":
		return fieldCc
	case "bcc":
		return fieldBcc
	case "in-reply-to":
		return fieldInReplyTo
	case "message-id":
		return fieldMessageID
	case "references":
		return fieldReferences
	}
	if name, ok := bytes.CutPrefix(room[:len(name)], []byte("content-")); ok {
		return contentFieldOf(name)
	}
	return noField
}

// contentFieldOf finds a field by what follows "content-" in its name.
func contentFieldOf(name []byte) fieldID {
	switch string(name) {
	case "type":
		return fieldContentType
	case "transfer-encoding":
		return fieldContentEncoding
	case "id":
		return fieldContentID
	case "description":
		return fieldContentDescription
	case "md5":
		return fieldContentMD5
	case "disposition":
		return fieldContentDisposition
	case "language":
		return fieldContentLanguage
	case "location":
		return fieldContentLocation
	}
	return noField
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// fieldSet is the fields of one header that are of interest, unfolded. RFC
// 5322 §3.6 has each only once; of several, lists of addresses count together
// (§4.5.3 for To, Cc and Bcc), of the other fields of a message the last and of
// those that describe a part the first, as Dovecot and Cyrus have it.
type fieldSet struct {
	text    []byte // their bodies one after the other
	at      [fieldCount]span
	repeats []repeat
	cur     *span // of the one being read, nil if it is of no interest
	first   bool  // nothing of cur but white space has come, on its first line
	limit   int   // bytes that text may have
}

// repeat is a further occurrence of a field.
type repeat struct {
	id fieldID
	span
}

// maxRepeats is how many further occurrences are kept of all fields together.
const maxRepeats = 1000

// span is where a field's body lies in text.
type span struct {
	from, to int
	there    bool
}

func (s *fieldSet) reset(limit int) {
	*s = fieldSet{text: s.text[:0], repeats: s.repeats[:0], limit: limit}
}

// add takes a line of the header, or a piece of one. start tells whether b
// begins a line.
func (s *fieldSet) add(b []byte, start bool) {
	if start && b[0] != ' ' && b[0] != '\t' {
		s.cur = nil
		n, colon := cutField(b)
		if n == 0 {
			return
		}
		s.cur = s.begin(fieldOf(b[:n]))
		b = b[colon+1:]
		s.first = true
	} else if start {
		s.first = false
	}
	if s.cur == nil {
		return
	}
	if s.first {
		b = bytes.TrimLeft(b, " \t")
		s.first = len(b) == 0
	}
	ended := len(b) > 0 && b[len(b)-1] == '\n'
	if ended {
		b = b[:len(b)-1]
	}
	s.text = append(s.text, b[:min(len(b), max(0, s.limit-len(s.text)))]...)
	if n := len(s.text); ended && n > s.cur.from && s.text[n-1] == '\r' {
		s.text = s.text[:n-1]
	}
	s.cur.to = len(s.text)
}

// begin returns where a field that begins is to be kept, nil if it is not.
func (s *fieldSet) begin(id fieldID) *span {
	at := span{len(s.text), len(s.text), true}
	switch {
	case id == noField:
		return nil
	case !s.at[id].there:
		s.at[id] = at
		return &s.at[id]
	case isAddressField(id) && len(s.repeats) < maxRepeats:
		s.repeats = append(s.repeats, repeat{id, at})
		return &s.repeats[len(s.repeats)-1].span
	case id < fieldContentType && !isAddressField(id):
		s.at[id] = at
		return &s.at[id]
	}
	return nil
}

// isAddressField tells whether a field is a list of addresses.
func isAddressField(id fieldID) bool { return fieldFrom <= id && id <= fieldBcc }

// list returns a field that counts with all its occurrences.
func (s *fieldSet) list(id fieldID) string {
	var b strings.Builder
	b.WriteString(s.get(id))
	for _, r := range s.repeats {
		if r.id != id {
			continue
		}
		if value := strings.TrimSpace(s.clean(r.span)); value != "" {
			if b.Len() > 0 {
				b.WriteString(", ")
			}
			b.WriteString(value)
		}
	}
	return b.String()
}

// get returns a field's body as one line of text: a stray CR turned into a
// space and NUL, which IMAP has no way to send, into U+FFFD.
func (s *fieldSet) get(id fieldID) string { return s.clean(s.at[id]) }

func (s *fieldSet) clean(at span) string {
	text := string(s.text[at.from:at.to])
	if strings.ContainsAny(text, "\r\x00") {
		text = strings.NewReplacer("\r", " ", "\x00", "\uFFFD").Replace(text)
	}
	return text
}

// info returns what the header says of a message.
func (s *fieldSet) info() HeaderInfo {
	h := HeaderInfo{
		Date:       s.get(fieldDate),
		Subject:    s.get(fieldSubject),
		From:       s.list(fieldFrom),
		Sender:     s.list(fieldSender),
		ReplyTo:    s.list(fieldReplyTo),
		To:         s.list(fieldTo),
		Cc:         s.list(fieldCc),
		Bcc:        s.list(fieldBcc),
		InReplyTo:  s.get(fieldInReplyTo),
		MessageID:  s.get(fieldMessageID),
		References: s.get(fieldReferences),
	}
	for _, f := range []struct {
		id    fieldID
		value string
		bit   EmptyFields
	}{
		{fieldDate, h.Date, EmptyDate}, {fieldSubject, h.Subject, EmptySubject},
		{fieldInReplyTo, h.InReplyTo, EmptyInReplyTo}, {fieldMessageID, h.MessageID, EmptyMessageID},
	} {
		if s.at[f.id].there && f.value == "" {
			h.Empty |= f.bit
		}
	}
	return h
}

// describe fills in what the header says of a part.
func (s *fieldSet) describe(p *Part, digest bool) {
	typ, sub, params, ok := parseContentType(s.get(fieldContentType))
	if ok {
		p.Type, p.Subtype, p.Params = typ, sub, params
	}
	p.Encoding = parseEncoding(s.get(fieldContentEncoding))
	p.ID = s.get(fieldContentID)
	p.Description = s.get(fieldContentDescription)
	p.MD5 = s.get(fieldContentMD5)
	p.Location = s.get(fieldContentLocation)
	disposition := s.get(fieldContentDisposition)
	p.Disposition, p.DispParams = parseDisposition(disposition)
	p.Language = parseLanguage(s.get(fieldContentLanguage))
	for _, f := range []struct {
		id    fieldID
		value string
		bit   EmptyContent
	}{
		{fieldContentID, p.ID, EmptyID}, {fieldContentDescription, p.Description, EmptyDescription},
		{fieldContentMD5, p.MD5, EmptyMD5}, {fieldContentLocation, p.Location, EmptyLocation},
	} {
		if s.at[f.id].there && f.value == "" {
			p.Empty |= f.bit
		}
	}
	if p.Disposition == "" && strings.HasPrefix(strings.TrimLeft(disposition, " \t"), ";") {
		p.Empty |= EmptyDisposition
	}
	p.setDefaults(digest)
}

// setDefaults fills in what the header does not say (RFC 2045 §5.2, §6.1, RFC
// 2046 §4.1.2, §5.1.5).
func (p *Part) setDefaults(digest bool) {
	if p.Encoding == "" {
		p.Encoding = "7bit"
	}
	if p.Type == "" {
		p.Type, p.Subtype = "text", "plain"
		if digest {
			p.Type, p.Subtype = "message", "rfc822"
		}
	}
	if p.Type == "text" && !slices.ContainsFunc(p.Params, func(x Param) bool { return x.Name == "charset" }) {
		p.Params = append(p.Params, Param{Name: "charset", Value: "us-ascii"})
	}
}

func (p *Part) is(typ, sub string) bool { return p.Type == typ && p.Subtype == sub }

// isMessage tells whether the part holds a message that can be looked into
// (RFC 2046 §5.2.1, RFC 6532 §3.7).
func (p *Part) isMessage() bool { return p.is("message", "rfc822") || p.is("message", "global") }

// Param returns the value of a parameter of Content-Type; name is in lower
// case. Of several, one written as RFC 2231 has it counts.
func (p *Part) Param(name string) string { return findParam(p.Params, name) }

// FileName returns the name that the sender gave to the content: the filename
// of Content-Disposition, else the name of Content-Type (RFC 2183 §2.3). Some
// senders hide it in encoded words, which is wrong and understood.
func (p *Part) FileName() string {
	name := findParam(p.DispParams, "filename")
	if name == "" {
		name = findParam(p.Params, "name")
	}
	return DecodeText(name)
}

func findParam(params []Param, name string) string {
	value := ""
	for _, p := range params {
		if p.Name == name && (value == "" || p.Extended != "") {
			value = p.Value
		}
	}
	return value
}
