package main

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"time"
)

// Generator makes realistic messages. Message n of a generator is always the
// same bytes, on every machine; different seeds have different messages.
//
// Of ten messages five are plain text, four multipart/alternative with text
// and HTML, and one is multipart/mixed with an attachment in base64. Lines end
// with CRLF, none begins with a dot (so that nothing needs dot-stuffing in
// SMTP), none is longer than 76 octets but for header fields of up to 200.
type Generator struct {
	Seed uint64
	Size int // octets of a message, reached within a line; 0 is defaultSize
	// Mixed makes nine in a hundred messages 100 KB and one in a hundred 1 MB.
	Mixed bool
	// Sender stands in From of all messages, if it is set: servers want that
	// of whom they relay for.
	Sender string
}

// Sizes of messages in octets.
const (
	defaultSize = 10 << 10
	largeSize   = 100 << 10
	hugeSize    = 1 << 20
)

// Words with a known number of matches: Common stands in the body of every
// tenth message (n divisible by 10), Absent in none, Token(n) in the body of
// message n alone. SubjectWord stands in the Subject of every tenth, and
// SubjectTag(n) in that of message n alone.
const (
	Common      = "quarterly"
	Absent      = "xyzzyplugh"
	SubjectWord = "invoice"
)

// Token is a word that stands in the body of message n and in no other.
func Token(n int) string { return fmt.Sprintf("zk%07dqx", n) }

// MessageID is the Message-ID of message n, without the angle brackets.
func (g Generator) MessageID(n int) string { return string(g.appendMessageID(nil, n)) }

func (g Generator) appendMessageID(b []byte, n int) []byte {
	b = append(b, 'm')
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, '.')
	b = strconv.AppendUint(b, g.Seed, 36)
	return append(b, "@mailbench.example"...)
}

// From is the address that message n is from.
func (g Generator) From(n int) string {
	if g.Sender != "" {
		return g.Sender
	}
	r := g.random(n)
	first, last := r.pick(firstNames), r.pick(lastNames)
	return first + "." + last + "@sender.example"
}

// SizeOf is how large message n is to be, in octets.
func (g Generator) SizeOf(n int) int {
	switch {
	case g.Mixed && n%100 == 50:
		return hugeSize
	case g.Mixed && n%100 > 90:
		return largeSize
	case g.Size == 0:
		return defaultSize
	}
	return g.Size
}

// Message renders message n.
func (g Generator) Message(n int) []byte { return g.Append(make([]byte, 0, g.SizeOf(n)+256), n) }

// Render renders messages first to first+count-1.
func (g Generator) Render(first, count int) [][]byte {
	all := make([][]byte, count)
	for i := range all {
		all[i] = g.Message(first + i)
	}
	return all
}

// threadLength is how many messages answer each other.
const threadLength = 5

// epoch is the date of message 0; each is some minutes after the one before.
var epoch = time.Date(2025, time.January, 6, 8, 0, 0, 0, time.UTC)

// Append appends message n to b.
func (g Generator) Append(b []byte, n int) []byte {
	end := len(b) + g.SizeOf(n)
	r := g.random(n)
	b = g.appendHeader(b, n, &r)
	switch {
	case n%10 == 9:
		return g.appendMixed(b, n, end, &r)
	case n%10 >= 5:
		return g.appendAlternative(b, n, end, &r)
	}
	b = append(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"...)
	b = appendOpening(b, n)
	return appendText(b, end, &r, "")
}

// appendHeader appends what all kinds have, up to MIME-Version. It takes the
// sender's name from r first, as From does.
func (g Generator) appendHeader(b []byte, n int, r *random) []byte {
	first, last := r.pick(firstNames), r.pick(lastNames)
	b = append(b, "Received: from "...)
	b = append(b, r.pick(words)...)
	b = append(b, ".sender.example (203.0.113."...)
	b = strconv.AppendInt(b, int64(r.below(254)+1), 10)
	b = append(b, ")\r\n\tby mx.example.com with ESMTPS id "...)
	b = strconv.AppendUint(b, r.next(), 36)
	date := epoch.Add(time.Duration(n)*7*time.Minute + time.Duration(r.below(400))*time.Second)
	b = append(b, ";\r\n\t"...)
	b = date.AppendFormat(b, time.RFC1123Z)
	b = append(b, "\r\nFrom: "...)
	b = append(append(append(b, first...), ' '), last...)
	b = append(b, " <"...)
	b = append(b, g.From(n)...)
	b = append(b, ">\r\nTo: "...)
	for i := range 1 + r.below(3) {
		if i > 0 {
			b = append(b, ",\r\n\t"...)
		}
		f, l := r.pick(firstNames), r.pick(lastNames)
		b = append(append(append(b, f...), ' '), l...)
		b = append(append(append(append(b, " <"...), f...), '.'), l...)
		b = append(b, "@example.com>"...)
	}
	if r.below(4) == 0 {
		b = append(append(append(b, "\r\nCc: "...), r.pick(words)...), "-team@example.com"...)
	}
	b = append(b, "\r\nSubject: "...)
	b = g.appendSubject(b, n)
	b = append(b, "\r\nDate: "...)
	b = date.AppendFormat(b, time.RFC1123Z)
	b = append(b, "\r\nMessage-ID: <"...)
	b = g.appendMessageID(b, n)
	b = append(b, ">\r\n"...)
	if n%threadLength > 0 {
		b = g.appendReferences(b, n)
	}
	b = append(b, "User-Agent: Mailbench\r\nX-Mailbench: "...)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, "\r\nMIME-Version: 1.0\r\n"...)
}

// SubjectTag stands in the Subject of message n and in no other.
func SubjectTag(n int) string { return fmt.Sprintf("#%d.%d", n-n%threadLength, n%threadLength) }

// appendSubject appends the thread's subject, with Re: but for its first, and
// the message's number in it.
func (g Generator) appendSubject(b []byte, n int) []byte {
	root := n - n%threadLength
	r := g.random(root)
	r.next()
	if n != root {
		b = append(b, "Re: "...)
	}
	if n%10 == 0 {
		b = append(append(b, SubjectWord...), ' ')
	}
	for i := range 3 + r.below(5) {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, r.pick(words)...)
	}
	return append(append(b, ' '), SubjectTag(n)...)
}

// appendReferences appends In-Reply-To and References (RFC 5322 §3.6.4).
func (g Generator) appendReferences(b []byte, n int) []byte {
	b = append(b, "In-Reply-To: <"...)
	b = g.appendMessageID(b, n-1)
	b = append(b, ">\r\nReferences:"...)
	for m := n - n%threadLength; m < n; m++ {
		b = append(b, " <"...)
		b = g.appendMessageID(b, m)
		b = append(b, ">\r\n"...)
		if m < n-1 {
			b = append(b, '\t')
		}
	}
	return b
}

func (g Generator) appendBoundary(b []byte, n int) []byte {
	b = append(b, "=_mb_"...)
	b = strconv.AppendInt(b, int64(n), 10)
	b = append(b, '_')
	return strconv.AppendUint(b, g.Seed, 36)
}

// appendPart appends a boundary line and the header of the part behind it; ""
// ends the multipart.
func (g Generator) appendPart(b []byte, n int, header string) []byte {
	b = append(b, "\r\n--"...)
	b = g.appendBoundary(b, n)
	if header == "" {
		return append(b, "--\r\n"...)
	}
	b = append(b, "\r\n"...)
	b = append(b, header...)
	return append(b, "\r\n\r\n"...)
}

func (g Generator) appendMultipart(b []byte, n int, kind string) []byte {
	b = append(b, "Content-Type: multipart/"...)
	b = append(b, kind...)
	b = append(b, ";\r\n\tboundary=\""...)
	b = g.appendBoundary(b, n)
	return append(b, "\"\r\n\r\nThis is a message in several parts.\r\n"...)
}

const (
	plainPart = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit"
	htmlPart  = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit"
	filePart  = "Content-Type: application/pdf; name=\"report.pdf\"\r\nContent-Transfer-Encoding: base64\r\n" +
		"Content-Disposition: attachment; filename=\"report.pdf\""
	closing = 48 // octets that the end of a multipart takes, about
)

func (g Generator) appendAlternative(b []byte, n, end int, r *random) []byte {
	b = g.appendMultipart(b, n, "alternative")
	b = g.appendPart(b, n, plainPart)
	b = appendOpening(b, n)
	b = appendText(b, len(b)+(end-len(b))*2/5, r, "")
	b = g.appendPart(b, n, htmlPart)
	b = append(b, "<html><head><style>p { margin: 0 0 1em }</style></head><body>\r\n<p>\r\n"...)
	b = appendOpening(b, n)
	b = appendText(b, end-closing-16, r, "</p>\r\n<p class=\"text\">\r\n")
	b = append(b, "</p></body></html>\r\n"...)
	return g.appendPart(b, n, "")
}

func (g Generator) appendMixed(b []byte, n, end int, r *random) []byte {
	b = g.appendMultipart(b, n, "mixed")
	b = g.appendPart(b, n, plainPart)
	b = appendOpening(b, n)
	b = appendText(b, len(b)+(end-len(b))/6, r, "")
	b = g.appendPart(b, n, filePart)
	for len(b) < end-closing {
		var line [57]byte // 76 characters in base64 (RFC 2045 §6.8)
		for i := 0; i < len(line); i += 8 {
			v := r.next()
			for j := i; j < min(i+8, len(line)); j++ {
				line[j] = byte(v)
				v >>= 8
			}
		}
		b = base64.StdEncoding.AppendEncode(b, line[:])
		b = append(b, "\r\n"...)
	}
	return g.appendPart(b, n, "")
}

// appendOpening appends the sentence that has the words to search for.
func appendOpening(b []byte, n int) []byte {
	b = append(b, "Reference "...)
	b = append(b, Token(n)...)
	if n%10 == 0 {
		b = append(append(b, ", "...), Common...)
	}
	return append(b, ".\r\n\r\n"...)
}

// appendText appends paragraphs of English-like sentences until b is about
// end long. between stands between paragraphs; "" is an empty line.
func appendText(b []byte, end int, r *random, between string) []byte {
	const width = 68
	if between == "" {
		between = "\r\n"
	}
	line := len(b)
	for len(b) < end {
		for range 3 + r.below(5) { // sentences
			for i := range 5 + r.below(12) { // words
				w := r.pick(words)
				switch {
				case len(b)-line+len(w) > width:
					b = append(b, "\r\n"...)
					line = len(b)
				case len(b) > line:
					b = append(b, ' ')
				}
				at := len(b)
				b = append(b, w...)
				if i == 0 {
					b[at] -= 'a' - 'A'
				}
			}
			b = append(b, '.')
			if len(b) >= end {
				break
			}
		}
		b = append(b, "\r\n"...)
		if len(b) < end {
			b = append(b, between...)
		}
		line = len(b)
	}
	return b
}

// random is SplitMix64: small, and the same for ever.
type random uint64

// random is the source of message n's choices.
func (g Generator) random(n int) random {
	r := random(g.Seed*0x9e3779b97f4a7c15 + uint64(n)*0xd1342543de82ef95)
	r.next()
	return r
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below is a number from 0 to n-1.
func (r *random) below(n int) int { return int(r.next() >> 33 * uint64(n) >> 31) }

// pick chooses a word; the earlier in the list, the more often, as in
// language: the first tenth of a list makes up a third of what is chosen.
func (r *random) pick(list []string) string {
	x := r.next() >> 32
	y := x * x >> 32 // density falls as 1/√y
	return list[y*uint64(len(list))>>32]
}
