package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
)

// smtpConn is one SMTP or LMTP connection.
type smtpConn struct {
	*wire
	lmtp     bool
	pipeline bool // PIPELINING is offered (RFC 2920)
	auth     bool // AUTH PLAIN is offered
}

// dialSMTP connects and says EHLO, or LHLO for LMTP.
func dialSMTP(ctx context.Context, addr string, lmtp bool) (*smtpConn, error) {
	w, err := dialWire(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := &smtpConn{wire: w, lmtp: lmtp}
	if err := c.greet(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *smtpConn) greet() error {
	if err := c.expect('2', nil); err != nil {
		return err
	}
	hello := "EHLO"
	if c.lmtp {
		hello = "LHLO"
	}
	c.out = append(append(c.out, hello...), " client.mailbench.example\r\n"...)
	if err := c.flush(); err != nil {
		return err
	}
	return c.expect('2', func(line []byte) {
		word := strings.ToUpper(string(line[min(4, len(line)):]))
		switch {
		case word == "PIPELINING":
			c.pipeline = true
		case strings.HasPrefix(word, "AUTH ") && strings.Contains(word, "PLAIN"):
			c.auth = true
		}
	})
}

// expect reads one reply, of any number of lines, whose code must begin with
// class. each gets every line of it.
func (c *smtpConn) expect(class byte, each func(line []byte)) error {
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if len(line) < 3 {
			return fmt.Errorf("%q is no reply", line)
		}
		if each != nil {
			each(line)
		}
		if len(line) > 3 && line[3] == '-' {
			continue
		}
		if line[0] != class {
			return fmt.Errorf("%s", line)
		}
		return nil
	}
}

// login authenticates with AUTH PLAIN (RFC 4616), if that is offered.
func (c *smtpConn) login(user, password string) error {
	if !c.auth {
		return nil
	}
	c.out = append(c.out, "AUTH PLAIN "...)
	c.out = base64.StdEncoding.AppendEncode(c.out, []byte("\x00"+user+"\x00"+password))
	c.out = append(c.out, "\r\n"...)
	if err := c.flush(); err != nil {
		return err
	}
	return c.expect('2', nil)
}

// send sends one message, whose lines end with CRLF and never begin with a
// dot, and waits for the final reply; for LMTP, for one of each recipient.
// With PIPELINING the envelope and DATA go in one packet (RFC 2920 §3.1).
func (c *smtpConn) send(from string, to []string, message []byte) error {
	c.out = append(append(append(c.out, "MAIL FROM:<"...), from...), ">\r\n"...)
	if err := c.step('2'); err != nil {
		return err
	}
	for _, rcpt := range to {
		c.out = append(append(append(c.out, "RCPT TO:<"...), rcpt...), ">\r\n"...)
		if err := c.step('2'); err != nil {
			return err
		}
	}
	c.out = append(c.out, "DATA\r\n"...)
	if err := c.flush(); err != nil {
		return err
	}
	if c.pipeline {
		for range 1 + len(to) {
			if err := c.expect('2', nil); err != nil {
				return err
			}
		}
	}
	if err := c.expect('3', nil); err != nil {
		return err
	}
	c.out = append(append(c.out, message...), ".\r\n"...)
	if err := c.flush(); err != nil {
		return err
	}
	replies := 1
	if c.lmtp {
		replies = len(to)
	}
	for range replies {
		if err := c.expect('2', nil); err != nil {
			return err
		}
	}
	return nil
}

// step sends what is in out and reads its reply, unless commands are pipelined.
func (c *smtpConn) step(class byte) error {
	if c.pipeline {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.expect(class, nil)
}

// quit says QUIT, waits for the answer and closes.
func (c *smtpConn) quit() error {
	c.out = append(c.out, "QUIT\r\n"...)
	err := c.flush()
	if err == nil {
		err = c.expect('2', nil)
	}
	if e := c.close(); err == nil {
		err = e
	}
	return err
}
