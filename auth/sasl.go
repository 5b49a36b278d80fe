package auth

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"postrider/mail"
	"postrider/store"
)

// Mechanisms are the SASL mechanisms that p may use now, none if it has to
// start TLS first.
func (a *Authenticator) Mechanisms(p Peer) []string {
	if !a.PlaintextAllowed(p) {
		return nil
	}
	mechs := []string{"PLAIN", "LOGIN"}
	if !a.o.AnyPassword { // SCRAM never shows us the password
		mechs = append(mechs, "SCRAM-SHA-256")
		if len(p.Secure.bindings()) > 0 {
			mechs = append(mechs, "SCRAM-SHA-256-PLUS")
		}
	}
	if len(a.certified(p)) > 0 {
		mechs = append(mechs, "EXTERNAL")
	}
	return mechs
}

// Exchange is one SASL authentication under way (RFC 4422 §3).
type Exchange struct {
	ctx     context.Context
	auth    *Authenticator
	peer    Peer
	step    func(response []byte) (challenge []byte, done bool, err error)
	user    string // of LOGIN
	account store.Account
}

// SASL begins an authentication. It is Denied if p has to start TLS first and
// Invalid if there is no such mechanism.
func (a *Authenticator) SASL(ctx context.Context, p Peer, mech string) (*Exchange, error) {
	e := &Exchange{ctx: ctx, auth: a, peer: p}
	mech = strings.ToUpper(mech)
	if a.PlaintextAllowed(p) && !slices.Contains(a.Mechanisms(p), mech) {
		return nil, store.Errorf(store.Invalid, "sasl", "no such mechanism")
	}
	switch mech {
	case "PLAIN":
		e.step = e.plainFirst
	case "LOGIN":
		e.step = e.loginFirst
	case "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS":
		e.step = e.scram(strings.HasSuffix(mech, "-PLUS"))
	case "EXTERNAL":
		e.step = e.external
	default:
		return nil, store.Errorf(store.Invalid, "sasl", "no such mechanism")
	}
	if !a.PlaintextAllowed(p) {
		return nil, store.Errorf(store.Denied, "sasl", "plaintext without TLS")
	}
	return e, nil
}

// Next takes the client's next response, decoded from base64. The first call
// takes the initial response, nil if there is none; an initial response of
// no bytes is not nil. It returns the server's challenge to send, or done, or
// an error as Login has them and Invalid for a malformed response; after
// done or an error the exchange is over.
func (e *Exchange) Next(response []byte) (challenge []byte, done bool, err error) {
	step := e.step
	e.step = over
	return step(response)
}

// Account is who logged in; it is valid after Next said done.
func (e *Exchange) Account() store.Account { return e.account }

func over([]byte) ([]byte, bool, error) {
	return nil, false, store.Errorf(store.Invalid, "sasl", "the exchange is over")
}

// plainFirst is PLAIN without or with an initial response (RFC 4616 §2).
func (e *Exchange) plainFirst(response []byte) ([]byte, bool, error) {
	if response == nil {
		e.step = e.plain
		return []byte{}, false, nil
	}
	return e.plain(response)
}

func (e *Exchange) plain(response []byte) ([]byte, bool, error) {
	f := bytes.Split(response, []byte{0})
	if len(f) != 3 {
		return nil, false, store.Errorf(store.Invalid, "sasl", "malformed PLAIN message")
	}
	if authz := string(f[0]); authz != "" && !sameUser(authz, string(f[1])) {
		// Nobody may act for somebody else. The answer must not depend on
		// whether the password is right, so it is not even looked at.
		return e.finish("", string(f[2]))
	}
	return e.finish(string(f[1]), string(f[2]))
}

func sameUser(a, b string) bool {
	x, err1 := mail.ParseAddress(a)
	y, err2 := mail.ParseAddress(b)
	return err1 == nil && err2 == nil && x.Key() == y.Key()
}

// loginFirst is LOGIN, which no RFC describes: Outlook and others insist on
// these two prompts.
func (e *Exchange) loginFirst(response []byte) ([]byte, bool, error) {
	if response == nil {
		e.step = e.loginUser
		return []byte("Username:"), false, nil
	}
	return e.loginUser(response)
}

func (e *Exchange) loginUser(response []byte) ([]byte, bool, error) {
	e.user = string(response)
	e.step = e.loginPassword
	return []byte("Password:"), false, nil
}

func (e *Exchange) loginPassword(response []byte) ([]byte, bool, error) {
	return e.finish(e.user, string(response))
}

func (e *Exchange) finish(user, password string) ([]byte, bool, error) {
	acc, err := e.auth.Login(e.ctx, e.peer, user, password)
	e.account = acc
	return nil, err == nil, err
}
