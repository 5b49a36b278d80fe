package imapd

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/internal/spool"
	"postrider/mail"
	"postrider/store"
)

const (
	spoolMemory = 128 << 10 // of the messages of one command
	// The messages of one APPEND may have this many times the size of the
	// largest that is taken.
	maxAppendTimes = 2
)

// appending is the messages of an APPEND or REPLACE, read into one buffer, one
// after the other.
type appending struct {
	s     *session
	d     *wire.Decoder
	drop  store.FlagMask // flags that may not be set in the mailbox
	body  *spool.Buffer
	total int64 // bytes of body
	msgs  []appended
	nul   bool  // the message being read has NUL
	parts bool  // CATENATE is being read
	err   error // of it
}

// appended is one message: its place in the buffer, and what is said of it.
type appended struct {
	flags    store.Flags
	when     time.Time
	from, to int64
}

func (s *session) newAppending(d *wire.Decoder, to *place) *appending {
	return &appending{s: s, d: d, drop: flagMask(to.rights), body: spool.New(s.srv.o.SpoolDir, spoolMemory)}
}

// cmdAppend answers APPEND (RFC 9051 §6.3.12), of one message or several (RFC
// 3502). What can be refused is refused before a message is asked for, and
// nothing is stored before the whole command was read.
func (s *session) cmdAppend(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	d.SP()
	if err := d.Err(); err != nil {
		return err
	}
	p, err := s.target(name, "append")
	if err != nil {
		return err
	}
	a := s.newAppending(d, &p)
	defer a.body.Close()
	for {
		if err := a.message(); err != nil {
			return err
		}
		if !d.TrySP() || d.End() {
			break
		}
		if n := s.srv.o.MessageLimit; len(a.msgs) == n { // RFC 9738 §3.1: and nothing is stored
			return no(imap.ResponseCode("MESSAGELIMIT "+strconv.Itoa(n)), "Too many messages for one command")
		}
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	filed, err := s.srv.o.Store.AppendAll(s.ctx(), "", p.ID, a.messages())
	if err != nil {
		return s.intoMailbox(err, "append")
	}
	s.ok(appendUIDCode(filed), "")
	return nil
}

// target finds a mailbox that messages are to be put into. Its errors are ready
// for the wire.
func (s *session) target(name, doing string) (place, error) {
	p, err := s.mailbox(name)
	if err != nil {
		return p, s.intoMailbox(err, doing)
	}
	return p, p.allow(store.RightInsert)
}

// appendUIDCode is the response code APPENDUID (RFC 4315 §3, RFC 3502 §6.3.11).
func appendUIDCode(filed []store.Filed) string {
	uids := make([]store.UID, len(filed))
	for i, f := range filed {
		uids[i] = f.UID
	}
	b := append([]byte("APPENDUID "), strconv.FormatUint(uint64(filed[0].UIDValidity), 10)...)
	return string(appendUIDs(append(b, ' '), store.UIDSetOf(uids...)))
}

// messages are what was read, for the store.
func (a *appending) messages() []store.NewMessage {
	out := make([]store.NewMessage, len(a.msgs))
	for i, m := range a.msgs {
		out[i] = store.NewMessage{Flags: m.flags, Received: m.when, Body: io.NewSectionReader(a.body, m.from, m.to-m.from)}
	}
	if len(out) == 1 && a.msgs[0].from == 0 {
		out[0].Body = a.body // which may have it in memory
	}
	return out
}

// message reads an append-message (RFC 4466 §2.1): flags, a date, and a
// literal, the same as UTF8 (RFC 6855 §4), or parts to be put together (RFC
// 4469).
func (a *appending) message() error {
	d := a.d
	var given []string
	if d.Peek() == '(' {
		given = d.FlagList()
		d.SP()
	}
	m := appended{when: a.s.srv.o.Now(), from: a.total}
	a.nul = false
	if d.Peek() == '"' {
		m.when = d.DateTime()
		d.SP()
	}
	flags, err := parseFlags(given)
	if d.Err() != nil || err != nil {
		return errors.Join(d.Err(), err)
	}
	m.flags = a.drop.Keep(store.Flags{}, flags)
	switch {
	case d.TryWord("UTF8"):
		err = a.utf8(m.from)
	case d.TryWord("CATENATE"):
		err = a.catenate(m.from)
	default:
		err = a.literal(m.from, false)
	}
	if err == nil {
		err = d.Err()
	}
	if err == nil && a.total == m.from {
		err = errEmpty
	}
	m.to = a.total
	if err == nil && a.nul {
		err = a.encodeNUL(&m)
	}
	a.msgs = append(a.msgs, m)
	return err
}

// encodeNUL puts in place of a message with NUL, behind it in the buffer, one
// whose bodies are encoded: BODY[] may not send NUL (RFC 9051 §4.3.1), and
// BINARY undoes it. RFC 3516 §4.4 has the code of a refusal.
func (a *appending) encodeNUL(m *appended) error {
	raw := io.NewSectionReader(a.body, m.from, m.to-m.from)
	meta, err := mail.Parse(raw)
	if err != nil {
		return a.spoolError(err)
	}
	before := a.body.Size()
	err = mail.WithoutNUL(raw, meta, a.body)
	switch {
	case errors.Is(err, mail.ErrNot7Bit) || errors.Is(err, mail.ErrNotASCII):
		return no(imap.ResponseCodeUnknownCTE, "NUL is where it cannot be encoded")
	case err != nil:
		return a.spoolError(err)
	}
	m.from, m.to = before, a.body.Size()
	a.total = m.to
	if m.to-m.from > a.s.srv.o.MaxMessageBytes {
		return no(imap.ResponseCodeTooBig, "The message is too large once it is encoded")
	}
	return nil
}

// room is how many bytes may still come of the message that begins at from.
func (a *appending) room(from int64) int64 {
	limit := a.s.srv.o.MaxMessageBytes
	return min(limit-(a.total-from), maxAppendTimes*limit-a.total)
}

// utf8 reads a literal8 behind UTF8.
func (a *appending) utf8(from int64) error {
	a.d.SP()
	a.d.Special('(')
	err := a.literal(from, true)
	a.d.Special(')')
	return err
}

var errEmpty = no(imap.ResponseCodeCannot, "A message has at least one byte")

// literal reads a literal. An empty message is refused before it is asked for.
func (a *appending) literal(from int64, utf8 bool) error {
	l := a.d.LiteralHeader(a.room(from))
	switch {
	case a.d.Err() != nil:
		return a.d.Err()
	case l.Size == 0 && !a.parts:
		return errEmpty
	case utf8 && !l.Binary:
		return badCommand("UTF8 stands before a literal8")
	}
	var nul nulFinder
	err := a.d.Copy(io.MultiWriter(a.body, &nul))
	a.total += l.Size
	a.nul = a.nul || bool(nul)
	switch {
	case a.d.Err() != nil && isFatal(a.d.Err()):
		return a.d.Err()
	case err != nil:
		return a.spoolError(err)
	case bool(nul) && !l.Binary:
		return badCommand("NUL has a place only in a literal8") // RFC 9051 §4.3
	}
	return nil
}

func (a *appending) spoolError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		err = store.Errorf(store.Full, "append", "%w", err)
	}
	return a.s.wireError(err, "append")
}

// nulFinder notes whether NUL was written to it.
type nulFinder bool

func (f *nulFinder) Write(p []byte) (int, error) {
	*f = *f || bytes.IndexByte(p, 0) >= 0
	return len(p), nil
}
