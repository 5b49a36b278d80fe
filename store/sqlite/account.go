package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"postrider/mail"
	"postrider/store"
)

// standardMailbox is a mailbox that every account is made with.
type standardMailbox struct {
	name string
	use  store.Use
}

func standardMailboxes() []standardMailbox {
	return []standardMailbox{
		{store.Inbox, store.UseNone},
		{"Drafts", store.UseDrafts},
		{"Sent", store.UseSent},
		{"Junk", store.UseJunk},
		{"Trash", store.UseTrash},
		{"Archive", store.UseArchive},
	}
}

// AddAccount makes an account with its mailboxes.
func (e *Engine) AddAccount(ctx context.Context, a store.NewAccount) (store.Account, error) {
	const op = "add account"
	if a.Address.Local == "" || a.Address.Domain == "" || a.Quota < 0 || a.QuotaCount < 0 {
		return store.Account{}, store.Errorf(store.Invalid, op, "address %q, quota %d", a.Address.String(), a.Quota)
	}
	var made store.Account
	err := e.write(ctx, op, func(t *tx) error {
		id, err := addAddress(t, op, a)
		if err != nil {
			return err
		}
		if err := addCredential(t, id, a.Credential); err != nil {
			return err
		}
		if _, err := t.exec("INSERT INTO acct (id, quota, quota_count) VALUES (?1, ?2, ?3)", int64(id), a.Quota, a.QuotaCount); err != nil {
			return err
		}
		for _, m := range standardMailboxes() {
			if _, err := createMailbox(t, id, m.name, m.use); err != nil {
				return err
			}
			if err := subscribe(t, id, m.name, true); err != nil {
				return err
			}
		}
		t.publish(store.Change{Kind: store.AccountChanged, Account: id})
		made, err = readAccount(t, op, id)
		return err
	})
	if err != nil {
		return store.Account{}, err
	}
	return made, nil
}

// addAddress gives an account its number and its address.
func addAddress(t *tx, op string, a store.NewAccount) (store.AccountID, error) {
	domain, err := domainID(t, op, a.Address.Domain)
	if err != nil {
		return 0, err
	}
	key := a.Address.Key()
	var taken bool
	if err := t.get("SELECT EXISTS (SELECT 1 FROM address WHERE key = ?1)", args(key), &taken); err != nil {
		return 0, err
	}
	if taken {
		return 0, store.Errorf(store.Exists, op, "%s", key)
	}
	id, err := t.insert("INSERT INTO account (address, admin, created) VALUES (?1, ?2, ?3)", key, a.Admin, t.now)
	if err != nil {
		return 0, err
	}
	_, err = t.exec("INSERT INTO address (key, domain, account, local, host) VALUES (?1, ?2, ?3, ?4, ?5)",
		key, domain, id, a.Address.Local, a.Address.Domain)
	return store.AccountID(id), err
}

// addCredential gives an account its password.
func addCredential(t *tx, id store.AccountID, c store.Credential) error {
	_, err := t.exec(`INSERT INTO credential (account, argon2id, scram_salt, scram_iter, stored_key, server_key, created)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)`,
		int64(id), c.Argon2id, c.ScramSalt, c.ScramIterations, c.StoredKey, c.ServerKey, t.now)
	return err
}

// accountColumns is what scanAccount reads.
const accountColumns = `SELECT a.id, d.local, d.host, a.admin, a.disabled, a.created, m.quota, m.quota_count, m.bytes, m.count, m.modseq
	FROM account a JOIN address d ON d.key = a.address JOIN acct m ON m.id = a.id`

func scanAccount(scan func(...any) error) (store.Account, error) {
	var a store.Account
	var created int64
	err := scan(&a.ID, &a.Address.Local, &a.Address.Domain, &a.Admin, &a.Disabled, &created,
		&a.Quota, &a.QuotaCount, &a.Bytes, &a.Count, &a.ModSeq)
	a.Created = fromMicros(created)
	return a, err
}

// readAccount reads an account: NotFound.
func readAccount(t *tx, op string, id store.AccountID) (store.Account, error) {
	a, err := scanAccount(func(dest ...any) error {
		return t.get(accountColumns+" WHERE a.id = ?1", args(int64(id)), dest...)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = notFound(op, "account %d", id)
	}
	return a, err
}

// Account returns an account.
func (e *Engine) Account(ctx context.Context, id store.AccountID) (store.Account, error) {
	const op = "account"
	var a store.Account
	err := e.read(ctx, op, func(t *tx) (err error) {
		a, err = readAccount(t, op, id)
		return err
	})
	if err != nil {
		return store.Account{}, err
	}
	return a, nil
}

// Accounts returns all accounts by address.
func (e *Engine) Accounts(ctx context.Context) ([]store.Account, error) {
	var all []store.Account
	err := e.read(ctx, "accounts", func(t *tx) error {
		return t.each(accountColumns+" ORDER BY a.address", nil, func(scan func(...any) error) error {
			a, err := scanAccount(scan)
			all = append(all, a)
			return err
		})
	})
	return all, err
}

// changeAccount runs fn on an account that is there, and announces it.
func (e *Engine) changeAccount(ctx context.Context, op string, id store.AccountID, fn func(*tx) error) error {
	return e.write(ctx, op, func(t *tx) error {
		if _, err := readAccount(t, op, id); err != nil {
			return err
		}
		t.publish(store.Change{Kind: store.AccountChanged, Account: id})
		return fn(t)
	})
}

// SetCredential replaces an account's password.
func (e *Engine) SetCredential(ctx context.Context, id store.AccountID, c store.Credential) error {
	return e.changeAccount(ctx, "set credential", id, func(t *tx) error {
		if _, err := t.exec("DELETE FROM credential WHERE account = ?1 AND kind = ''", int64(id)); err != nil {
			return err
		}
		return addCredential(t, id, c)
	})
}

// SetDisabled shuts an account or opens it again.
func (e *Engine) SetDisabled(ctx context.Context, id store.AccountID, disabled bool) error {
	return e.changeAccount(ctx, "set disabled", id, func(t *tx) error {
		_, err := t.exec("UPDATE account SET disabled = ?2 WHERE id = ?1", int64(id), disabled)
		return err
	})
}

// SetQuota limits an account's bytes and messages; what is there already stays.
func (e *Engine) SetQuota(ctx context.Context, id store.AccountID, bytes, messages int64) error {
	const op = "set quota"
	if bytes < 0 || messages < 0 {
		return store.Errorf(store.Invalid, op, "quota of %d bytes, %d messages", bytes, messages)
	}
	return e.changeAccount(ctx, op, id, func(t *tx) error {
		_, err := t.exec("UPDATE acct SET quota = ?2, quota_count = ?3 WHERE id = ?1", int64(id), bytes, messages)
		return err
	})
}

// Credential returns what a login at an account's address is compared with.
func (e *Engine) Credential(ctx context.Context, a mail.Address) (store.Account, store.Credential, error) {
	const op = "credential"
	var acct store.Account
	var c store.Credential
	err := e.read(ctx, op, func(t *tx) error {
		// For an address that is not here the first account is read in its
		// place: how long it takes must not tell who exists.
		var id, first int64
		err := t.get(`SELECT coalesce((SELECT account FROM address WHERE key = ?1 AND account IS NOT NULL), 0),
			coalesce((SELECT min(id) FROM account), 0)`, args(a.Key()), &id, &first)
		if err != nil {
			return err
		}
		found := id != 0
		if !found {
			id = first
		}
		if acct, err = readAccount(t, op, store.AccountID(id)); err != nil {
			return err
		}
		err = t.get(`SELECT argon2id, scram_salt, scram_iter, stored_key, server_key FROM credential
			WHERE account = ?1 AND kind = '' AND label = ''`, args(id),
			&c.Argon2id, &c.ScramSalt, &c.ScramIterations, &c.StoredKey, &c.ServerKey)
		switch {
		case !found && (err == nil || errors.Is(err, sql.ErrNoRows)):
			return notFound(op, "no account has this address")
		case errors.Is(err, sql.ErrNoRows):
			return nil // no password, so nobody logs in
		}
		return err
	})
	if err != nil {
		return store.Account{}, store.Credential{}, err
	}
	return acct, c, nil
}

// RemoveAccount removes an account with its address, its mailboxes and all
// their messages. What it has in the outgoing queue was promised to be sent,
// and stays.
func (e *Engine) RemoveAccount(ctx context.Context, id store.AccountID) error {
	var dead []deadBody
	err := e.writeFreeing(ctx, "remove account", func(t *tx) error {
		dead = nil
		if _, err := readAccount(t, "remove account", id); err != nil {
			return err
		}
		if err := announceDeleted(t, id); err != nil {
			return err
		}
		if err := removeMail(t, id, &dead); err != nil {
			return err
		}
		t.publish(store.Change{Kind: store.AccountChanged, Account: id})
		for _, q := range []string{
			"DELETE FROM address WHERE account = ?1",
			"DELETE FROM account WHERE id = ?1", // and its credentials, by cascade
		} {
			if _, err := t.exec(q, int64(id)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	e.drop(dead)
	return nil
}

// announceDeleted tells the sessions of an account's mailboxes that these go.
func announceDeleted(t *tx, a store.AccountID) error {
	return t.each("SELECT id, name FROM mailbox WHERE acct = ?1", args(int64(a)), func(scan func(...any) error) error {
		c := store.Change{Kind: store.MailboxDeleted, Account: a, Mailbox: store.MailboxID{Account: a}}
		err := scan(&c.Mailbox.N, &c.Name)
		t.publish(c)
		return err
	})
}
