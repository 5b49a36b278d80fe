package smtpd

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"postrider/auth"
	"postrider/store"
)

var (
	errAuthSyntax  = refuse(501, 5, 5, 4, "Syntax: AUTH mechanism [initial-response]")
	errAuthTwice   = refuse(503, 5, 5, 1, "Already authenticated")
	errAuthNoTLS   = refuse(538, 5, 7, 11, "Encryption required, use STARTTLS first")
	errAuthMech    = refuse(504, 5, 5, 4, "Unrecognized authentication mechanism")
	errAuthCancel  = refuse(501, 5, 7, 0, "Authentication cancelled")
	errAuthBase64  = refuse(501, 5, 5, 2, "Invalid base64")
	errAuthMessage = refuse(501, 5, 5, 2, "Malformed authentication response")
	errAuthLong    = refuse(500, 5, 5, 6, "Authentication exchange line is too long")
	errAuthBusy    = refuse(454, 4, 7, 0, "Temporary authentication failure, try again later")
)

func (c *conn) authPeer() auth.Peer {
	return auth.Peer{Addr: c.ip, TLS: c.tls != nil, Proto: c.o.Mode.String(), Log: c.log}
}

// auth is AUTH (RFC 4954 §4).
func (c *conn) auth(ctx context.Context, arg string) (reply, error) {
	switch {
	case !c.extended:
		return reply{}, errWantHello
	case c.account != nil:
		return reply{}, errAuthTwice
	case arg == "":
		return reply{}, errAuthSyntax
	}
	ctx, cancel := context.WithTimeout(ctx, c.t.Work)
	defer cancel()
	mech, initial, given := strings.Cut(arg, " ")
	initial = strings.TrimLeft(initial, " ")
	x, err := c.o.Auth.SASL(ctx, c.authPeer(), mech)
	switch {
	case store.KindOf(err) == store.Denied:
		return reply{}, errAuthNoTLS
	case err != nil:
		return reply{}, errAuthMech
	}
	if err := c.exchange(x, initial, given); err != nil {
		return reply{}, err
	}
	a := x.Account()
	c.account, c.mech, c.limit = &a, strings.ToUpper(mech), time.Time{}
	c.log = c.log.With("user", a.Address.String())
	return ok(235, 7, 0, "Authentication succeeded"), nil
}

// exchange carries challenges and responses until the login is decided.
func (c *conn) exchange(x *auth.Exchange, initial string, given bool) error {
	var response []byte
	if given && initial == "=" {
		response = []byte{} // RFC 4954 §4: an initial response of no bytes
	} else if given {
		var err error
		if response, err = base64.StdEncoding.DecodeString(initial); err != nil {
			return errAuthBase64
		}
	}
	for {
		challenge, done, err := x.Next(response)
		if err != nil {
			return loginError(err)
		}
		if done {
			return nil
		}
		plain(334, base64.StdEncoding.EncodeToString(challenge)).write(c.bw)
		line, err := c.readLine()
		switch {
		case errors.Is(err, errLineTooLong):
			return errAuthLong
		case err != nil:
			return err
		case line == "*":
			return errAuthCancel
		}
		if response, err = base64.StdEncoding.DecodeString(line); err != nil {
			return errAuthBase64
		}
	}
}

// loginError says in AUTH's words why a login failed.
func loginError(err error) error {
	switch store.KindOf(err) {
	case store.Busy:
		return errAuthBusy
	case store.Invalid:
		return errAuthMessage
	}
	return err
}
