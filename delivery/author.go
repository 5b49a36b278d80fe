package delivery

import (
	"context"

	"postrider/mail"
	"postrider/store"
)

// maxAuthors bounds the addresses in From that are looked up.
const maxAuthors = 20

// checkAuthor holds the header of a submitted message to its sender: every
// address in From and Sender has to be one that the login owns (RFC 6409
// §6.1). Several authors are not allowed even with a Sender (RFC 5322
// §3.6.2), since what people see is From; neither do Resent- fields excuse a
// foreign From. A header without From passes, as it claims nothing.
func (d *Deliverer) checkAuthor(ctx context.Context, p *Peer, h *header) error {
	if !h.whole {
		return store.Errorf(store.TooBig, "send", "header over %d bytes", maxHeader)
	}
	for f := range h.fields() {
		if !f.Is("From") && !f.Is("Sender") {
			continue
		}
		own, err := d.ownsAll(ctx, p.Account, mail.Authors(f.Value()))
		if err != nil {
			return err
		}
		if !own {
			return store.Errorf(store.Denied, "send", "%s names somebody else, or nobody", f.Name)
		}
	}
	return nil
}

// ownsAll tells whether there are addresses and mail for each reaches acct.
// One that is none, the zero Address, is nobody's.
func (d *Deliverer) ownsAll(ctx context.Context, acct *store.Account, all []mail.Address) (bool, error) {
	if len(all) == 0 || len(all) > maxAuthors {
		return false, nil
	}
	for _, a := range all {
		if a.IsZero() {
			return false, nil
		}
		if ok, err := d.owns(ctx, acct, a); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}
