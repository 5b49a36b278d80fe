package imapd

import (
	"encoding/base64"
	"time"

	"github.com/emersion/go-imap/v2"

	"postrider/auth"
	"postrider/imapd/wire"
	"postrider/store"
)

// maxSASLLine is the length of a response in AUTHENTICATE.
const maxSASLLine = 4000

// cmdLogin answers LOGIN (RFC 9051 §6.2.3).
func (s *session) cmdLogin(d *wire.Decoder) error {
	d.SP()
	user := d.AString()
	d.SP()
	password := d.AString()
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if !s.srv.o.Auth.PlaintextAllowed(s.c.peer) {
		return errPrivacy
	}
	acc, err := s.srv.o.Auth.Login(s.ctx(), s.c.peer, user, password)
	if err != nil {
		return s.loginError(err)
	}
	s.enter(acc)
	s.ok("CAPABILITY "+s.c.capabilities(), "Logged in")
	return nil
}

// enter begins the time after a login.
func (s *session) enter(acc store.Account) {
	s.c.account = acc
	s.c.loggedIn = true
	s.c.bad = 0
	s.c.log = s.c.log.With("user", acc.Address.String())
	s.c.dec.Limits = s.srv.afterLogin()
	s.c.dec.Unbound()
	s.srv.open.add(s.c)
}

// leave is the end of the time after a login.
func (s *session) leave() {
	s.endOp()
	s.unselect()
	s.dropNotes()
	s.dropNotify()
	if s.c.loggedIn {
		s.srv.open.remove(s.c)
	}
}

// cmdUnauthenticate answers UNAUTHENTICATE (RFC 8437): the connection is as it
// was before login, but for TLS; endCompress does the rest.
func (s *session) cmdUnauthenticate(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	c := s.c
	s.leave()
	c.sess = &session{srv: s.srv, c: c}
	c.loggedIn, c.account, c.bad = false, store.Account{}, 0
	c.loginBy = time.Now().Add(loginTimeout)
	c.log = c.peer.Log
	c.dec.Limits = beforeLogin
	c.dec.Bound(maxBeforeLogin)
	return nil
}

func (s *session) loginError(err error) error {
	if store.KindOf(err) == store.Denied {
		return errPrivacy
	}
	return s.wireError(err, "login")
}

// cmdAuthenticate answers AUTHENTICATE (RFC 9051 §6.2.2), with or without an
// initial response (RFC 4959).
func (s *session) cmdAuthenticate(d *wire.Decoder) error {
	d.SP()
	mech := d.Keyword()
	var response []byte
	if d.TrySP() && !d.End() {
		response = d.Base64()
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	x, err := s.srv.o.Auth.SASL(s.ctx(), s.c.peer, mech)
	switch {
	case err != nil && store.KindOf(err) == store.Invalid:
		return no(imap.ResponseCodeCannot, "No such mechanism")
	case err != nil:
		return s.loginError(err)
	}
	if err := s.exchange(d, x, response); err != nil {
		return err
	}
	s.enter(x.Account())
	s.ok("CAPABILITY "+s.c.capabilities(), mech+" authentication successful")
	return nil
}

// exchange carries on a SASL exchange until it has succeeded.
func (s *session) exchange(d *wire.Decoder, x *auth.Exchange, response []byte) error {
	// An answer that is not understood ends the exchange, as "*" does.
	cancelled := badCommand("AUTHENTICATE cancelled")
	for {
		challenge, done, err := x.Next(response)
		switch {
		case err != nil && store.KindOf(err) == store.Invalid:
			return badCommand("Malformed SASL response")
		case err != nil:
			return s.loginError(err)
		case done && len(challenge) == 0:
			return nil
		}
		s.c.write("+ " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")
		line := d.Continue(maxSASLLine)
		if err := d.Err(); err != nil {
			if isFatal(err) {
				return err
			}
			return cancelled
		}
		if line == "*" {
			return cancelled
		}
		if done {
			return nil // the client has taken note of the last challenge
		}
		var ok bool
		if response, ok = wire.DecodeBase64(line); line != "" && !ok {
			return badCommand("Malformed SASL response")
		}
	}
}
