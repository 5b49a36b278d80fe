package imapd

import (
	"postrider/auth"
	"postrider/store"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
)

// login answers LOGIN (RFC 9051 §6.2.3).
func (s *session) login(user, password string) error {
	if !s.srv.o.Auth.PlaintextAllowed(s.c.peer) {
		return errPrivacy
	}
	acc, err := s.srv.o.Auth.Login(s.c.ctx, s.c.peer, user, password)
	if err != nil {
		return s.loginError(err)
	}
	s.enter(acc)
	return nil
}

// enter begins the time after a login.
func (s *session) enter(acc store.Account) {
	s.c.account = acc
	s.c.loggedIn = true
	s.c.bad = 0
	s.c.log = s.c.log.With("user", acc.Address.String())
	s.srv.open.add(s.c)
}

func (s *session) loginError(err error) error {
	if store.KindOf(err) == store.Denied {
		return errPrivacy
	}
	return s.wireError(err, "login")
}

// authenticate begins AUTHENTICATE (RFC 9051 §6.2.2).
func (s *session) authenticate(mech string) (sasl.Server, error) {
	x, err := s.srv.o.Auth.SASL(s.c.ctx, s.c.peer, mech)
	switch {
	case err != nil && store.KindOf(err) == store.Invalid:
		return nil, no(imap.ResponseCodeCannot, "No such mechanism")
	case err != nil:
		return nil, s.loginError(err)
	}
	return &exchange{s: s, x: x}, nil
}

// exchange is a SASL exchange as the engine wants it.
type exchange struct {
	s *session
	x *auth.Exchange
}

// Next takes a response and returns the next challenge. An empty challenge is
// nil: the engine would write "=" for it, which is right only of responses.
func (e *exchange) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := e.x.Next(response)
	if err != nil {
		return nil, false, e.s.loginError(err)
	}
	if done {
		e.s.enter(e.x.Account())
	}
	if len(challenge) == 0 {
		challenge = nil
	}
	return challenge, done, nil
}
