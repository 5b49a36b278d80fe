package main

import (
	"bufio"
	"bytes"
	"io"
	"slices"
	"strings"

	"postrider/mail"
)

// maxHeader bounds the header of a message from standard input, in bytes.
const maxHeader = 1 << 20

// sendmailText turns what a program writes to sendmail into a message: CRLF
// line ends, no Bcc with -t, a From field, a blank line after the header.
type sendmailText struct {
	sendmailArgs
	from   mail.Address
	origin string // domain of a From field's address without one
	limit  int64  // bytes

	rcpts      []string // that the header names, if it was asked
	header8Bit bool
	body8Bit   bool
}

// bodyType is what the message needs on its way (RFC 6152 §3).
func (t *sendmailText) bodyType() mail.BodyType {
	if t.header8Bit || t.body8Bit {
		return mail.Body8Bit
	}
	return mail.Body7Bit
}

// copy reads the message from in and writes it to out.
func (t *sendmailText) copy(out io.Writer, in io.Reader) error {
	lines := newLineReader(in, t.limit, t.dots)
	head, err := lines.header()
	if err != nil {
		return err
	}
	head = t.header(head)
	if _, err := out.Write(head); err != nil {
		return err
	}
	for {
		part, err := lines.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		t.body8Bit = t.body8Bit || has8Bit(part)
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
}

// header returns the header as it is to be sent, with its blank line and what
// was read after it. A line that is no field ends the header, as it does for
// sendmail.
func (t *sendmailText) header(head []byte) []byte {
	var out []byte
	used, hasFrom := 0, false
	for f := range mail.Fields(head) {
		if used == 0 && f.Name == "" && bytes.HasPrefix(f.Raw, []byte("From ")) { // an mbox file's separator
			used += len(f.Raw)
			continue
		}
		if f.Name == "" {
			break
		}
		used += len(f.Raw)
		hasFrom = hasFrom || f.Is("From")
		if t.FromHeader && (f.Is("To") || f.Is("Cc") || f.Is("Bcc")) {
			t.take(f.Value())
			if f.Is("Bcc") {
				continue
			}
		}
		if f.Is("From") {
			out = append(out, t.qualified(f)...)
			continue
		}
		out = append(out, f.Raw...)
	}
	if !hasFrom && !t.from.IsZero() {
		out = append(out, fromField(t.Name, t.from)...)
	}
	t.header8Bit = has8Bit(out)
	rest := bytes.TrimPrefix(head[used:], []byte("\r\n"))
	t.body8Bit = has8Bit(rest)
	return append(append(out, '\r', '\n'), rest...)
}

// take adds the addresses of a field to the recipients.
func (t *sendmailText) take(list string) {
	for _, a := range mail.ParseAddressList(list) {
		if addr, ok := a.Address(); ok {
			t.rcpts = append(t.rcpts, addr.String())
		} else if a.Group == mail.NoGroup && a.Domain == "" && a.Local != "" {
			t.rcpts = append(t.rcpts, a.Local) // root, say
		}
	}
}

// qualified gives a From field's only address the domain that it lacks, such
// as cron's "root (Cron Daemon)": others refuse it without (RFC 5322 §3.6.2).
func (t *sendmailText) qualified(f mail.Field) string {
	list := mail.ParseAddressList(f.Value())
	if t.origin == "" || len(list) != 1 || list[0].Group != mail.NoGroup || list[0].Domain != "" || list[0].Local == "" {
		return string(f.Raw)
	}
	addr := mail.Address{Local: list[0].Local, Domain: t.origin}
	if _, comment, ok := strings.Cut(f.Value(), "("); ok && list[0].Name == "" { // the name, as cron has it
		list = mail.ParseAddressList(addr.String() + " (" + comment)
	}
	return fromField(mail.DecodeText(list[0].Name), addr)
}

func fromField(text string, a mail.Address) string {
	if text == "" {
		return "From: " + a.String() + "\r\n"
	}
	name := mail.EncodeWord(text)
	if name == text {
		name = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
	}
	return "From: " + name + " <" + a.String() + ">\r\n"
}

func has8Bit(b []byte) bool {
	return slices.ContainsFunc(b, func(c byte) bool { return c >= 0x80 })
}

// lineReader reads text with LF or CRLF line ends as text with CRLF, in whole
// lines or parts of long ones.
type lineReader struct {
	r     *bufio.Reader
	left  int64 // bytes that may still be read
	dots  bool  // a dot alone ends the text
	start bool  // what comes is the start of a line
	held  bool  // a CR whose LF may be next
	ended bool
}

func newLineReader(r io.Reader, limit int64, dots bool) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10), left: limit, dots: dots, start: true}
}

// WriteTo writes what is left to w.
func (l *lineReader) WriteTo(w io.Writer) (n int64, err error) {
	for {
		part, err := l.next()
		if err == io.EOF {
			return n, nil
		}
		if err == nil {
			_, err = w.Write(part)
		}
		if err != nil {
			return n, err
		}
		n += int64(len(part))
	}
}

var errTextTooBig = adminErrorf("the message is larger than limits.message_bytes allows")

// next returns the next part, valid until the next call; io.EOF at the end. A
// CR that no LF follows becomes a line end, since no mail may contain it (RFC
// 5321 §2.3.8).
func (l *lineReader) next() ([]byte, error) {
	if l.ended {
		return nil, io.EOF
	}
	raw, err := l.r.ReadSlice('\n')
	if err != nil && err != io.EOF && err != bufio.ErrBufferFull {
		return nil, err
	}
	l.ended = err == io.EOF
	if l.left -= int64(len(raw)); l.left < 0 {
		return nil, errTextTooBig
	}
	whole := err == nil
	if l.dots && l.start && (string(raw) == ".\n" || string(raw) == ".\r\n" || l.ended && string(raw) == ".") {
		l.ended = true
		return nil, io.EOF
	}
	l.start = whole
	text := raw
	if whole {
		text = raw[:len(raw)-1]
	}
	out := make([]byte, 0, len(raw)+2)
	if l.held && !(whole && len(text) == 0) {
		out = append(out, '\r', '\n')
	}
	l.held = len(text) > 0 && text[len(text)-1] == '\r'
	text = bytes.TrimSuffix(text, []byte("\r"))
	out = append(out, bytes.ReplaceAll(text, []byte("\r"), []byte("\r\n"))...)
	if whole || l.ended && (len(text) > 0 || l.held) {
		out = append(out, '\r', '\n')
		l.held = false
	}
	if l.ended && len(out) == 0 {
		return nil, io.EOF
	}
	return out, nil
}

// header reads up to and with the blank line, or all if there is none.
func (l *lineReader) header() ([]byte, error) {
	var head []byte
	for {
		atStart := l.start
		line, err := l.next()
		head = append(head, line...)
		switch {
		case err == io.EOF, err == nil && atStart && string(line) == "\r\n":
			return head, nil
		case err != nil:
			return nil, err
		case len(head) > maxHeader:
			return nil, adminErrorf("the header is longer than %d bytes; is there a blank line after it?", maxHeader)
		}
	}
}
