package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
)

// pop3Conn is one POP3 connection.
type pop3Conn struct {
	*wire
	octets int64 // of messages so far
}

func dialPOP3(ctx context.Context, addr string) (*pop3Conn, error) {
	w, err := dialWire(ctx, addr)
	if err != nil {
		return nil, err
	}
	c := &pop3Conn{wire: w}
	if _, err := c.status(); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// status reads +OK and returns what follows, or an error with the reply.
func (c *pop3Conn) status() ([]byte, error) {
	line, err := c.line()
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(line, []byte("+OK"))
	if !ok {
		return nil, fmt.Errorf("%s", line)
	}
	return bytes.TrimPrefix(rest, []byte(" ")), nil
}

// do sends a command with a single-line reply.
func (c *pop3Conn) do(command string) ([]byte, error) {
	c.out = append(append(c.out, command...), "\r\n"...)
	if err := c.flush(); err != nil {
		return nil, err
	}
	return c.status()
}

func (c *pop3Conn) login(user, password string) error {
	if _, err := c.do("USER " + user); err != nil {
		return err
	}
	_, err := c.do("PASS " + password)
	return err
}

// stat is the number of messages in the maildrop.
func (c *pop3Conn) stat() (int, error) {
	reply, err := c.do("STAT")
	if err != nil {
		return 0, err
	}
	count, _, _ := bytes.Cut(reply, []byte(" "))
	n, err := strconv.Atoi(string(count))
	if err != nil {
		return 0, fmt.Errorf("STAT answers %q", reply)
	}
	return n, nil
}

// multi reads the lines up to the one with a dot alone, and returns how many
// there were.
func (c *pop3Conn) multi() (int, error) {
	for n := 0; ; n++ {
		line, err := c.line()
		if err != nil {
			return n, err
		}
		if len(line) == 1 && line[0] == '.' {
			return n, nil
		}
		c.octets += int64(len(line)) + 2
	}
}

// uidl returns how many messages UIDL lists.
func (c *pop3Conn) uidl() (int, error) {
	if _, err := c.do("UIDL"); err != nil {
		return 0, err
	}
	return c.multi()
}

// beginRetr puts RETR into out; finishRetr reads its message.
func (c *pop3Conn) beginRetr(n int) {
	c.out = append(c.out, "RETR "...)
	c.out = strconv.AppendInt(c.out, int64(n), 10)
	c.out = append(c.out, "\r\n"...)
}

func (c *pop3Conn) finishRetr() error {
	if _, err := c.status(); err != nil {
		return err
	}
	_, err := c.multi()
	return err
}

func (c *pop3Conn) quit() error {
	_, err := c.do("QUIT")
	if e := c.close(); err == nil {
		err = e
	}
	return err
}
