// Package unpack finds what a message or a file holds, taken out of MIME parts,
// gzip and zip, within bounds: what it reads comes from anybody.
package unpack

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io"
	"strings"

	"github.com/emersion/go-message"
)

// Limits of one message.
const (
	maxInput  = 20 << 20 // bytes of it
	maxOutput = 25 << 20 // bytes of all that is in it, unpacked
	maxFiles  = 100      // parts, and files of archives
	maxParts  = 10       // levels
)

// unpacker is what is left of the limits.
type unpacker struct {
	bytes int64
	files int
	each  func([]byte)
}

// Each calls f for each document in a message, an archive or a plain file.
// What is too much, or cannot be read, is left out.
func Each(in io.Reader, f func(text []byte)) {
	b, err := io.ReadAll(io.LimitReader(in, maxInput))
	if err != nil {
		return
	}
	u := &unpacker{bytes: maxOutput, files: maxFiles, each: f}
	if isPacked(b) || isDocument(b) {
		u.document(b)
		return
	}
	m, err := message.ReadWithOptions(bytes.NewReader(b), &message.ReadOptions{MaxHeaderBytes: 1 << 20})
	if m != nil && (err == nil || message.IsUnknownCharset(err) || message.IsUnknownEncoding(err)) {
		u.entity(m, 0)
	}
}

func isPacked(b []byte) bool {
	return bytes.HasPrefix(b, []byte{0x1f, 0x8b}) || bytes.HasPrefix(b, []byte("PK\x03\x04"))
}

func isDocument(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), " \t\r\n")
	return len(b) > 0 && (b[0] == '<' || b[0] == '{')
}

// entity goes through the parts of a message.
func (u *unpacker) entity(e *message.Entity, depth int) {
	if mr := e.MultipartReader(); mr != nil {
		for depth < maxParts && u.files > 0 {
			part, err := mr.NextPart()
			if part == nil || err != nil && !message.IsUnknownCharset(err) && !message.IsUnknownEncoding(err) {
				return
			}
			u.files--
			u.entity(part, depth+1)
		}
		return
	}
	if t, _, _ := e.Header.ContentType(); strings.HasPrefix(t, "text/plain") || strings.HasPrefix(t, "text/html") {
		return // words for people
	}
	if b, ok := u.read(e.Body); ok {
		u.document(b)
	}
}

// read reads all of r within what is left.
func (u *unpacker) read(r io.Reader) ([]byte, bool) {
	b, err := io.ReadAll(io.LimitReader(r, u.bytes+1))
	if int64(len(b)) > u.bytes {
		u.bytes = 0
		return nil, false
	}
	u.bytes -= int64(len(b))
	return b, err == nil
}

// document takes what is packed apart, once: nobody packs a report twice.
func (u *unpacker) document(b []byte) {
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		if text, ok := u.read(z); ok {
			u.each(text)
		}
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		for _, file := range z.File {
			if u.files--; u.files < 0 {
				return
			}
			r, err := file.Open()
			if err != nil {
				continue
			}
			text, ok := u.read(r)
			r.Close()
			if ok {
				u.each(text)
			}
		}
	case isDocument(b):
		u.each(b)
	}
}
