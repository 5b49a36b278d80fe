package pop3d

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"postrider/store"
)

// maildrop is a session's snapshot of INBOX. Message number n is index n-1 of
// the view.
type maildrop struct {
	account store.Account
	box     store.MailboxID
	view    *store.View
	extra   map[int]int64 // by index: what RETR sends beyond the stored size
	deleted []bool        // by index; nil before the first DELE
	sent    []bool        // by index: RETR sent all of it; nil before the first
	count   int           // of messages that are not deleted
	bytes   int64
	purged  bool // what is deleted has been removed from the store

	retrieved, expunged int // for the log
}

func newMaildrop(ctx context.Context, s *Server, acc store.Account, utf8 bool) (*maildrop, error) {
	box, err := s.o.Store.Mailbox(ctx, acc.ID, store.Inbox)
	if err != nil {
		return nil, err
	}
	v, err := s.o.Store.View(ctx, box.ID)
	if err != nil {
		return nil, err
	}
	d := &maildrop{account: acc, box: box.ID, view: v, extra: map[int]int64{}}
	if err := d.measure(ctx, s, utf8); err != nil {
		return nil, err
	}
	d.undelete()
	return d, nil
}

// size is how many octets RETR sends of the message at index i, less the
// dot-stuffing.
func (d *maildrop) size(i int) int64 { return d.view.At(i).Size + d.extra[i] }

// undelete takes all deletions back.
func (d *maildrop) undelete() {
	d.deleted, d.count, d.bytes = nil, d.view.Len(), 0
	for i := range d.view.Len() {
		d.bytes += d.size(i)
	}
}

func (d *maildrop) isDeleted(i int) bool { return d.deleted != nil && d.deleted[i] }

// find returns the index of the message that a command names.
func (d *maildrop) find(arg string) (int, error) {
	n, err := number(arg)
	switch {
	case err != nil:
		return 0, err
	case n < 1 || n > int64(d.view.Len()):
		return 0, errNoMessage
	case d.isDeleted(int(n - 1)):
		return 0, errDeleted
	}
	return int(n - 1), nil
}

// uids returns the UIDs of the messages that which has true for.
func (d *maildrop) uids(which []bool) store.UIDSet {
	var uids []store.UID
	for i, ok := range which {
		if ok {
			uids = append(uids, d.view.UID(i))
		}
	}
	return store.UIDSetOf(uids...)
}

const maxDigits = 18 // what an int64 holds in any case; more is as good as that

// number reads a decimal number; a very large one counts as the largest.
func number(s string) (int64, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, errNumber
	}
	if s = strings.TrimLeft(s, "0"); len(s) > maxDigits {
		s = s[:maxDigits]
	}
	n, _ := strconv.ParseInt("0"+s, 10, 64)
	return n, nil
}

// stat tells how many messages there are and their size (RFC 1939 §5).
func (c *conn) stat(string) error {
	c.ok("%d %d", c.drop.count, c.drop.bytes)
	return nil
}

// list is LIST: the size of a message or of each.
func (c *conn) list(arg string) error {
	return c.listing(arg, func(b []byte, i int) []byte {
		return strconv.AppendInt(b, c.drop.size(i), 10)
	})
}

// uidl is UIDL: the unique-id of a message or of each (RFC 1939 §7).
func (c *conn) uidl(arg string) error {
	validity := c.drop.view.Mailbox().UIDValidity
	return c.listing(arg, func(b []byte, i int) []byte {
		b = strconv.AppendUint(b, uint64(validity), 10)
		b = append(b, '.')
		return strconv.AppendUint(b, uint64(c.drop.view.UID(i)), 10)
	})
}

// listing answers for one message, or for all that are not deleted.
func (c *conn) listing(arg string, value func(b []byte, i int) []byte) error {
	if arg != "" {
		i, err := c.drop.find(arg)
		if err != nil {
			return err
		}
		c.ok("%d %s", i+1, value(nil, i))
		return nil
	}
	c.ok("%d messages (%d octets)", c.drop.count, c.drop.bytes)
	var line []byte
	for i := range c.drop.view.Len() {
		if c.drop.isDeleted(i) {
			continue
		}
		line = append(strconv.AppendInt(line[:0], int64(i+1), 10), ' ')
		line = append(value(line, i), "\r\n"...)
		if _, err := c.w.Write(line); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
	}
	c.w.WriteString(".\r\n")
	return nil
}

// dele marks a message; it goes at QUIT.
func (c *conn) dele(arg string) error {
	d := c.drop
	i, err := d.find(arg)
	if err != nil {
		return err
	}
	if d.deleted == nil {
		d.deleted = make([]bool, d.view.Len())
	}
	d.deleted[i] = true
	d.count--
	d.bytes -= d.size(i)
	c.ok("message %d deleted", i+1)
	return nil
}

// rset takes all DELEs back.
func (c *conn) rset(string) error {
	c.drop.undelete()
	c.ok("%d messages (%d octets)", c.drop.count, c.drop.bytes)
	return nil
}

func (c *conn) noop(string) error {
	c.ok("done")
	return nil
}
