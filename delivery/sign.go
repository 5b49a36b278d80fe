package delivery

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"postrider/internal/maillog"
	"postrider/mail"
	"postrider/mailauth"
	"postrider/store"
)

// keyAge is how long keys are remembered: what a command, or another process,
// has changed counts after that.
const keyAge = 10 * time.Second

// keyring has the keys that sign for domains.
type keyring struct {
	mu     sync.Mutex
	parsed map[string]ring
}

type ring struct {
	keys  []*mailauth.Key
	until time.Time
}

// keys returns the keys that sign for a domain: its own, or those of the
// nearest domain above it that has some. None is no error.
func (d *Deliverer) keys(ctx context.Context, domain string) ([]*mailauth.Key, error) {
	for name := domain; strings.Contains(name, "."); {
		keys, err := d.ownKeys(ctx, name)
		if len(keys) > 0 || err != nil {
			return keys, err
		}
		_, name, _ = strings.Cut(name, ".")
	}
	return nil, nil
}

func (d *Deliverer) ownKeys(ctx context.Context, domain string) ([]*mailauth.Key, error) {
	if ours, err := d.o.Store.Ours(ctx, domain); err != nil || !ours {
		return nil, err
	}
	d.ring.mu.Lock()
	r, known := d.ring.parsed[domain]
	d.ring.mu.Unlock()
	if known && d.o.Now().Before(r.until) {
		return r.keys, nil
	}
	all, err := d.o.Store.DomainKeys(ctx, domain)
	if err != nil {
		return nil, err
	}
	r = ring{until: d.o.Now().Add(keyAge)}
	for _, k := range all {
		if k.State != store.KeyActive {
			continue
		}
		key, err := mailauth.ParseKey(k.Domain, k.Selector, k.Private)
		if err != nil {
			return nil, store.Errorf(store.Internal, "sign", "%w", err)
		}
		r.keys = append(r.keys, key)
	}
	if len(r.keys) > 0 {
		d.ring.mu.Lock()
		if d.ring.parsed == nil {
			d.ring.parsed = map[string]ring{}
		}
		d.ring.parsed[domain] = r
		d.ring.mu.Unlock()
	}
	return r.keys, nil
}

// view is a message as it will be read: what we put in front, its header
// less what is hidden, and its text.
type view struct {
	prefix, head []byte
	body         store.Body
	from         int64 // where the text begins in body
}

func (s *view) text() io.Reader { return io.NewSectionReader(s.body, s.from, s.body.Size()-s.from) }

// sign returns the signatures of a message of ours (RFC 6376 §5): whoever may
// submit it has been held to its From.
func (d *Deliverer) sign(ctx context.Context, s *view) ([]byte, *store.Event, error) {
	if !d.o.Sign {
		return nil, nil, nil
	}
	domain := mailauth.AuthorDomain(s.head) // what we put in front has no From
	if domain == "" {
		return nil, nil, nil
	}
	keys, err := d.keys(ctx, domain)
	if len(keys) == 0 || err != nil {
		return nil, nil, err
	}
	sigs, err := mailauth.Sign(keys, d.o.Now(), s.text(), s.prefix, s.head)
	if err != nil {
		return nil, nil, store.Errorf(store.Internal, "sign", "%w", err)
	}
	var names []string
	for _, k := range keys {
		names = append(names, k.Selector+" ("+k.Algorithm()+")")
	}
	return sigs, d.signed(fmt.Sprintf("signed by DKIM for %s with %s", keys[0].Domain, strings.Join(names, " and "))), nil
}

// seal returns the ARC set for mail that an alias of a domain sends on (RFC
// 8617 §5.1).
func (d *Deliverer) seal(ctx context.Context, m *Message, domain string, s *view) ([]byte, *store.Event, error) {
	if !d.o.Sign || m.Checked == nil {
		return nil, nil, nil
	}
	keys, err := d.keys(ctx, domain)
	if len(keys) == 0 || err != nil {
		return nil, nil, err
	}
	key := keys[0]
	for _, k := range keys {
		if k.Algorithm() == mailauth.RSA {
			key = k // a chain has one signature a set, and some verifiers know this one only
		}
	}
	set, err := mailauth.Seal(key, d.o.Now(), d.o.AuthservID, m.Checked.Results(), m.Checked.ARC, s.text(), s.prefix, s.head)
	if err != nil {
		return nil, nil, store.Errorf(store.Internal, "seal", "%w", err)
	}
	if len(set) == 0 {
		return nil, nil, nil
	}
	return set, d.signed(fmt.Sprintf("sealed by ARC for %s with %s", key.Domain, key.Selector)), nil
}

func (d *Deliverer) signed(why string) *store.Event {
	e := store.NewEvent(store.EventSigned, d.o.Now(), map[string][]string{"why": {why}})
	return &e
}

// outgoing makes the rows for remote recipients: one for those whom the sender
// wrote to, and one for each domain whose aliases send on, with a sender of
// that domain and a seal.
func (d *Deliverer) outgoing(ctx context.Context, m *Message, x *expansion, s *view, a *store.Acceptance, now time.Time) error {
	byDomain := map[string]int{}
	for i, r := range x.remote {
		domain, err := d.forwarder(ctx, m, x.via[i], r.Addr)
		if err != nil {
			return err
		}
		at, there := byDomain[domain]
		if !there {
			out := store.NewOutgoing{Envelope: m.Envelope, Prefix: s.prefix, Due: now, Expires: now.Add(d.o.Expire)}
			out.Envelope.Rcpts = nil
			if m.Peer.Account != nil {
				out.Account = m.Peer.Account.ID
			}
			if domain != "" {
				if err := d.sendOn(ctx, m, domain, s, &out, a); err != nil {
					return err
				}
			}
			at = len(a.Outgoing)
			byDomain[domain] = at
			a.Outgoing = append(a.Outgoing, out)
		}
		out := &a.Outgoing[at]
		out.Envelope.Rcpts, out.Via = append(out.Envelope.Rcpts, r), append(out.Via, x.via[i].String())
	}
	return nil
}

// forwarder is the domain of ours that sends a message on to an address, empty
// if it is not sent on but only sent: it is from here, or its sender wrote to
// the address.
func (d *Deliverer) forwarder(ctx context.Context, m *Message, via, to mail.Address) (string, error) {
	if via == to || m.ours() {
		return "", nil
	}
	if m.Checked == nil && !m.Envelope.From.IsZero() { // nothing to seal, and perhaps no sender to change
		if ours, err := d.o.Store.Ours(ctx, m.Envelope.From.Domain); ours || err != nil {
			return "", err
		}
	}
	if ours, err := d.o.Store.Ours(ctx, via.Domain); err != nil || !ours {
		home, herr := d.home(ctx) // a literal of ours, or no domain at all
		return home, cmp.Or(err, herr)
	}
	return mail.DomainKey(via.Domain)
}

// sendOn gives a message the sender and the seal of the domain that sends it
// on. A sender that is ours stays: SPF of its domain knows us.
func (d *Deliverer) sendOn(ctx context.Context, m *Message, domain string, s *view, out *store.NewOutgoing, a *store.Acceptance) error {
	if from := m.Envelope.From; !from.IsZero() {
		ours, err := d.o.Store.Ours(ctx, from.Domain)
		if err != nil {
			return err
		}
		r, err := d.srs(ctx)
		if err != nil {
			return err
		}
		if !ours {
			out.Envelope.From = r.forward(from, domain)
		}
	}
	set, event, err := d.seal(ctx, m, domain, s)
	if err != nil {
		return err
	}
	if event != nil {
		out.Prefix = append(set, s.prefix...)
		a.Events = append(a.Events, *event)
	}
	return nil
}

// junk finds where an account wants its junk.
func (d *Deliverer) junk(ctx context.Context, id store.AccountID) string {
	boxes, err := d.o.Store.List(ctx, id)
	if err != nil {
		d.o.Log.Warn(maillog.Warning, "doing", "find Junk", "err", err)
	}
	for _, b := range boxes {
		if b.Use == store.UseJunk {
			return b.Name
		}
	}
	return "Junk"
}
