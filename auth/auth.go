package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/store"
)

const (
	// failureTime is how long a failed login takes at least, evaluated or
	// not, so that no answer's time tells which of the two it was.
	failureTime = 100 * time.Millisecond

	maxUser     = 400 // bytes; an address of RFC 5321 is shorter
	maxPassword = 1024
)

// Options configure New.
type Options struct {
	Store             *store.Store
	PlaintextNetworks []netip.Prefix // peers that may log in without TLS

	// ClientCAs sign the certificates with which clients may log in by
	// EXTERNAL; nil for none.
	ClientCAs *x509.CertPool

	// AnyPassword lets everyone in, for the dev command. AutoCreate then
	// makes the accounts that are not there yet.
	AnyPassword bool
	AutoCreate  func(ctx context.Context, a mail.Address) (store.Account, error)

	Now   func() time.Time                           // nil is time.Now
	Sleep func(ctx context.Context, d time.Duration) // nil waits
	Log   *slog.Logger                               // nil drops everything
}

// Authenticator checks logins. Its methods may be called from many
// goroutines.
type Authenticator struct {
	o        Options
	hash     *hasher
	memory   *memory
	throttle *throttle
	dummy    store.Credential // compared with where there is nothing to compare with

	saltMu sync.Mutex
	salt   []byte // see saltSecret; nil until it is first needed
}

// New makes an Authenticator.
func New(o Options) *Authenticator {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Log == nil {
		o.Log = maillog.Discard()
	}
	return &Authenticator{
		o: o, hash: newHasher(), memory: newMemory(o.Now), throttle: newThrottle(o.Now),
		dummy: store.Credential{Argon2id: dummyHash()},
	}
}

// Peer is who asks.
type Peer struct {
	Addr   netip.Addr // the zero Addr is a unix socket
	TLS    bool
	Secure *Secure // of the TLS connection, nil if it is not told
	Proto  string  // for the log, such as "pop3"
	// Log is the connection's, to which logins are told; nil for that of
	// Options with what is known of the peer here.
	Log *slog.Logger
}

// PlaintextAllowed tells whether p may send a password: under TLS, or from
// a network that the operator trusts.
func (a *Authenticator) PlaintextAllowed(p Peer) bool {
	return p.TLS || a.trusted(p.Addr)
}

func (a *Authenticator) trusted(ip netip.Addr) bool {
	ip = plainAddr(ip)
	for _, n := range a.o.PlaintextNetworks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// plainAddr drops what would make two spellings of an address differ.
func plainAddr(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// Login checks a user's password; user is a full address. Its errors are of
// the kinds Auth (no such user, wrong password, disabled: nothing tells them
// apart), Busy (too many guesses or too much load; nothing was tried), Denied
// (the peer has to use TLS first) and what the store fails with.
func (a *Authenticator) Login(ctx context.Context, p Peer, user, password string) (store.Account, error) {
	if !a.PlaintextAllowed(p) {
		return store.Account{}, store.Errorf(store.Denied, "login", "plaintext without TLS")
	}
	start := a.o.Now()
	acc, err := a.login(ctx, p, user, password)
	switch kind := store.KindOf(err); {
	case err == nil:
		a.logger(p).Info(maillog.Login, "user", acc.Address.String(), "tls", p.TLS)
		return acc, nil
	case kind == store.Auth || kind == store.Busy:
		a.logger(p).Info(maillog.LoginFailed, "user", clip(user), "tls", p.TLS,
			"throttled", errors.Is(err, errThrottled), "busy", kind == store.Busy)
		a.o.Sleep(ctx, failureTime-a.o.Now().Sub(start))
	}
	return store.Account{}, err
}

// logger is where a login is told.
func (a *Authenticator) logger(p Peer) *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return a.o.Log.With("proto", p.Proto, "remote", p.Addr)
}

func (a *Authenticator) login(ctx context.Context, p Peer, user, password string) (store.Account, error) {
	c, err := a.find(ctx, user)
	if err != nil {
		return store.Account{}, err
	}
	if a.o.AnyPassword {
		if c.usable {
			return c.account, nil
		}
		return store.Account{}, errWrong
	}
	prepared, err := prepare(password)
	if err != nil {
		c = a.nobody(c.name) // no account has such a password
	}
	key := a.memory.key(c, prepared)
	if a.memory.wasWrong(key) {
		return store.Account{}, errWrong
	}
	guess, err := a.throttle.begin(ctx, c.name, p.Addr, a.trusted(p.Addr) || !p.Addr.IsValid())
	if err != nil {
		return store.Account{}, err
	}
	ok, err := a.verify(ctx, c, key, prepared)
	switch {
	case err != nil:
		guess.untried()
		return store.Account{}, err
	case !ok:
		guess.wrong()
		return store.Account{}, errWrong
	}
	guess.right()
	return c.account, nil
}

// candidate is what a login is compared with.
type candidate struct {
	name       string // the address's key, or the user as typed if it is no address
	account    store.Account
	credential store.Credential
	usable     bool // false: the account does not exist, is disabled or has no password
}

// nobodysName stands for what is no address.
const nobodysName = "?"

// nobody is a candidate that no password fits.
func (a *Authenticator) nobody(name string) candidate {
	return candidate{name: name, credential: a.dummy}
}

// find looks up whom user names. That there is nobody is not an error yet:
// the work of comparing is done all the same.
func (a *Authenticator) find(ctx context.Context, user string) (candidate, error) {
	addr, err := mail.ParseAddress(user)
	if len(user) > maxUser || err != nil {
		return a.nobody(nobodysName), nil
	}
	acc, cred, err := a.o.Store.Credential(ctx, addr)
	if a.o.AnyPassword && a.o.AutoCreate != nil && store.KindOf(err) == store.NotFound {
		acc, err = a.o.AutoCreate(ctx, addr)
	}
	switch {
	case err != nil && store.KindOf(err) == store.NotFound:
		return a.nobody(addr.Key()), nil
	case err != nil:
		return candidate{}, err
	case acc.Disabled, cred.Argon2id == "" && !a.o.AnyPassword:
		return a.nobody(addr.Key()), nil
	}
	return candidate{name: addr.Key(), account: acc, credential: cred, usable: true}, nil
}

// verify compares, from memory if it can. It looks again when its turn to hash
// has come: of ten connections that a client opens at once, the first hashes
// for all.
func (a *Authenticator) verify(ctx context.Context, c candidate, key memoryKey, password string) (bool, error) {
	if c.usable && a.memory.wasRight(key) {
		return true, nil
	}
	done, err := a.hash.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	if c.usable && a.memory.wasRight(key) {
		return true, nil
	}
	ok, err := a.hash.matches(c.credential.Argon2id, password)
	if err != nil {
		return false, err
	}
	ok = ok && c.usable
	a.memory.add(key, ok)
	return ok, nil
}

var (
	errWrong     = store.Errorf(store.Auth, "login", "user or password is wrong")
	errThrottled = store.Errorf(store.Busy, "login", "too many wrong passwords")
	errLoad      = store.Errorf(store.Busy, "login", "too many logins at once")
)

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// clip bounds what of a peer's text goes to the log.
func clip(s string) string {
	if len(s) > maxUser {
		return s[:maxUser] + "…"
	}
	return s
}
