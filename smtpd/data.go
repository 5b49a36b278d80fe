package smtpd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/delivery"
	"postrider/mail"
	"postrider/store"
)

var (
	errNoRcpts     = refuse(554, 5, 5, 1, "No valid recipients")
	errNoRcptsLMTP = refuse(503, 5, 5, 1, "No valid recipients") // RFC 2033 §4.2
	errForged      = refuse(550, 5, 7, 1, "The header names a sender that is not you")
)

// data is DATA (RFC 5321 §4.1.1.4).
func (c *conn) data(ctx context.Context, _ string) (reply, error) {
	if c.tx.chunk != nil {
		return reply{}, errInChunks
	}
	if err := c.wantRcpts(); err != nil {
		return reply{}, err
	}
	plain(354, "End data with <CR><LF>.<CR><LF>").write(c.bw)
	text := c.newContent()
	defer text.close()
	c.moved = &transfer{start: time.Now()}
	err := copyDotted(c.br, text.write)
	c.moved = nil
	if err != nil {
		return reply{}, err
	}
	return c.finish(ctx, text)
}

func (c *conn) wantRcpts() error {
	switch {
	case len(c.tx.env.Rcpts) > 0:
		return nil
	case c.o.Mode == LMTP:
		return errNoRcptsLMTP
	}
	return errNoRcpts
}

// finish ends the transaction: the message is all here. Its acceptance is
// never cut short by a server that stops, only by its own time.
func (c *conn) finish(ctx context.Context, text *content) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.t.Work)
	defer cancel()
	tx := *c.tx
	defer c.reset()
	if text.high {
		tx.env.Body = mail.Body8Bit // whatever MAIL said, it needs 8BITMIME from here on
	}
	err := text.verdict()
	if c.o.Mode == LMTP {
		return c.finishEach(ctx, &tx, text, err), nil
	}
	if err != nil {
		return reply{}, err
	}
	m, err := c.accept(ctx, &tx, text, tx.env.Rcpts)
	if err != nil {
		return reply{}, c.untaken(m, err)
	}
	return accepted(m.ID), nil
}

// untaken has the journey of a message tell that it was refused for good, and
// the reply give its id.
func (c *conn) untaken(m *delivery.Message, err error) error {
	e, loud := refusalOf(err)
	if loud || e.Code < 500 || c.rejected >= maxLogged {
		return err
	}
	said := *e
	r := store.Refusal{Code: e.Code, Enhanced: fmt.Sprintf("%d.%d.%d", e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2]), Text: e.Message}
	if c.o.Deliver.Refused(m, r) {
		said.Message += fmt.Sprintf(", id %s", m.ID)
	}
	return &said
}

func accepted(id mail.ID) reply {
	r := ok(250, 0, 0, "OK, id %s", id)
	r.taken = true
	return r
}

// accept hands the message to delivery.
func (c *conn) accept(ctx context.Context, tx *transaction, text *content, rcpts []mail.Recipient) (*delivery.Message, error) {
	id := mail.NewID(c.o.Now())
	m := &delivery.Message{
		ID: id, Peer: c.peer(&tx.env, text.size),
		Envelope: tx.env, Body: text.spool, Submission: c.o.Mode == Submission, Foreign: c.foreign(),
	}
	m.Envelope.Rcpts = rcpts
	if err := c.endCheck(tx, m); err != nil {
		return m, fmt.Errorf("message %s: %w", id, err)
	}
	_, err := c.o.Deliver.Accept(ctx, m)
	if err != nil && m.Submission && store.KindOf(err) == store.Denied {
		err = errForged
	}
	if err != nil {
		err = fmt.Errorf("message %s: %w", id, err)
	}
	return m, err
}

// finishEach answers for each recipient (RFC 2033 §4.2). The message goes to
// all in one transaction if it can; if one of them is in the way, to each by
// itself.
func (c *conn) finishEach(ctx context.Context, tx *transaction, text *content, err error) reply {
	all := tx.env.Rcpts
	errs := make([]error, len(all))
	ms := make([]*delivery.Message, len(all))
	if err == nil {
		ms[0], err = c.accept(ctx, tx, text, all)
	}
	split := len(all) > 1 && oneRcpt(err)
	for i := range all {
		if split {
			ms[i], errs[i] = c.accept(ctx, tx, text, all[i:i+1])
		} else {
			ms[i], errs[i] = ms[0], err
		}
	}
	replies := make([]reply, len(all))
	for i, err := range errs {
		switch {
		case err == nil:
			replies[i] = accepted(ms[i].ID)
		case ms[i] != nil && (split || i == 0):
			errs[i] = c.untaken(ms[i], err)
			fallthrough
		default:
			replies[i] = no(c.turnDown("DATA", "", errs[i]))
		}
	}
	first := replies[0]
	first.more = replies[1:]
	return first
}

// oneRcpt tells whether an error may be one recipient's and not the others'.
func oneRcpt(err error) bool {
	var e *smtp.SMTPError
	if err == nil || errors.As(err, &e) || errors.Is(err, store.ErrUnknown) {
		return false
	}
	switch store.KindOf(err) {
	case store.NotFound, store.Quota, store.Denied, store.Busy:
		return true
	}
	return errors.Is(err, delivery.ErrLoop)
}
