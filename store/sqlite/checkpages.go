package sqlite

import (
	"postrider/store"
)

// pages verifies the pages of all mailboxes against the rows of their messages
// and against the mailboxes' counters.
func (k *checker) pages(t *tx) error {
	var boxes []*pageCheck
	err := t.each("SELECT acct, id, total, unseen, deleted, bytes, deleted_bytes FROM mailbox ORDER BY acct, id", nil,
		func(scan func(...any) error) error {
			c := &pageCheck{k: k, t: t}
			n := &c.says
			err := scan(&c.box.Account, &c.box.N, &n.total, &n.unseen, &n.deleted, &n.bytes, &n.deletedBytes)
			boxes = append(boxes, c)
			return err
		})
	if err != nil {
		return err
	}
	for _, c := range boxes {
		if err := c.run(); err != nil {
			return err
		}
		c.compare()
	}
	return nil
}

// pageCheck is the check of one mailbox's pages.
type pageCheck struct {
	k     *checker
	t     *tx
	box   store.MailboxID
	says  counts // the mailbox's counters
	next  int64  // the lowest UID that may come
	sum   counts // of the messages in pages
	found int
}

func (c *pageCheck) say(format string, args ...any) {
	switch c.found++; {
	case c.found <= maxFindings:
		c.k.say("mailbox %d/%d: "+format, append([]any{int64(c.box.Account), c.box.N}, args...)...)
	case c.found == maxFindings+1:
		c.k.say("… and more of the same kind")
	}
}

// rawPage is a page as it is stored.
type rawPage struct {
	lo, modseq int64
	data       []byte
}

// run reads all pages, a bounded number at a time.
func (c *pageCheck) run() error {
	for last, more := int64(-1), true; more; {
		var got []rawPage
		err := c.t.each("SELECT lo, modseq, data FROM message_page WHERE acct = ?1 AND mbox = ?2 AND lo > ?3 ORDER BY lo LIMIT ?4",
			args(int64(c.box.Account), c.box.N, last, stretchPages), func(scan func(...any) error) error {
				var p rawPage
				err := scan(&p.lo, &p.modseq, &p.data)
				got = append(got, p)
				return err
			})
		if err != nil {
			return err
		}
		for _, p := range got {
			if err := c.page(p); err != nil {
				return err
			}
			last = p.lo
		}
		more = len(got) == stretchPages
	}
	return c.unpaged(int64(store.MaxUID))
}

// page verifies a page, and that no message lies between it and the one
// before.
func (c *pageCheck) page(p rawPage) error {
	var rows store.Rows
	if err := decodePage(p.data, c.box, &rows); err != nil {
		c.say("the page from UID %d is damaged", p.lo)
		return nil // its messages are told of as having no page
	}
	first, last := int64(rows.UID[0]), int64(rows.UID[rows.Len()-1])
	if p.lo > first || p.lo < c.next {
		c.say("the page from UID %d has UIDs from %d, and %d could come", p.lo, first, c.next)
	}
	if _, highest := bounds(rows.ModSeq); int64(highest) != p.modseq {
		c.say("the page from UID %d has change %d and says %d", p.lo, highest, p.modseq)
	}
	if err := c.unpaged(first - 1); err != nil {
		return err
	}
	if err := c.messages(&rows, last); err != nil {
		return err
	}
	c.next = last + 1
	c.sum.add(tally(&rows), 1)
	return nil
}

// unpaged tells of messages up to last that are in no page.
func (c *pageCheck) unpaged(last int64) error {
	return c.t.each("SELECT uid FROM message WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4 ORDER BY uid",
		args(int64(c.box.Account), c.box.N, c.next, last), func(scan func(...any) error) error {
			var uid int64
			err := scan(&uid)
			c.say("message %d is in no page", uid)
			return err
		})
}

// messages compares the messages of a page with their rows.
func (c *pageCheck) messages(rows *store.Rows, last int64) error {
	i := 0
	err := c.t.each(`SELECT uid, created_modseq, received, saved, size, email_id, thread_id FROM message
		WHERE acct = ?1 AND mbox = ?2 AND uid BETWEEN ?3 AND ?4 ORDER BY uid`,
		args(int64(c.box.Account), c.box.N, int64(rows.UID[0]), last), func(scan func(...any) error) error {
			var uid, created, received, saved, size, email, thread int64
			if err := scan(&uid, &created, &received, &saved, &size, &email, &thread); err != nil {
				return err
			}
			for ; i < rows.Len() && int64(rows.UID[i]) < uid; i++ {
				c.say("message %d is in a page and has no row", rows.UID[i])
			}
			if i == rows.Len() || int64(rows.UID[i]) != uid {
				c.say("message %d is in no page", uid)
				return nil
			}
			if int64(rows.ModSeq[i]) < created {
				c.say("message %d came at change %d and is at %d", uid, created, rows.ModSeq[i])
			}
			if rows.Received[i] != received || rows.Saved[i] != saved || rows.Size[i] != size || rows.EmailID[i] != email || rows.ThreadID[i] != thread {
				c.say("message %d has other times, size or ids in its page than in its row", uid)
			}
			i++
			return nil
		})
	for ; err == nil && i < rows.Len(); i++ {
		c.say("message %d is in a page and has no row", rows.UID[i])
	}
	return err
}

// compare holds what the pages sum up to against the mailbox's counters.
func (c *pageCheck) compare() {
	if c.says == c.sum {
		return
	}
	c.k.say("mailbox %d/%d counts %d messages, %d unseen, %d deleted, %d and %d bytes, and has %d, %d, %d, %d and %d",
		int64(c.box.Account), c.box.N, c.says.total, c.says.unseen, c.says.deleted, c.says.bytes, c.says.deletedBytes,
		c.sum.total, c.sum.unseen, c.sum.deleted, c.sum.bytes, c.sum.deletedBytes)
}
