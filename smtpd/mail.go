package smtpd

import (
	"context"
	"strings"

	"postrider/mail"
	"postrider/store"
)

var (
	errMailSyntax = refuse(501, 5, 5, 4, "Syntax: MAIL FROM:<address>")
	errBadSender  = refuse(501, 5, 1, 7, "Bad sender address syntax")
	errNeedUTF8   = refuse(553, 5, 6, 7, "A non-ASCII address needs SMTPUTF8")
	errNotYours   = refuse(550, 5, 7, 1, "Sender address is not yours")
	errClosed     = hangUp{refuse(421, 4, 7, 0, "Your account is closed, closing")}
	errInChunks   = refuse(503, 5, 5, 1, "BDAT has begun, only BDAT or RSET may follow")
)

// mail is MAIL (RFC 5321 §4.1.1.2).
func (c *conn) mail(ctx context.Context, arg string) (reply, error) {
	c.refusal = nil
	tx, err := c.newTransaction(ctx, arg)
	if err != nil {
		c.refusal, _ = refusalOf(err)
		return reply{}, err
	}
	c.tx = tx
	return ok(250, 1, 0, "OK"), nil
}

func (c *conn) newTransaction(ctx context.Context, arg string) (*transaction, error) {
	path, found := cutFold(arg, "FROM:")
	if !found {
		return nil, errMailSyntax
	}
	from, rest, err := mail.ParsePath(path)
	if err != nil || from.Domain == "" && !from.IsZero() {
		return nil, errBadSender
	}
	tx := &transaction{env: mail.Envelope{From: from}}
	if err := tx.mailParams(rest, c); err != nil {
		return nil, err
	}
	switch {
	case !from.IsASCII() && !tx.env.UTF8:
		return nil, errNeedUTF8 // RFC 6531 §3.5
	case tx.size > c.o.MaxMessageBytes:
		return nil, errTooBig
	case c.o.Mode != Submission:
		return tx, nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.t.Work)
	defer cancel()
	p := c.peer(&tx.env, tx.size)
	if err := c.o.Deliver.VerifySender(ctx, &p, from); err != nil {
		switch store.KindOf(err) {
		case store.Denied:
			err = errNotYours
		case store.Auth:
			err = errClosed
		}
		return nil, err
	}
	return tx, nil
}

// cutFold removes a prefix in any case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !strings.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}
