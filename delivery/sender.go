package delivery

import (
	"context"

	"postrider/mail"
	"postrider/store"
)

// VerifySender tells whether who logged in may send as from: an address of
// the account, with any plus-detail, or an alias that leads to it. The null
// reverse-path is allowed, since a user agent's disposition notifications
// carry it (RFC 8098 §3). The error's kind is Auth if the account has been
// closed since the login, which may be hours old.
func (d *Deliverer) VerifySender(ctx context.Context, p *Peer, from mail.Address) error {
	if p.Account != nil {
		now, err := d.o.Store.Recipient(ctx, p.Account.Address)
		switch {
		case err != nil && store.KindOf(err) != store.NotFound:
			return err
		case err != nil, now.Account == nil, now.Account.ID != p.Account.ID, now.Account.Disabled:
			return store.Errorf(store.Auth, "send", "the account is closed")
		}
	}
	if from.IsZero() {
		return nil
	}
	if p.Account != nil {
		if ok, err := d.owns(ctx, p.Account, from); ok || err != nil {
			return err
		}
	}
	return store.Errorf(store.Denied, "send", "not an address of the sender")
}

// owns tells whether mail for a reaches acct.
func (d *Deliverer) owns(ctx context.Context, acct *store.Account, a mail.Address) (bool, error) {
	own := acct.Address.Key()
	if a.Key() == own {
		return true, nil
	}
	if base, detail := mail.SplitPlus(a.Local); detail != "" && (mail.Address{Local: base, Domain: a.Domain}).Key() == own {
		// Unless somebody else has the address with its detail, it is ours.
		e, err := d.o.Store.Lookup(ctx, a)
		if store.KindOf(err) == store.NotFound {
			return true, nil
		}
		if err != nil || e.Account != nil {
			return false, err
		}
	}
	l := leaves{seen: map[string]bool{}}
	err := newExpansion(d, false).walk(ctx, a, &l, 0)
	switch {
	case store.KindOf(err) == store.NotFound:
		return false, nil
	case err != nil:
		return false, err
	}
	for _, to := range l.accounts {
		if to.ID == acct.ID {
			return true, nil
		}
	}
	return false, nil
}
