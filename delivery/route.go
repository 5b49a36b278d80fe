package delivery

import (
	"context"
	"slices"
	"strings"

	"postrider/mail"
	"postrider/store"
)

const postmaster = "postmaster"

// reports are where other servers tell what they found in a domain's mail, as
// its DMARC and TLSRPT records ask them to; the postmaster has them in a
// mailbox of its own.
var reports = []string{"dmarc-reports", "tls-reports"}

// ReportsBox is that mailbox.
const ReportsBox = "Reports"

func isReports(local string) bool {
	return slices.ContainsFunc(reports, func(r string) bool { return strings.EqualFold(r, local) })
}

// errForeign is an address whose mail is not ours.
var errForeign = store.Errorf(store.Denied, "route", "relaying denied")

// route finds what an address stands for: an exact entry, the address less
// its plus-detail, the postmaster that every domain has (RFC 5321 §4.5.1), the
// domain's catch-all, in this order. An account that would have to be made is
// made if create says so, and returned without an id if not. errForeign if
// the domain is not ours, NotFound if the address is unknown there.
func (d *Deliverer) route(ctx context.Context, a mail.Address, create bool) (store.Entry, error) {
	a, err := d.atHome(ctx, a)
	if err != nil {
		return store.Entry{}, err
	}
	base, _ := mail.SplitPlus(a.Local)
	ours, err := d.o.Store.Ours(ctx, a.Domain)
	if err != nil {
		return store.Entry{}, err
	}
	if !ours {
		if !d.o.AutoCreate || strings.HasPrefix(a.Domain, "[") {
			return store.Entry{}, errForeign
		}
		return d.make(ctx, mail.Address{Local: base, Domain: a.Domain}, create)
	}
	isPostmaster := strings.EqualFold(base, postmaster)
	for _, local := range []string{a.Local, base, ""} {
		if local == "" && (isPostmaster || isReports(base)) {
			break
		}
		e, err := d.o.Store.Recipient(ctx, mail.Address{Local: local, Domain: a.Domain})
		if store.KindOf(err) != store.NotFound {
			return e, err
		}
	}
	if isReports(base) && !d.o.AutoCreate {
		return d.route(ctx, mail.Address{Local: postmaster, Domain: a.Domain}, create)
	}
	if isPostmaster || d.o.AutoCreate {
		return d.make(ctx, mail.Address{Local: base, Domain: a.Domain}, create)
	}
	return store.Entry{}, store.Errorf(store.NotFound, "route", "no such address")
}

// atHome gives the postmaster without a domain, and the postmaster of this
// host, one of our domains.
func (d *Deliverer) atHome(ctx context.Context, a mail.Address) (mail.Address, error) {
	host, _ := mail.DomainKey(d.o.Hostname)
	key, _ := mail.DomainKey(a.Domain)
	if !strings.EqualFold(a.Local, postmaster) || a.Domain != "" && key != host {
		return a, nil
	}
	home, err := d.home(ctx)
	switch {
	case err != nil:
		return a, err
	case home != "":
		a.Domain = home
	case a.Domain == "" && d.o.AutoCreate:
		a.Domain = host
	case a.Domain == "":
		return a, store.Errorf(store.NotFound, "route", "no domain is ours yet")
	}
	return a, nil
}

// home is the domain of addresses that name this host only: the host's own or
// nearest of ours, or else the oldest; empty if we have none.
func (d *Deliverer) home(ctx context.Context) (string, error) {
	host, _ := mail.DomainKey(d.o.Hostname)
	domains, err := d.o.Store.Domains(ctx)
	if err != nil {
		return "", err
	}
	var oldest, nearest store.Domain
	for _, dom := range domains {
		if oldest.Name == "" || dom.Created.Before(oldest.Created) {
			oldest = dom
		}
		if (host == dom.Name || strings.HasSuffix(host, "."+dom.Name)) && len(dom.Name) > len(nearest.Name) {
			nearest = dom
		}
	}
	if nearest.Name != "" {
		return nearest.Name, nil
	}
	return oldest.Name, nil
}

// make makes an account that nobody can log in to until it gets a password.
func (d *Deliverer) make(ctx context.Context, a mail.Address, create bool) (store.Entry, error) {
	if !create {
		return store.Entry{Account: &store.Account{Address: a}}, nil
	}
	if d.o.AutoCreate {
		if _, err := d.o.Store.AddDomain(ctx, a.Domain); err != nil && store.KindOf(err) != store.Exists {
			return store.Entry{}, err
		}
	}
	acct, err := d.o.Store.AddAccount(ctx, store.NewAccount{Address: a})
	if store.KindOf(err) == store.Exists { // somebody else was faster
		return d.o.Store.Lookup(ctx, a)
	}
	if err != nil {
		return store.Entry{}, err
	}
	return store.Entry{Account: &acct}, nil
}

// Verify tells whether mail of p for rcpt can be accepted: NotFound if there
// is no such address, Denied if it is not ours and p may not relay, Quota if
// its account is full, Busy if it should be tried later, ErrLoop if its alias
// leads nowhere else.
func (d *Deliverer) Verify(ctx context.Context, p *Peer, rcpt mail.Address) error {
	x := newExpansion(d, false)
	x.here, x.size, x.notice = p.here(), p.Size, p.Notice
	if err := x.add(ctx, mail.Recipient{Addr: rcpt}); err != nil {
		return err
	}
	if x.relay && p.Account == nil || len(x.remote) > 0 && d.o.NoRelay {
		return errForeign
	}
	return nil
}
