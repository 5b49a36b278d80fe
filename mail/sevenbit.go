package mail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Why To7Bit cannot convert a message.
var (
	// ErrNot7Bit is a body that must not be encoded: signed or encrypted
	// (RFC 1847 §2.1), or of a message type other than rfc822 and global.
	ErrNot7Bit = errors.New("mail: body cannot be converted to 7bit")
	// ErrNotASCII is a header with UTF-8 where no encoding exists, as in an
	// address.
	ErrNotASCII = errors.New("mail: header cannot be converted to ASCII")
)

// maxTransportLine is how long a line may be on the way, without its end (RFC
// 5321 §4.5.3.1.6).
const maxTransportLine = 998

// maxRewritten is the largest header that To7Bit changes.
const maxRewritten = 16 << 20

// To7Bit writes the message in r, which m describes, so that it can go to a
// server without 8BITMIME (RFC 6152 §3): 8bit text becomes quoted-printable,
// other content base64, UTF-8 in headers encoded words (RFC 2047) and
// extended parameters (RFC 2231). What is 7bit already comes out byte for
// byte. The error is ErrNot7Bit or ErrNotASCII if there is no way to convert
// it; nothing that was written is of use then.
func To7Bit(r io.ReaderAt, m *Meta, w io.Writer) error {
	c := converter{r: r, w: bufio.NewWriter(w)}
	return c.message(m)
}

// WithoutNUL writes the message in r, which m describes, with the bodies that
// have NUL encoded, since binary data goes in no other form but a literal8 (RFC
// 9051 §4.3.1). All else comes out byte for byte. The errors are those of
// To7Bit.
func WithoutNUL(r io.ReaderAt, m *Meta, w io.Writer) error {
	c := converter{r: r, w: bufio.NewWriter(w), nulOnly: true}
	return c.message(m)
}

// converter writes a message part by part.
type converter struct {
	nulOnly    bool // all but NUL may go as it is
	r          io.ReaderAt
	w          *bufio.Writer
	size       int64
	bodies     map[*Part]content
	boundaries string // of all multiparts
}

// message writes the whole message.
func (c *converter) message(m *Meta) error {
	c.size, c.bodies = m.Size, map[*Part]content{}
	if _, err := c.measure(&m.Root); err != nil {
		return err
	}
	if err := c.part(&m.Root, true); err != nil {
		return err
	}
	return c.w.Flush()
}

func (c *converter) section(x Extent) *io.SectionReader {
	return io.NewSectionReader(c.r, x.Offset, x.Size)
}

// part writes a part's header and body; message tells whether it is the root
// of a message.
func (c *converter) part(p *Part, message bool) error {
	body := c.bodies[p]
	clean := !body.eightBit && !body.nul
	switch {
	case p.is("multipart", "signed") || p.is("multipart", "encrypted"):
		if !clean {
			return ErrNot7Bit
		}
	case p.Type == "multipart" && !clean, p.isMessage() && !clean:
		return c.container(p, message)
	case p.Type == "message" && !clean:
		return ErrNot7Bit
	case !clean || p.Encoding == "binary" && body.long:
		return c.leaf(p, message)
	}
	if err := c.header(p, c.relabelled(p), message); err != nil {
		return err
	}
	return c.copy(p.Body)
}

// relabelled is the encoding of a part whose content is 7bit now or was before;
// empty if it stays what it is.
func (c *converter) relabelled(p *Part) string {
	if !c.nulOnly && (p.Encoding == "8bit" || p.Encoding == "binary") {
		return "7bit"
	}
	return ""
}

// container writes a multipart or a message part by part.
func (c *converter) container(p *Part, message bool) error {
	switch p.Encoding {
	case "7bit", "8bit", "binary":
	default:
		return ErrNot7Bit // RFC 2045 §6.4 forbids it, and what it means is unclear
	}
	if !c.nulOnly && !isASCII(p.Param("boundary")) {
		return ErrNot7Bit
	}
	if err := c.header(p, c.relabelled(p), message); err != nil {
		return err
	}
	if p.Message != nil {
		return c.part(&p.Message.Root, true)
	}
	at := p.Body.Offset
	for i := range p.Parts {
		child := &p.Parts[i]
		if err := c.between(Extent{at, child.Header.Offset - at}); err != nil {
			return err
		}
		if err := c.part(child, false); err != nil {
			return err
		}
		at = child.Body.Offset + child.Body.Size
	}
	return c.between(Extent{at, p.Body.Offset + p.Body.Size - at})
}

// leaf writes a part whose body has to be encoded.
func (c *converter) leaf(p *Part, message bool) error {
	body := io.Reader(c.section(p.Body))
	encoding := "base64"
	if p.Type == "text" {
		encoding = "quoted-printable"
	}
	switch p.Encoding {
	case "7bit", "8bit", "binary":
	case "base64", "quoted-printable": // with 8bit bytes in it: encode it properly
		body, encoding = DecodeBody(body, p.Encoding), p.Encoding
	default:
		return ErrNot7Bit
	}
	if message && p.Header.Size == 0 {
		return ErrNot7Bit // nowhere to say how it is encoded
	}
	if err := c.header(p, encoding, message); err != nil {
		return err
	}
	if encoding == "quoted-printable" {
		return encodeQP(c.w, body)
	}
	if err := encodeBase64(c.w, body); err != nil {
		return err
	}
	if p.Body.Offset+p.Body.Size == c.size {
		c.w.WriteString("\r\n") // no delimiter follows that brings one
	}
	return nil
}

// header writes a part's header in ASCII, with another encoding if one is
// given.
func (c *converter) header(p *Part, encoding string, message bool) error {
	found, err := c.scan(p.Header)
	if err != nil {
		return err
	}
	if encoding == "" && !found.eightBit && !found.nul {
		return c.copy(p.Header)
	}
	if p.Header.Size > maxRewritten || found.nul {
		return ErrNotASCII
	}
	header := make([]byte, p.Header.Size)
	if _, err := io.ReadFull(c.section(p.Header), header); err != nil {
		return err
	}
	versioned, n := false, 0
	for f := range Fields(header) {
		n += len(f.Raw)
		versioned = versioned || f.Is("MIME-Version")
		if encoding != "" && f.Is("Content-Transfer-Encoding") {
			continue
		}
		raw := f.Raw
		if !c.nulOnly {
			var err error
			if raw, err = asciiField(f); err != nil {
				return err
			}
		}
		c.w.Write(raw)
	}
	if encoding != "" {
		if message && !versioned {
			c.w.WriteString("MIME-Version: 1.0\r\n")
		}
		c.w.WriteString("Content-Transfer-Encoding: " + encoding + "\r\n")
	}
	c.w.Write(header[n:]) // the blank line
	return nil
}

func (c *converter) copy(x Extent) error {
	_, err := io.Copy(c.w, c.section(x))
	return err
}

// between writes delimiters and what is around them. That is for nobody to
// read; its 8bit bytes are replaced, by what makes no delimiter of a line that
// was none.
func (c *converter) between(x Extent) error {
	filler := byte('?')
	for _, f := range []byte("?#%*^~_") {
		if strings.IndexByte(c.boundaries, f) < 0 {
			filler = f
			break
		}
	}
	src := c.section(x)
	var buf [4096]byte
	for {
		n, err := src.Read(buf[:])
		for i, b := range buf[:n] {
			if b >= 0x80 && !c.nulOnly || b == 0 {
				buf[i] = filler
			}
		}
		c.w.Write(buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// content is what bytes need on the way.
type content struct{ eightBit, nul, long bool }

func (a content) or(b content) content {
	return content{a.eightBit || b.eightBit, a.nul || b.nul, a.long || b.long}
}

// measure finds out what the bodies of a part and of those inside it need,
// looking at each byte once.
func (c *converter) measure(p *Part) (content, error) {
	var all content
	at := p.Body.Offset
	inside := func(child *Part) error {
		// What stands before the child, and its header.
		found, err := c.scan(Extent{at, child.Body.Offset - at})
		if err != nil {
			return err
		}
		body, err := c.measure(child)
		all = all.or(found).or(body)
		at = child.Body.Offset + child.Body.Size
		return err
	}
	for i := range p.Parts {
		if err := inside(&p.Parts[i]); err != nil {
			return all, err
		}
	}
	if p.Message != nil {
		if err := inside(&p.Message.Root); err != nil {
			return all, err
		}
	}
	rest, err := c.scan(Extent{at, p.Body.Offset + p.Body.Size - at})
	all = all.or(rest)
	c.bodies[p] = all
	c.boundaries += p.Param("boundary")
	return all, err
}

func (c *converter) scan(x Extent) (content, error) {
	var found content
	src := c.section(x)
	buf := make([]byte, min(windowSize, x.Size))
	for width := 0; ; {
		n, err := src.Read(buf)
		b := buf[:n]
		found.nul = found.nul || bytes.IndexByte(b, 0) >= 0
		if !found.eightBit {
			found.eightBit = !isASCIIBytes(b)
		}
		for len(b) > 0 && !found.long {
			line := lineLen(b)
			width += line
			found.long = width > maxTransportLine+2
			if b[line-1] == '\n' {
				width = 0
			}
			b = b[line:]
		}
		if c.nulOnly {
			found.eightBit, found.long = false, false
		}
		if err == io.EOF || len(buf) == 0 {
			return found, nil
		}
		if err != nil {
			return found, err
		}
	}
}

func isASCIIBytes(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}
