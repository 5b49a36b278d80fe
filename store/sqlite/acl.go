package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"postrider/store"
)

// ACL returns what is granted in a mailbox.
func (e *Engine) ACL(ctx context.Context, box store.MailboxID) ([]store.Grant, error) {
	var all []store.Grant
	err := e.read(ctx, "acl", func(t *tx) error {
		all = nil
		if err := mailboxIsThere(t, "acl", box); err != nil {
			return err
		}
		return t.each(`SELECT l.who, l.negative, l.rights, ifnull(d.local, ''), ifnull(d.host, '') FROM acl l
			LEFT JOIN account a ON a.id = l.who LEFT JOIN address d ON d.key = a.address
			WHERE l.acct = ?1 AND l.mbox = ?2 ORDER BY l.who, l.negative`,
			args(int64(box.Account), box.N), func(scan func(...any) error) error {
				var g store.Grant
				err := scan(&g.Who, &g.Negative, &g.Rights, &g.Address.Local, &g.Address.Domain)
				all = append(all, g)
				return err
			})
	})
	return all, err
}

// SetACL changes what who has in a mailbox.
func (e *Engine) SetACL(ctx context.Context, box store.MailboxID, who store.AccountID, negative bool, mode store.FlagMode, r store.Rights) error {
	const op = "set acl"
	if who == box.Account {
		return store.Errorf(store.Invalid, op, "account %d owns the mailbox", who)
	}
	return e.write(ctx, op, func(t *tx) error {
		if err := mailboxIsThere(t, op, box); err != nil {
			return err
		}
		if who != store.Anyone {
			if _, err := readAccount(t, op, who); err != nil {
				return err
			}
		}
		return setACL(t, box, who, negative, mode, r)
	})
}

func setACL(t *tx, box store.MailboxID, who store.AccountID, negative bool, mode store.FlagMode, r store.Rights) error {
	key := args(int64(box.Account), box.N, int64(who), negative)
	var was store.Rights
	err := t.get("SELECT rights FROM acl WHERE acct = ?1 AND mbox = ?2 AND who = ?3 AND negative = ?4", key, &was)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	now := r & store.AllRights
	switch mode {
	case store.FlagsAdd:
		now |= was
	case store.FlagsRemove:
		now = was &^ r
	}
	switch {
	case now == was:
		return nil
	case now == 0:
		_, err = t.exec("DELETE FROM acl WHERE acct = ?1 AND mbox = ?2 AND who = ?3 AND negative = ?4", key...)
	default:
		_, err = t.exec(`INSERT INTO acl (acct, mbox, who, negative, rights) VALUES (?1, ?2, ?3, ?4, ?5)
			ON CONFLICT DO UPDATE SET rights = excluded.rights`, append(key, int64(now))...)
	}
	t.publish(store.Change{Kind: store.RightsChanged, Account: box.Account, Mailbox: box, Who: who})
	return err
}

// Rights returns what who may do in a mailbox.
func (e *Engine) Rights(ctx context.Context, box store.MailboxID, who store.AccountID) (store.Rights, error) {
	var given, taken store.Rights
	err := e.read(ctx, "rights", func(t *tx) error {
		given, taken = 0, 0
		if err := mailboxIsThere(t, "rights", box); err != nil || who == box.Account {
			given = store.AllRights
			return err
		}
		return t.each("SELECT negative, rights FROM acl WHERE acct = ?1 AND mbox = ?2 AND who IN (0, ?3)",
			args(int64(box.Account), box.N, int64(who)), func(scan func(...any) error) error {
				var negative bool
				var r store.Rights
				err := scan(&negative, &r)
				if negative {
					taken |= r
				} else {
					given |= r
				}
				return err
			})
	})
	if err != nil {
		return 0, err
	}
	return given &^ taken, nil
}

// Shared returns the mailboxes of others in which who may do anything.
func (e *Engine) Shared(ctx context.Context, who store.AccountID) ([]store.SharedMailbox, error) {
	var all []store.SharedMailbox
	err := e.read(ctx, "shared", func(t *tx) error {
		all = nil
		var taken store.Rights
		// What is granted in a mailbox follows what is taken from it.
		err := t.each(`SELECT l.negative, l.rights, d.local, d.host, m.acct, `+sharedColumns+` FROM acl l
			JOIN mailbox m ON m.acct = l.acct AND m.id = l.mbox JOIN account a ON a.id = l.acct JOIN address d ON d.key = a.address
			WHERE l.who IN (0, ?1) AND l.acct <> ?1 ORDER BY a.address, m.name, l.negative DESC`, args(int64(who)),
			func(scan func(...any) error) error {
				var negative bool
				var m store.SharedMailbox
				err := scan(append([]any{&negative, &m.Rights, &m.Owner.Local, &m.Owner.Domain, &m.ID.Account}, mailboxDest(&m.Mailbox)...)...)
				last := len(all) - 1
				if last < 0 || all[last].ID != m.ID {
					taken = 0
					all = append(all, m)
					last++
					all[last].Rights = 0
				}
				if negative {
					taken |= m.Rights
				} else {
					all[last].Rights |= m.Rights &^ taken
				}
				return err
			})
		return err
	})
	if err != nil {
		return nil, err
	}
	some := all[:0]
	for _, m := range all {
		if m.Rights != 0 {
			some = append(some, m)
		}
	}
	return some, nil
}

// inheritACL gives a new mailbox what is granted in the nearest one above it
// that is there.
func inheritACL(t *tx, m store.Mailbox) error {
	var any bool
	if err := t.get("SELECT EXISTS (SELECT 1 FROM acl WHERE acct = ?1)", args(int64(m.ID.Account)), &any); err != nil || !any {
		return err
	}
	var above int64
	err := t.get(`SELECT id FROM mailbox WHERE acct = ?1 AND substr(?2, 1, length(name) + 1) = name || '/'
		ORDER BY length(name) DESC LIMIT 1`, args(int64(m.ID.Account), m.Name), &above)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO acl (acct, mbox, who, negative, rights)
		SELECT acct, ?2, who, negative, rights FROM acl WHERE acct = ?1 AND mbox = ?3`, int64(m.ID.Account), m.ID.N, above)
	return err
}
