package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/xdg-go/scram"

	"postrider/internal/maillog"
	"postrider/store"
)

// Secure is what a connection under TLS has for channel bindings and for client
// certificates.
type Secure struct {
	State tls.ConnectionState
	Leaf  *x509.Certificate // the server's own, nil if it is not known
}

// bindings are the channel bindings that s has (RFC 9266, RFC 5929 §4).
func (s *Secure) bindings() map[string]scram.ChannelBinding {
	all := map[string]scram.ChannelBinding{}
	if s == nil {
		return all
	}
	add := func(state tls.ConnectionState, make func(*tls.ConnectionState) (scram.ChannelBinding, error)) {
		if b, err := make(&state); err == nil && b.IsSupported() {
			all[string(b.Type)] = b
		}
	}
	add(s.State, scram.NewTLSExporterBinding)
	if s.Leaf != nil {
		// To the library, the server's certificate is the peer's.
		add(tls.ConnectionState{Version: s.State.Version, PeerCertificates: []*x509.Certificate{s.Leaf}}, scram.NewTLSServerEndpointBinding)
	}
	return all
}

// scrambled is one exchange of SCRAM-SHA-256 (RFC 5802, RFC 7677) or, with a
// channel binding, SCRAM-SHA-256-PLUS.
type scrambled struct {
	*Exchange
	plus  bool
	conv  *scram.ServerConversation
	who   candidate
	fault error // of looking the user up
}

func (e *Exchange) scram(plus bool) func([]byte) ([]byte, bool, error) {
	s := &scrambled{Exchange: e, plus: plus}
	return s.first
}

// first takes the client's first message, for which it asks if there is none.
func (s *scrambled) first(response []byte) ([]byte, bool, error) {
	if response == nil {
		s.step = s.first
		return []byte{}, false, nil
	}
	server, err := scram.SHA256.NewServer(s.lookup)
	if err != nil {
		return nil, false, store.Errorf(store.Internal, "sasl", "%w", err)
	}
	bindings := s.peer.Secure.bindings()
	kind, binds := strings.CutPrefix(string(response), "p=")
	kind, _, _ = strings.Cut(kind, ",")
	switch binding, known := bindings[kind]; {
	case binds != s.plus, binds && !known:
		return nil, false, store.Errorf(store.Invalid, "sasl", "no such channel binding")
	case binds:
		s.conv = server.NewConversationWithChannelBindingRequired(binding)
	case len(bindings) > 0:
		// One that could bind and believes that we cannot was told so by
		// somebody in between (RFC 5802 §6).
		for _, any := range bindings {
			s.conv = server.NewConversationWithChannelBinding(any)
		}
	default:
		s.conv = server.NewConversation()
	}
	challenge, err := s.conv.Step(string(response))
	switch {
	case s.fault != nil:
		return nil, false, s.fault
	case err != nil:
		return nil, false, store.Errorf(store.Invalid, "sasl", "%w", err)
	}
	if authz := s.conv.AuthzID(); authz != "" && !sameUser(authz, s.conv.Username()) {
		s.who = s.auth.nobody(s.who.name) // nobody may act for somebody else
	}
	s.step = s.final
	return []byte(challenge), false, nil
}

// lookup finds the keys of a user. For one that there is not, they are made up,
// and no proof fits them. Their salt is of the name, under a secret of the
// store: who asks again, also after a restart or at another server of the same
// data, is told the same, as of a user that there is (RFC 5802 §9).
func (s *scrambled) lookup(user string) (scram.StoredCredentials, error) {
	s.who, s.fault = s.auth.find(s.ctx, user)
	if s.fault != nil {
		return scram.StoredCredentials{}, s.fault
	}
	var secret []byte
	if secret, s.fault = s.auth.saltSecret(s.ctx); s.fault != nil {
		return scram.StoredCredentials{}, s.fault
	}
	mac := hmac.New(sha256.New, secret) // also for those who need none: it takes time
	if s.who.name == nobodysName {
		mac.Write([]byte(strings.ToLower(user)))
	} else {
		mac.Write([]byte(s.who.name))
	}
	made := store.Credential{ScramSalt: mac.Sum(nil)[:scramSalt], ScramIterations: scramIterations,
		StoredKey: random(sha256.Size), ServerKey: random(sha256.Size)}
	c := s.who.credential
	if !s.who.usable || len(c.StoredKey) == 0 {
		s.who.usable = false
		c = made
	}
	return scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(c.ScramSalt), Iters: c.ScramIterations},
		StoredKey:  c.StoredKey, ServerKey: c.ServerKey,
	}, nil
}

// scramSecret names the secret of the store from which salts are made up.
const scramSecret = "scram-salt"

// saltSecret returns the secret from which salts are made up.
func (a *Authenticator) saltSecret(ctx context.Context) ([]byte, error) {
	a.saltMu.Lock()
	defer a.saltMu.Unlock()
	if a.salt == nil {
		secret, err := a.o.Store.Secret(ctx, scramSecret, 32)
		if err != nil {
			return nil, err
		}
		a.salt = secret
	}
	return a.salt, nil
}

// final takes the proof and returns ours, which the client acknowledges.
func (s *scrambled) final(response []byte) ([]byte, bool, error) {
	a, p := s.auth, s.peer
	start := a.o.Now()
	guess, err := a.throttle.begin(s.ctx, s.who.name, p.Addr, a.trusted(p.Addr) || !p.Addr.IsValid())
	proof := ""
	if err == nil {
		if proof, err = s.conv.Step(string(response)); err != nil || !s.who.usable {
			guess.wrong()
			err = errWrong
		} else {
			guess.right()
		}
	}
	if err != nil {
		a.logger(p).Info(maillog.LoginFailed, "user", clip(s.who.name), "tls", p.TLS,
			"throttled", errors.Is(err, errThrottled), "busy", store.KindOf(err) == store.Busy)
		a.o.Sleep(s.ctx, failureTime-a.o.Now().Sub(start))
		return nil, false, err
	}
	s.step = func([]byte) ([]byte, bool, error) {
		s.account = s.who.account
		a.logger(p).Info(maillog.Login, "user", s.account.Address.String(), "tls", p.TLS)
		return nil, true, nil
	}
	return []byte(proof), false, nil
}
