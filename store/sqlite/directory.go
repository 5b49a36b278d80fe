package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"postrider/mail"
	"postrider/store"
)

// AddDomain takes a domain in.
func (e *Engine) AddDomain(ctx context.Context, name string) (store.Domain, error) {
	const op = "add domain"
	key, err := domainKey(op, name)
	if err != nil {
		return store.Domain{}, err
	}
	var d store.Domain
	err = e.write(ctx, op, func(t *tx) error {
		_, err := t.exec("INSERT INTO domain (name, created) VALUES (?1, ?2)", key, t.now)
		if isUnique(err) {
			return store.Errorf(store.Exists, op, "%s", key)
		}
		d = store.Domain{Name: key, Created: fromMicros(t.now)}
		t.publish(store.Change{Kind: store.DirectoryChanged})
		return err
	})
	return d, err
}

// domainKey checks a name that is to be one of our domains.
func domainKey(op, name string) (string, error) {
	key, err := mail.DomainKey(name)
	if err != nil || key == "" || key[0] == '[' {
		return "", store.Errorf(store.Invalid, op, "%q is no domain", name)
	}
	return key, nil
}

// RemoveDomain lets a domain go that nobody has an address in.
func (e *Engine) RemoveDomain(ctx context.Context, name string) error {
	const op = "remove domain"
	return e.writeFreeing(ctx, op, func(t *tx) error {
		id, err := domainID(t, op, name)
		if err != nil {
			return err
		}
		var used bool
		if err := t.get("SELECT EXISTS (SELECT 1 FROM address WHERE domain = ?1)", args(id), &used); err != nil {
			return err
		}
		if used {
			return store.Errorf(store.Exists, op, "%s has accounts or aliases", name)
		}
		t.publish(store.Change{Kind: store.DirectoryChanged})
		_, err = t.exec("DELETE FROM domain WHERE id = ?1", id)
		return err
	})
}

// domainID finds a domain of ours by its name in any form: NotFound.
func domainID(t *tx, op, name string) (int64, error) {
	var id int64
	key, err := mail.DomainKey(name)
	if err == nil {
		err = t.get("SELECT id FROM domain WHERE name = ?1", args(key), &id)
	} else {
		err = sql.ErrNoRows
	}
	if errors.Is(err, sql.ErrNoRows) {
		return 0, notFound(op, "domain %q", name)
	}
	return id, err
}

// Domains returns all domains by name.
func (e *Engine) Domains(ctx context.Context) ([]store.Domain, error) {
	var all []store.Domain
	err := e.read(ctx, "domains", func(t *tx) error {
		return t.each("SELECT name, created FROM domain ORDER BY name", nil, func(scan func(...any) error) error {
			var d store.Domain
			var created int64
			err := scan(&d.Name, &created)
			d.Created = fromMicros(created)
			all = append(all, d)
			return err
		})
	})
	return all, err
}

// Domain finds a domain by its name.
func (e *Engine) Domain(ctx context.Context, name string) (store.Domain, error) {
	const op = "domain"
	key, err := mail.DomainKey(name)
	if err != nil {
		return store.Domain{}, notFound(op, "%q is no domain", name)
	}
	d := store.Domain{Name: key}
	err = e.read(ctx, op, func(t *tx) error {
		var created int64
		err := t.get("SELECT created FROM domain WHERE name = ?1", args(key), &created)
		d.Created = fromMicros(created)
		return err
	})
	if err != nil {
		return store.Domain{}, err
	}
	return d, nil
}

// Lookup finds what exactly an address stands for.
func (e *Engine) Lookup(ctx context.Context, a mail.Address) (store.Entry, error) {
	const op = "lookup"
	var found store.Entry
	err := e.read(ctx, op, func(t *tx) error {
		var id sql.NullInt64
		key := a.Key()
		err := t.get("SELECT account FROM address WHERE key = ?1", args(key), &id)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return notFound(op, "%s", key)
		case err != nil:
			return err
		case id.Valid:
			acct, err := readAccount(t, op, store.AccountID(id.Int64))
			found.Account = &acct
			return err
		}
		found.Alias, err = readAlias(t, key)
		return err
	})
	if err != nil {
		return store.Entry{}, err
	}
	return found, nil
}

// SetAlias makes or replaces an alias.
func (e *Engine) SetAlias(ctx context.Context, a store.Alias) error {
	const op = "set alias"
	if a.Address.IsZero() || len(a.Targets) == 0 {
		return store.Errorf(store.Invalid, op, "an alias needs an address and a target")
	}
	for _, to := range a.Targets {
		if to.Local == "" || to.Domain == "" {
			return store.Errorf(store.Invalid, op, "%q is no target", to.String())
		}
	}
	return e.write(ctx, op, func(t *tx) error {
		domain, err := domainID(t, op, a.Address.Domain)
		if err != nil {
			return err
		}
		key := a.Address.Key()
		if err := dropAlias(t, key); err != nil {
			return err
		}
		_, err = t.exec("INSERT INTO address (key, domain, local, host) VALUES (?1, ?2, ?3, ?4)",
			key, domain, a.Address.Local, a.Address.Domain)
		if isUnique(err) {
			return store.Errorf(store.Exists, op, "%s is an account", key)
		}
		if err != nil {
			return err
		}
		for n, to := range a.Targets {
			_, err := t.exec("INSERT INTO alias_target (key, n, local, host) VALUES (?1, ?2, ?3, ?4)", key, n, to.Local, to.Domain)
			if err != nil {
				return err
			}
		}
		t.publish(store.Change{Kind: store.DirectoryChanged})
		return nil
	})
}

// dropAlias removes the alias with this key, if there is one.
func dropAlias(t *tx, key string) error {
	_, err := t.exec("DELETE FROM address WHERE key = ?1 AND account IS NULL", key) // and its targets, by cascade
	return err
}

// RemoveAlias removes an alias: NotFound.
func (e *Engine) RemoveAlias(ctx context.Context, a mail.Address) error {
	const op = "remove alias"
	return e.writeFreeing(ctx, op, func(t *tx) error {
		n, err := t.exec("DELETE FROM address WHERE key = ?1 AND account IS NULL", a.Key())
		if err == nil && n == 0 {
			err = notFound(op, "%s", a.Key())
		}
		t.publish(store.Change{Kind: store.DirectoryChanged})
		return err
	})
}

// readAlias reads an alias by its key.
func readAlias(t *tx, key string) (*store.Alias, error) {
	var a store.Alias
	err := t.get("SELECT local, host FROM address WHERE key = ?1", args(key), &a.Address.Local, &a.Address.Domain)
	if err != nil {
		return nil, err
	}
	err = t.each("SELECT local, host FROM alias_target WHERE key = ?1 ORDER BY n", args(key),
		func(scan func(...any) error) error {
			var to mail.Address
			err := scan(&to.Local, &to.Domain)
			a.Targets = append(a.Targets, to)
			return err
		})
	return &a, err
}

// Aliases returns all aliases by address.
func (e *Engine) Aliases(ctx context.Context) ([]store.Alias, error) {
	var all []store.Alias
	err := e.read(ctx, "aliases", func(t *tx) error {
		var last string
		return t.each(`SELECT a.key, a.local, a.host, t.local, t.host FROM address a
			JOIN alias_target t ON t.key = a.key WHERE a.account IS NULL ORDER BY a.key, t.n`, nil,
			func(scan func(...any) error) error {
				var key string
				var from, to mail.Address
				if err := scan(&key, &from.Local, &from.Domain, &to.Local, &to.Domain); err != nil {
					return err
				}
				if len(all) == 0 || key != last {
					all, last = append(all, store.Alias{Address: from}), key
				}
				a := &all[len(all)-1]
				a.Targets = append(a.Targets, to)
				return nil
			})
	})
	return all, err
}
