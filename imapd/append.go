package imapd

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"syscall"

	"github.com/emersion/go-imap/v2"

	"postrider/internal/spool"
	"postrider/store"
)

const spoolMemory = 128 << 10 // of a message being appended

// appendMessage answers APPEND (RFC 9051 §6.3.12). The engine has compared
// the literal's size with the limit before it asked for it. The whole command
// is read in any case, and nothing is stored before it was.
func (s *session) appendMessage(name string, r imap.LiteralReader, o *imap.AppendOptions) (*imap.AppendData, error) {
	box, flags, refused := s.appendTarget(name, r.Size(), o)
	body := spool.New(s.srv.o.SpoolDir, spoolMemory)
	defer body.Close()
	var nul nulFinder
	to := io.MultiWriter(body, &nul)
	if refused != nil {
		to = io.Discard
	}
	n, err := io.Copy(to, r)
	if err == nil && n != r.Size() {
		return nil, no(imap.ResponseCodeUnavailable, "The message ended early") // the client has gone
	}
	if err != nil { // of the spool; reading fails as an early end
		io.Copy(io.Discard, r)
		if errors.Is(err, syscall.ENOSPC) {
			err = store.Errorf(store.Full, "append", "%w", err)
		}
		refused = s.wireError(err, "append")
	}
	if err := s.c.endAppend(); err != nil {
		return nil, err
	}
	switch {
	case refused != nil:
		return nil, refused
	case bool(nul) && !s.c.req.endsInLiteral8():
		return nil, badCommand("NUL has a place only in a literal8") // RFC 9051 §4.3
	}
	when := o.Time
	if when.IsZero() {
		when = s.srv.o.Now()
	}
	filed, err := s.srv.o.Store.Append(s.c.ctx, "", box, body, flags, when)
	if err != nil {
		return nil, s.intoMailbox(err, "append")
	}
	return &imap.AppendData{UID: imap.UID(filed.UID), UIDValidity: filed.UIDValidity}, nil
}

// nulFinder notes whether NUL was written to it.
type nulFinder bool

func (f *nulFinder) Write(p []byte) (int, error) {
	*f = *f || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}

// appendTarget decides what can be decided before the message is read.
func (s *session) appendTarget(name string, size int64, o *imap.AppendOptions) (store.MailboxID, store.Flags, error) {
	flags, err := parseFlags(o.Flags)
	if err != nil {
		return store.MailboxID{}, flags, err
	}
	m, err := s.mailbox(name)
	switch {
	case err != nil:
		return m.ID, flags, s.intoMailbox(err, "append")
	case size == 0:
		return m.ID, flags, no(imap.ResponseCodeCannot, "A message has at least one byte")
	}
	return m.ID, flags, nil
}

// lastWord is the last word of what was read of the request.
func (r *request) lastWord() string {
	text := r.text.String()
	return text[strings.LastIndexByte(text, ' ')+1:]
}

// endsInLiteral8 tells whether the literal that was announced last may have
// NUL.
func (r *request) endsInLiteral8() bool { return strings.Contains(r.lastWord(), "~{") }
