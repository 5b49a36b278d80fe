package smtpd

import (
	"context"

	"postrider/mail"
	"postrider/store"
)

var (
	errRcptSyntax   = refuse(501, 5, 5, 4, "Syntax: RCPT TO:<address>")
	errBadRecipient = refuse(501, 5, 1, 3, "Bad recipient address syntax")
	errManyRcpts    = refuse(452, 4, 5, 3, "Too many recipients")
	errRelay        = refuse(550, 5, 7, 1, "Relaying denied")
)

// rcpt is RCPT (RFC 5321 §4.1.1.3).
func (c *conn) rcpt(ctx context.Context, arg string) (reply, error) {
	tx := c.tx
	switch {
	case tx.chunk != nil:
		return reply{}, errInChunks
	case len(tx.env.Rcpts) >= c.o.MaxRcpts:
		return reply{}, errManyRcpts
	}
	path, found := cutFold(arg, "TO:")
	if !found {
		return reply{}, errRcptSyntax
	}
	to, rest, err := mail.ParsePath(path)
	if err != nil || to.IsZero() {
		return reply{}, errBadRecipient
	}
	r := mail.Recipient{Addr: to}
	if err := rcptParams(&r, rest); err != nil {
		return reply{}, err
	}
	if !to.IsASCII() && !tx.env.UTF8 {
		return reply{}, errNeedUTF8
	}
	ctx, cancel := context.WithTimeout(ctx, c.t.Work)
	defer cancel()
	p := c.peer(&tx.env, tx.size)
	if err := c.guard(func() error { return c.o.Deliver.Verify(ctx, &p, to) }); err != nil {
		if store.KindOf(err) == store.Denied {
			err = errRelay
		}
		return reply{}, err
	}
	if len(tx.env.Rcpts) == 0 {
		tx.check = c.beginCheck(tx)
	}
	tx.env.Rcpts = append(tx.env.Rcpts, r)
	return ok(250, 1, 5, "OK"), nil
}
