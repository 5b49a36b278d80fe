package mail

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"strings"
	"time"
)

// DomainReport is a message with a machine's report about a domain, as RFC 8460
// §5.3 and RFC 9990 §3.5.2 have it.
type DomainReport struct {
	From      Address
	To        []Address
	Date      time.Time
	Domain    string // whom it is about
	Submitter string // the host that reports
	ID        string
	Fields    [][2]string // what its kind has in the header beside these
	Type      string      // of the message, without its boundary: multipart/mixed
	Text      string      // in ASCII, for people; lines end in \n
	Begin     time.Time   // of what it covers
	End       time.Time
	Extension string // of the file's name: xml.gz
	FileType  string
	File      []byte
}

// Bytes is the message.
func (r *DomainReport) Bytes() []byte {
	var parts, b bytes.Buffer
	w := multipart.NewWriter(&parts)
	text := part(w, textproto.MIMEHeader{"Content-Type": {"text/plain; charset=us-ascii"}})
	io.WriteString(text, strings.ReplaceAll(r.Text, "\n", "\r\n"))
	file := bufio.NewWriter(part(w, textproto.MIMEHeader{
		"Content-Type": {r.FileType},
		"Content-Disposition": {fmt.Sprintf("attachment;\r\n\tfilename=\"%s!%s!%d!%d.%s\"",
			r.Submitter, r.Domain, r.Begin.Unix(), r.End.Unix(), r.Extension)},
		"Content-Transfer-Encoding": {"base64"},
	}))
	encodeBase64(file, bytes.NewReader(r.File))
	file.Flush()
	w.Close()
	var to []string
	for _, a := range r.To {
		to = append(to, "<"+a.String()+">")
	}
	header := [][2]string{
		{"From", "<" + r.From.String() + ">"},
		{"To", strings.Join(to, ", ")},
		{"Date", FormatDate(r.Date)},
		{"Message-ID", fmt.Sprintf("<%s@%s>", NewID(r.Date), r.Submitter)},
		{"Subject", fmt.Sprintf("Report Domain: %s Submitter: %s Report-ID: <%s>", r.Domain, r.Submitter, r.ID)},
		{"Auto-Submitted", "auto-generated"},
	}
	header = append(header, r.Fields...)
	header = append(header, [][2]string{
		{"MIME-Version", "1.0"},
		{"Content-Type", fmt.Sprintf("%s; boundary=%q", r.Type, w.Boundary())},
	}...)
	for _, f := range header {
		b.WriteString(Fold(f[0], f[1]))
	}
	b.WriteString("\r\n")
	b.Write(parts.Bytes())
	return b.Bytes()
}

// part begins another part of what w writes to memory, which cannot fail.
func part(w *multipart.Writer, h textproto.MIMEHeader) io.Writer {
	p, err := w.CreatePart(h)
	if err != nil {
		panic(err) // it was closed
	}
	return p
}
