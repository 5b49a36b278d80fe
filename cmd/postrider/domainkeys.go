package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/mailauth"
	"postrider/store"
)

// retiredKeep is how long the record of a retired key has to stay: mail that it
// signed may be in a queue for days, and be checked again where it is read.
const retiredKeep = 14 * 24 * time.Hour

// firstKeys makes the keys of a domain that has none: RSA, which every server
// knows, and Ed25519 for those who know it (RFC 8463).
func firstKeys(ctx context.Context, st *store.Store, domain string) error {
	have, err := st.DomainKeys(ctx, domain)
	if err != nil || len(have) > 0 {
		return err
	}
	return makeKeys(ctx, st, domain, store.KeyActive, nil)
}

// makeKeys makes a pair of keys, with selectors that name the day.
func makeKeys(ctx context.Context, st *store.Store, domain string, state store.KeyState, have []store.DomainKey) error {
	taken := map[string]bool{}
	for _, k := range have {
		taken[k.Selector] = true
	}
	stem := time.Now().UTC().Format("20060102")
	for n := 'b'; taken["r"+stem] || taken["e"+stem]; n++ {
		stem = stem[:8] + string(n)
	}
	var keys []store.DomainKey
	for _, k := range []store.DomainKey{{Selector: "r" + stem, Algorithm: mailauth.RSA}, {Selector: "e" + stem, Algorithm: mailauth.Ed25519}} {
		der, err := mailauth.NewKey(k.Algorithm)
		if err != nil {
			return err
		}
		k.Private, k.State = der, state
		keys = append(keys, k)
	}
	err := st.AddDomainKeys(ctx, domain, keys)
	if store.KindOf(err) == store.Exists {
		return nil // another process made them just now
	}
	return err
}

type rotateArgs struct {
	Name string `json:"name"`
	Now  bool   `json:"now"`
}

// rotated says what a rotation did.
type rotated struct {
	Signs   []string    `json:"signs,omitempty"`   // selectors that sign from now on
	Publish []dnsRecord `json:"publish,omitempty"` // what has to be published before they can
	Waits   bool        `json:"waits,omitempty"`   // it was asked for before, and cannot be seen yet
	Until   time.Time   `json:"until,omitzero"`    // when the records of the keys before may go
}

// rotateDomain makes the next keys of a domain, or lets them sign once all the
// world can see them: a signature with a key that nobody finds is none.
func rotateDomain(ctx context.Context, a *admin, in rotateArgs) (out rotated, err error) {
	name, err := parseDomain(in.Name)
	if err != nil {
		return out, err
	}
	if _, err := a.store.Domain(ctx, name); err != nil {
		if store.KindOf(err) == store.NotFound {
			err = adminErrorf("the domain %s is not here; see postrider domain list", name)
		}
		return out, err
	}
	keys, err := a.store.DomainKeys(ctx, name)
	if err != nil {
		return out, err
	}
	next := inState(keys, store.KeyNext)
	if out.Waits = len(next) > 0; !out.Waits {
		if err := makeKeys(ctx, a.store, name, store.KeyNext, keys); err != nil {
			return out, err
		}
		if keys, err = a.store.DomainKeys(ctx, name); err != nil {
			return out, err
		}
		next = inState(keys, store.KeyNext)
		a.changed("domain keys made", "domain", name)
		a.publish(ctx)
	}
	for _, k := range next {
		r, err := keyRecord(k)
		if err != nil {
			return out, err
		}
		if !in.Now {
			r.look(ctx, a.resolver)
		}
		if r.State != published && !in.Now {
			out.Publish = append(out.Publish, r)
		}
	}
	if len(out.Publish) > 0 {
		return out, nil
	}
	if err := a.store.RotateDomainKeys(ctx, name, time.Now().Add(-retiredKeep)); err != nil {
		return out, err
	}
	a.changed("domain keys rotated", "domain", name)
	a.publish(ctx)
	for _, k := range next {
		out.Signs = append(out.Signs, k.Selector)
	}
	out.Until = time.Now().Add(retiredKeep)
	return out, nil
}

func inState(keys []store.DomainKey, s store.KeyState) (out []store.DomainKey) {
	for _, k := range keys {
		if k.State == s {
			out = append(out, k)
		}
	}
	return out
}

// keyRecord is what to publish of a key.
func keyRecord(k store.DomainKey) (dnsRecord, error) {
	key, err := mailauth.ParseKey(k.Domain, k.Selector, k.Private)
	if err != nil {
		return dnsRecord{}, err
	}
	why := map[store.KeyState]string{store.KeyNext: "the next key that signs", store.KeyActive: "key that signs",
		store.KeyRetired: "key that signed until " + k.Changed.UTC().Format(time.DateOnly) + "; may go on " + k.Changed.Add(retiredKeep).UTC().Format(time.DateOnly)}[k.State]
	return dnsRecord{Name: key.RecordName(), Type: "TXT", Value: key.Record(), Why: "DKIM, " + why, Needed: k.State == store.KeyActive}, nil
}

func runDomainRotate(c *cli, f *flags, args []string) error {
	now := f.Bool("now", false, "let the next keys sign without looking whether they are published")
	name, err := oneArg(f, args, "the domain")
	if err != nil {
		return err
	}
	var out rotated
	if err := c.do(f, "domain.rotate", rotateArgs{name, *now}, nil, &out); err != nil {
		return err
	}
	printRotated(c.stdout, name, &out)
	return nil
}

func printRotated(w io.Writer, name string, out *rotated) {
	if len(out.Publish) == 0 {
		fmt.Fprintf(w, "From now on mail of %s is signed with %s.\nKeep the records of the keys before until %s, for mail that is on its way.\n",
			name, strings.Join(out.Signs, " and "), out.Until.UTC().Format(time.DateOnly))
		return
	}
	if out.Waits {
		fmt.Fprintf(w, "; The next keys of %s cannot be seen in the DNS yet. Publish these records, wait for\n; their old answers to run out, and run the command again; --now does not look.\n", name)
	} else {
		fmt.Fprintf(w, "; The next keys of %s are made. Publish these records, then run the command again:\n; it lets them sign as soon as they can be seen.\n", name)
	}
	for _, r := range out.Publish {
		fmt.Fprint(w, r.zoneLine())
	}
}
