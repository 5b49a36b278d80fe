package auth

import (
	"crypto/x509"
	"strings"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/store"
)

// certified returns the addresses that the peer's client certificate speaks
// for: those in it, if one of the operator's authorities has signed it.
func (a *Authenticator) certified(p Peer) []string {
	if a.o.ClientCAs == nil || p.Secure == nil || len(p.Secure.State.PeerCertificates) == 0 {
		return nil
	}
	chain := p.Secure.State.PeerCertificates
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: a.o.ClientCAs, Intermediates: between, CurrentTime: a.o.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil
	}
	return chain[0].EmailAddresses
}

// external is EXTERNAL (RFC 4422 appendix A): who the peer is, its certificate
// says; the message may say which of several it wants to be.
func (e *Exchange) external(response []byte) ([]byte, bool, error) {
	if response == nil {
		e.step = e.external
		return []byte{}, false, nil
	}
	wanted := string(response)
	for _, address := range e.auth.certified(e.peer) {
		if wanted != "" && !sameUser(wanted, address) {
			continue
		}
		addr, err := mail.ParseAddress(strings.ToLower(address))
		if err != nil {
			continue
		}
		acc, _, err := e.auth.o.Store.Credential(e.ctx, addr)
		switch {
		case err != nil && store.KindOf(err) != store.NotFound:
			return nil, false, err
		case err != nil || acc.Disabled:
			continue
		}
		e.account = acc
		e.auth.logger(e.peer).Info(maillog.Login, "user", acc.Address.String(), "tls", e.peer.TLS)
		return nil, true, nil
	}
	e.auth.logger(e.peer).Info(maillog.LoginFailed, "user", clip(wanted), "tls", e.peer.TLS, "throttled", false, "busy", false)
	e.auth.o.Sleep(e.ctx, failureTime)
	return nil, false, errWrong
}
