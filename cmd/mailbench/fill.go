package main

import (
	"context"
	"fmt"
)

// fillWindow bounds how many octets are on their way in a pipelined APPEND.
const fillWindow = 256 << 10

// fill brings a mailbox to exactly count messages, 0 to count-1 of g, by IMAP.
// A mailbox that has them already (from an earlier run with the same
// generator) is left as it is; one that has others is deleted and made anew.
// INBOX cannot be deleted: there, messages are expunged.
func fill(ctx context.Context, s *Server, user, mailbox string, g Generator, count int) error {
	c, err := loginIMAP(ctx, s.IMAP, user, s.Password)
	if err != nil {
		return fmt.Errorf("filling %s of %s: %w", mailbox, user, err)
	}
	defer c.close()
	have, err := c.messages(mailbox)
	if err != nil { // there is none
		have = 0
		if err := c.do("CREATE "+quoteIMAP(mailbox), nil); err != nil {
			return fmt.Errorf("making %s of %s: %w", mailbox, user, err)
		}
	}
	switch {
	case have == count:
		return nil
	case have > count:
		if err := c.empty(mailbox); err != nil {
			return fmt.Errorf("emptying %s of %s: %w", mailbox, user, err)
		}
		have = 0
	}
	if err := c.appendMany(mailbox, g, have, count); err != nil {
		return fmt.Errorf("filling %s of %s: %w", mailbox, user, err)
	}
	return c.logout()
}

// empty expunges everything in a mailbox.
func (c *imapConn) empty(mailbox string) error {
	for _, command := range []string{"SELECT " + quoteIMAP(mailbox), `STORE 1:* +FLAGS.SILENT (\Deleted)`, "EXPUNGE", "CLOSE"} {
		if err := c.do(command, nil); err != nil {
			return err
		}
	}
	return nil
}

// appendMany appends messages first to end-1 of g, many at once on their way
// if the server has LITERAL+.
func (c *imapConn) appendMany(mailbox string, g Generator, first, end int) error {
	for n := first; n < end; {
		var tags []int
		for size := 0; n < end && size < fillWindow; n++ {
			m := g.Message(n)
			tag, err := c.beginAppend(mailbox, m)
			if err != nil {
				return err
			}
			tags = append(tags, tag)
			size += len(m)
			if !c.literalPlus(len(m)) {
				n++
				break
			}
		}
		if err := c.flush(); err != nil {
			return err
		}
		for _, tag := range tags {
			if err := c.finish(tag, nil); err != nil {
				return err
			}
		}
	}
	return nil
}
