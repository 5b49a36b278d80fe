package delivery

import (
	"cmp"
	"context"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/store"
)

// maxTargets bounds what one recipient may expand to.
const maxTargets = 10000

// expansion is where the recipients of one message lead: each account once,
// each remote address once.
type expansion struct {
	d      *Deliverer
	create bool   // accounts that are made on first use
	size   int64  // of the message, as far as known
	notice bool   // it has the null sender
	here   string // literal of the address where its peer reached us, or empty

	local  []store.AccountID
	remote []mail.Recipient
	done   []mail.Recipient // asked to be told of delivery, and delivered here

	relay bool // a recipient itself, not the target of an alias, is foreign

	accounts map[store.AccountID][]mail.Address // with the recipients that lead to each
	foreign  map[mail.Address]int               // where in remote
	via      []mail.Address                     // which recipient leads to each of remote
}

func newExpansion(d *Deliverer, create bool) *expansion {
	return &expansion{d: d, create: create,
		accounts: map[store.AccountID][]mail.Address{}, foreign: map[mail.Address]int{}}
}

// leaves is what one recipient expands to.
type leaves struct {
	accounts []*store.Account
	remote   []mail.Address
	seen     map[string]bool
	looped   bool
	missing  []string // targets of aliases that do not exist
}

// add expands one recipient. An alias some of whose targets are gone serves
// the others; one that has none left is as unknown as an address can be.
func (x *expansion) add(ctx context.Context, r mail.Recipient) error {
	l := leaves{seen: map[string]bool{}}
	if err := x.walk(ctx, r.Addr, &l, 0); err != nil {
		return err
	}
	if len(l.missing) > 0 && x.create {
		x.d.o.Log.Warn(maillog.Warning, "doing", "alias", "rcpt", r.Addr.String(), "missing", l.missing)
	}
	count := len(l.accounts) + len(l.remote)
	switch {
	case count == 0 && l.looped && len(l.missing) == 0:
		return ErrLoop
	case count == 0:
		return store.Errorf(store.NotFound, "alias", "no target exists")
	}
	for _, a := range l.accounts {
		if err := x.room(a, count == 1); err != nil {
			return err
		}
		if x.accounts[a.ID] == nil {
			x.local = append(x.local, a.ID)
		}
		x.accounts[a.ID] = append(x.accounts[a.ID], r.Addr)
	}
	for _, a := range l.remote {
		x.forward(r, a, count)
	}
	if r.Notify&mail.NotifySuccess != 0 && (len(l.accounts) > 0 || count > 1) {
		x.done = append(x.done, r)
	}
	return nil
}

// room tells whether an account takes mail now; alone says that nobody else
// gets the recipient's mail. One member of a list who is disabled must not
// hold up the others' mail, and loses none: a copy waits in the mailbox. The
// store decides again about the quota, and for good, when it accepts.
func (x *expansion) room(a *store.Account, alone bool) error {
	switch {
	case a.Disabled && alone:
		return ErrDisabled
	case a.Quota > 0 && a.Bytes+max(x.size, 1) > a.Quota, a.QuotaCount > 0 && a.Count >= a.QuotaCount:
		return store.Errorf(store.Quota, "deliver", "mailbox is full")
	}
	return nil
}

// forward adds a remote address that r leads to, with the notices that its
// sender asked for (RFC 3461 §5.2.7): an alias to one address hands the
// request on; one to several has been told of here, and hands on all but
// success. Of several that lead there the first counts, unless its sender wrote
// to the address itself, and so is told what becomes of it.
func (x *expansion) forward(r mail.Recipient, to mail.Address, count int) {
	at, again := x.foreign[to]
	if again && (to != r.Addr || x.via[at] == to) {
		return
	}
	out := mail.Recipient{Addr: to, Notify: r.Notify, ORcpt: r.ORcpt}
	if to != r.Addr && out.ORcpt == "" && r.Addr.IsASCII() {
		out.ORcpt = "rfc822;" + r.Addr.String()
	}
	if count > 1 {
		out.Notify = noSuccess(out.Notify)
	}
	if again {
		x.remote[at], x.via[at] = out, r.Addr
		return
	}
	x.foreign[to] = len(x.remote)
	x.remote, x.via = append(x.remote, out), append(x.via, r.Addr)
}

// noSuccess takes out of what a sender asked for that success is told of.
func noSuccess(n mail.Notify) mail.Notify {
	if n == mail.NotifySuccess {
		return mail.NotifyNever
	}
	return n &^ mail.NotifySuccess
}

// walk follows one address. Targets seen before are passed over, so that
// cycles end.
func (x *expansion) walk(ctx context.Context, a mail.Address, l *leaves, depth int) error {
	if key := a.Key(); l.seen[key] {
		l.looped = true
		return nil
	} else if l.seen[key] = true; len(l.seen) > maxTargets {
		return store.Errorf(store.Busy, "alias", "more than %d targets", maxTargets)
	}
	if depth == 0 && x.here != "" && a.Domain == x.here {
		// A literal of our own is this host (RFC 1123 §5.2.17).
		home, err := x.d.home(ctx)
		if err != nil {
			return err
		}
		a.Domain = cmp.Or(home, a.Domain)
	}
	if to, ok, err := x.d.origin(ctx, a, x.notice); ok || err != nil {
		l.remote = append(l.remote, to)
		return err
	}
	e, err := x.d.route(ctx, a, x.create)
	switch {
	case err == errForeign:
		l.remote = append(l.remote, a)
		x.relay = x.relay || depth == 0
		return nil
	case store.KindOf(err) == store.NotFound && depth > 0:
		l.missing = append(l.missing, a.String())
		return nil
	case err != nil:
		return err
	case e.Account != nil:
		l.accounts = append(l.accounts, e.Account)
		return nil
	}
	for _, t := range e.Alias.Targets {
		if err := x.walk(ctx, t, l, depth+1); err != nil {
			return err
		}
	}
	return nil
}
