package main

import (
	"context"
	"fmt"
	"strconv"
)

// fillWindow is about how many octets are on their way at once.
const fillWindow = 1 << 20

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

// appendMany appends messages first to end-1 of g as fast as the server lets:
// many with one command (RFC 3502), or many commands at once on their way, or
// one after the other.
func (c *imapConn) appendMany(mailbox string, g Generator, first, end int) error {
	for n := first; n < end; {
		batch := n
		for size := 0; n < end && size < fillWindow; n++ {
			size += g.SizeOf(n)
		}
		var err error
		if c.caps["MULTIAPPEND"] && c.caps["LITERAL+"] {
			err = c.multiAppend(mailbox, g, batch, n)
		} else {
			err = c.pipelineAppend(mailbox, g, batch, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// multiAppend appends messages first to end-1 with one command.
func (c *imapConn) multiAppend(mailbox string, g Generator, first, end int) error {
	c.beginPart("APPEND " + quoteIMAP(mailbox))
	for n := first; n < end; n++ {
		m := g.Message(n)
		c.out = append(c.out, " {"...)
		c.out = strconv.AppendInt(c.out, int64(len(m)), 10)
		c.out = append(append(c.out, "+}\r\n"...), m...)
	}
	c.out = append(c.out, "\r\n"...)
	if err := c.flush(); err != nil {
		return err
	}
	return c.finish(c.tag, nil)
}

// pipelineAppend appends messages first to end-1 with a command for each.
func (c *imapConn) pipelineAppend(mailbox string, g Generator, first, end int) error {
	var tags []int
	for n := first; n < end; n++ {
		m := g.Message(n)
		tag, err := c.beginAppend(mailbox, m)
		if err != nil {
			return err
		}
		tags = append(tags, tag)
		if c.literalPlus(len(m)) && n < end-1 {
			continue
		}
		if err := c.flush(); err != nil {
			return err
		}
		for _, tag := range tags {
			if err := c.finish(tag, nil); err != nil {
				return err
			}
		}
		tags = tags[:0]
	}
	return nil
}
