package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"time"

	"postrider/mail"
	"postrider/store"
)

// AddDomainKeys adds keys to a domain.
func (e *Engine) AddDomainKeys(ctx context.Context, domain string, keys []store.DomainKey) error {
	const op = "add domain keys"
	return e.write(ctx, op, func(t *tx) error {
		id, err := domainID(t, op, domain)
		if err != nil {
			return err
		}
		for _, k := range keys {
			_, err := t.exec("INSERT INTO domain_key (domain, selector, algorithm, private, state, created, changed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
				id, k.Selector, k.Algorithm, k.Private, int64(k.State), t.now)
			if isUnique(err) {
				return store.Errorf(store.Exists, op, "selector %s of %s", k.Selector, domain)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DomainKeys returns the keys of a domain, or all.
func (e *Engine) DomainKeys(ctx context.Context, domain string) ([]store.DomainKey, error) {
	const op = "domain keys"
	key, err := mail.DomainKey(domain)
	if err != nil && domain != "" {
		return nil, nil
	}
	if domain == "" {
		key = ""
	}
	var all []store.DomainKey
	err = e.read(ctx, op, func(t *tx) error {
		return t.each(`SELECT d.name, k.selector, k.algorithm, k.private, k.state, k.created, k.changed
			FROM domain_key k JOIN domain d ON d.id = k.domain WHERE ?1 = '' OR d.name = ?1 ORDER BY d.name, k.created, k.selector`,
			args(key), func(scan func(...any) error) error {
				var k store.DomainKey
				var created, changed, state int64
				err := scan(&k.Domain, &k.Selector, &k.Algorithm, &k.Private, &state, &created, &changed)
				k.State, k.Created, k.Changed = store.KeyState(state), fromMicros(created), fromMicros(changed)
				all = append(all, k)
				return err
			})
	})
	return all, err
}

// RotateDomainKeys lets the next keys sign.
func (e *Engine) RotateDomainKeys(ctx context.Context, domain string, forgetBefore time.Time) error {
	const op = "rotate domain keys"
	return e.write(ctx, op, func(t *tx) error {
		id, err := domainID(t, op, domain)
		if err != nil {
			return err
		}
		var next bool
		if err := t.get("SELECT EXISTS (SELECT 1 FROM domain_key WHERE domain = ?1 AND state = ?2)", args(id, int64(store.KeyNext)), &next); err != nil {
			return err
		}
		if !next {
			return notFound(op, "next keys of %s", domain)
		}
		for _, step := range []struct{ from, to store.KeyState }{{store.KeyActive, store.KeyRetired}, {store.KeyNext, store.KeyActive}} {
			if _, err := t.exec("UPDATE domain_key SET state = ?3, changed = ?4 WHERE domain = ?1 AND state = ?2", id, int64(step.from), int64(step.to), t.now); err != nil {
				return err
			}
		}
		_, err = t.exec("DELETE FROM domain_key WHERE domain = ?1 AND state = ?2 AND changed < ?3", id, int64(store.KeyRetired), micros(forgetBefore))
		return err
	})
}

// Secret returns random bytes of a name.
func (e *Engine) Secret(ctx context.Context, name string, size int) ([]byte, error) {
	const op = "secret"
	const find = "SELECT value FROM secret WHERE name = ?1"
	var value []byte
	err := e.read(ctx, op, func(t *tx) error {
		err := t.get(find, args(name), &value)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	if err != nil || value != nil {
		return value, err
	}
	made := make([]byte, size)
	rand.Read(made)
	err = e.write(ctx, op, func(t *tx) error {
		if _, err := t.exec("INSERT INTO secret (name, value, created) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING", name, made, t.now); err != nil {
			return err
		}
		return t.get(find, args(name), &value) // somebody else may have been faster
	})
	return value, err
}

// CountDMARC adds to the counts of messages.
func (e *Engine) CountDMARC(ctx context.Context, counts []store.DMARCCount) error {
	return e.write(ctx, "count messages for DMARC", func(t *tx) error {
		for _, c := range counts {
			if _, err := t.exec(`INSERT INTO dmarc_count (day, domain, what, messages) VALUES (?1, ?2, ?3, ?4)
				ON CONFLICT DO UPDATE SET messages = messages + excluded.messages`, int64(c.Day), c.Domain, c.What, c.Messages); err != nil {
				return err
			}
		}
		return nil
	})
}

// DMARCDomains lists the domains and days that something was counted for.
func (e *Engine) DMARCDomains(ctx context.Context, day store.Day) ([]store.DMARCDomain, error) {
	var all []store.DMARCDomain
	err := e.read(ctx, "DMARC domains", func(t *tx) error {
		return t.each("SELECT DISTINCT day, domain FROM dmarc_count WHERE day <= ?1 ORDER BY day, domain", args(int64(day)), func(scan func(...any) error) error {
			var d store.DMARCDomain
			err := scan(&d.Day, &d.Domain)
			all = append(all, d)
			return err
		})
	})
	return all, err
}

// DMARCCounts returns what was counted for a domain on a day.
func (e *Engine) DMARCCounts(ctx context.Context, d store.DMARCDomain) ([]store.DMARCCount, error) {
	var all []store.DMARCCount
	err := e.read(ctx, "DMARC counts", func(t *tx) error {
		return t.each("SELECT what, messages FROM dmarc_count WHERE day = ?1 AND domain = ?2 ORDER BY what", args(int64(d.Day), d.Domain), func(scan func(...any) error) error {
			c := store.DMARCCount{DMARCDomain: d}
			err := scan(&c.What, &c.Messages)
			all = append(all, c)
			return err
		})
	})
	return all, err
}

// DropDMARCCounts forgets what was counted for a domain on a day.
func (e *Engine) DropDMARCCounts(ctx context.Context, d store.DMARCDomain) error {
	return e.writeFreeing(ctx, "forget DMARC counts", func(t *tx) error {
		_, err := t.exec("DELETE FROM dmarc_count WHERE day = ?1 AND domain = ?2", int64(d.Day), d.Domain)
		return err
	})
}
