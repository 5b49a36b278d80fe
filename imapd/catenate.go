package imapd

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

// catenate reads the parts of a message and puts them together (RFC 4469 §3).
func (a *appending) catenate(from int64) error {
	d := a.d
	a.parts = true
	defer func() { a.parts = false }()
	d.SP()
	d.List(func() {
		if a.err != nil {
			return
		}
		switch d.Keyword() {
		case "TEXT":
			d.SP()
			a.err = a.literal(from, false)
		case "UTF8":
			a.err = a.utf8(from)
		case "URL":
			d.SP()
			if text := d.AString(); d.Err() == nil {
				a.err = a.fetchURL(from, text)
			}
		default:
			d.Fail("No such part")
		}
	})
	return a.err
}

// errURL says that a URL names nothing that can be read.
var errURL = errors.New("bad URL")

// fetchURL adds what a URL names. \Seen is not set.
func (a *appending) fetchURL(from int64, text string) error {
	refused := no(imap.ResponseCode(badURL(text)), "No message or part of one has this URL")
	u, ok := parseMessageURL(text)
	if !ok {
		return refused
	}
	box, err := a.s.boxOfURL(&u)
	if err == nil {
		err = a.copyURL(from, box, &u)
	}
	if errors.Is(err, errURL) || err != nil && store.KindOf(err) == store.NotFound {
		return refused
	}
	return a.s.wireError(err, "catenate")
}

// boxOfURL finds the mailbox of a URL; without a name it is the selected one.
func (s *session) boxOfURL(u *messageURL) (store.MailboxID, error) {
	if u.mailbox == "" {
		if s.box == nil || u.validity != 0 && u.validity != s.box.told.Mailbox().UIDValidity {
			return store.MailboxID{}, errURL
		}
		return s.box.id, nil
	}
	p, err := s.mailbox(u.mailbox)
	if err == nil && (p.rights&store.RightRead == 0 || u.validity != 0 && u.validity != p.UIDValidity) {
		err = errURL
	}
	return p.ID, err
}

// copyURL copies what a URL names out of a mailbox.
func (a *appending) copyURL(from int64, box store.MailboxID, u *messageURL) error {
	item, ok := parseSection(u.section)
	if !ok {
		return errURL
	}
	found := false
	err := a.s.srv.o.Store.Fetch(a.s.ctx(), box, store.UIDSetOf(u.uid), store.NeedBody|store.NeedMeta, func(c *store.Content) error {
		found = true
		part, err := section(c, item)
		if err != nil {
			return err
		}
		if part.at == nil && part.bytes == nil { // there is no such part
			return errURL
		}
		if u.offset > 0 || u.length >= 0 {
			length := u.length
			if length < 0 {
				length = part.length()
			}
			part = part.cut(&imap.SectionPartial{Offset: u.offset, Size: length})
		}
		if part.length() > a.room(from) {
			return no(imap.ResponseCodeTooBig, "The message would be too large")
		}
		n, err := io.Copy(a.body, part.reader())
		a.total += n
		return err
	})
	if err == nil && !found {
		err = errURL
	}
	return err
}

// parseSection reads a section as it stands in BODY[…].
func parseSection(text string) (*imap.FetchItemBodySection, bool) {
	if strings.ContainsAny(text, "\r\n\x00") {
		return nil, false
	}
	line := "BODY.PEEK[" + text + "]\r\n"
	d := wire.NewDecoder(bufio.NewReader(strings.NewReader(line)), func() {})
	d.Limits = wire.Limits{Line: len(line), String: 0, Total: int64(len(line)), Skip: 0}
	if d.Next() != nil {
		return nil, false
	}
	items := parseFetchItems(d)
	d.CRLF()
	if d.Err() != nil || len(items.o.BodySection) != 1 || items.o.BodySection[0].Partial != nil {
		return nil, false
	}
	return items.o.BodySection[0], true
}
