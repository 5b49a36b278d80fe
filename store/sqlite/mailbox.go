package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"postrider/store"
)

const (
	mailboxColumns = `id, name, use, uidvalidity, uidnext, modseq, total, unseen, deleted, bytes, deleted_bytes, created_modseq`
	sharedColumns  = `m.id, m.name, m.use, m.uidvalidity, m.uidnext, m.modseq, m.total, m.unseen, m.deleted, m.bytes, m.deleted_bytes, m.created_modseq`
)

// mailboxDest is where the mailboxColumns of m go.
func mailboxDest(m *store.Mailbox) []any {
	return []any{&m.ID.N, &m.Name, &m.Use, &m.UIDValidity, &m.UIDNext, &m.ModSeq, &m.Total, &m.Unseen, &m.Deleted,
		&m.Bytes, &m.DeletedBytes, &m.Created}
}

// mailboxByID reads a mailbox and up to which modseq its expunges are
// forgotten.
func mailboxByID(t *tx, box store.MailboxID, m *store.Mailbox, floor *int64) error {
	m.ID.Account = box.Account
	return t.get("SELECT "+mailboxColumns+", gone_floor FROM mailbox WHERE acct = ?1 AND id = ?2",
		args(int64(box.Account), box.N), append(mailboxDest(m), floor)...)
}

// mailboxByName reads a mailbox by its clean name: sql.ErrNoRows without it.
func mailboxByName(t *tx, a store.AccountID, name string) (store.Mailbox, error) {
	m := store.Mailbox{ID: store.MailboxID{Account: a}}
	err := t.get("SELECT "+mailboxColumns+" FROM mailbox WHERE acct = ?1 AND name = ?2", args(int64(a), name), mailboxDest(&m)...)
	return m, err
}

// List returns all mailboxes of an account by name.
func (e *Engine) List(ctx context.Context, a store.AccountID) ([]store.Mailbox, error) {
	var all []store.Mailbox
	err := e.read(ctx, "list", func(t *tx) error {
		all = nil
		if err := accountIsThere(t, "list", a); err != nil {
			return err
		}
		return t.each("SELECT "+mailboxColumns+" FROM mailbox WHERE acct = ?1 ORDER BY name", args(int64(a)),
			func(scan func(...any) error) error {
				m := store.Mailbox{ID: store.MailboxID{Account: a}}
				err := scan(mailboxDest(&m)...)
				all = append(all, m)
				return err
			})
	})
	return all, err
}

// accountIsThere is NotFound if an account is gone.
func accountIsThere(t *tx, op string, a store.AccountID) error {
	var one int
	return wrap(op, t.get("SELECT 1 FROM acct WHERE id = ?1", args(int64(a)), &one))
}

// Mailbox finds a mailbox by its name.
func (e *Engine) Mailbox(ctx context.Context, a store.AccountID, name string) (store.Mailbox, error) {
	name, err := cleanName("mailbox", name)
	if err != nil {
		return store.Mailbox{}, notFound("mailbox", "a name that cannot be: %w", err)
	}
	var m store.Mailbox
	err = e.look(ctx, "mailbox", func(t *tx) (err error) {
		m, err = mailboxByName(t, a, name)
		return err
	})
	return m, err
}

// Create makes a mailbox.
func (e *Engine) Create(ctx context.Context, a store.AccountID, name string, use store.Use) (store.Mailbox, error) {
	name, err := cleanName("create", name)
	if err != nil {
		return store.Mailbox{}, err
	}
	if err := e.room(ctx, "create"); err != nil {
		return store.Mailbox{}, err
	}
	var m store.Mailbox
	err = e.write(ctx, "create", func(t *tx) (err error) {
		m, err = createMailbox(t, a, name, use)
		return err
	})
	return m, err
}

// createMailbox makes a mailbox with a clean name: Exists, NotFound without
// the account. Its UIDVALIDITY is above all that the account ever had, and all
// that removed accounts had, so that a name that is used again has another one
// (RFC 9051 §2.3.1.1).
func createMailbox(t *tx, a store.AccountID, name string, use store.Use) (store.Mailbox, error) {
	m := store.Mailbox{ID: store.MailboxID{Account: a}, Name: name, Use: use, UIDNext: 1}
	if _, err := mailboxByName(t, a, name); !errors.Is(err, sql.ErrNoRows) {
		if err == nil {
			err = store.Errorf(store.Exists, "create", "mailbox %q", name)
		}
		return m, err
	}
	err := t.get(`UPDATE acct SET modseq = modseq + 1, next_mbox = next_mbox + 1,
		last_uidvalidity = max(last_uidvalidity + 1, ?2, ifnull((SELECT CAST(CAST(value AS TEXT) AS INTEGER) + 1 FROM setting
			WHERE acct = 0 AND name = 'removed-uidvalidity'), 0))
		WHERE id = ?1 RETURNING modseq, next_mbox - 1, last_uidvalidity`,
		args(int64(a), t.now/1e6), &m.ModSeq, &m.ID.N, &m.UIDValidity)
	if err != nil {
		return m, err
	}
	m.Created = m.ModSeq
	_, err = t.exec("INSERT INTO mailbox (acct, id, name, use, uidvalidity, modseq, created_modseq) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
		int64(a), m.ID.N, name, string(use), int64(m.UIDValidity), int64(m.ModSeq))
	if err != nil {
		return m, err
	}
	t.publish(store.Change{Kind: store.MailboxCreated, Account: a, Mailbox: m.ID, ModSeq: m.ModSeq, Name: name})
	return m, inheritACL(t, m)
}

// SetUse gives a mailbox another special use.
func (e *Engine) SetUse(ctx context.Context, a store.AccountID, name string, use store.Use) error {
	const op = "set use"
	name, err := cleanName(op, name)
	if err != nil {
		return notFound(op, "a name that cannot be: %w", err)
	}
	return e.write(ctx, op, func(t *tx) error {
		m, err := mailboxByName(t, a, name)
		if err != nil || m.Use == use {
			return err
		}
		if err := useIsFree(t, a, use); err != nil {
			return err
		}
		_, err = t.exec("UPDATE mailbox SET use = ?3 WHERE acct = ?1 AND id = ?2", int64(a), m.ID.N, string(use))
		t.publish(store.Change{Kind: store.Annotated, Account: a, Mailbox: m.ID, Name: store.UseAnnotation, Who: a})
		return err
	})
}

// useIsFree is Exists if a mailbox has a special use.
func useIsFree(t *tx, a store.AccountID, use store.Use) error {
	var taken bool
	err := t.get("SELECT EXISTS (SELECT 1 FROM mailbox WHERE acct = ?1 AND use = ?2 AND use <> '')", args(int64(a), string(use)), &taken)
	if err == nil && taken {
		err = store.Errorf(store.Exists, "use", "a mailbox is for %s", use)
	}
	return err
}

// Delete removes a mailbox and its messages, not its children.
func (e *Engine) Delete(ctx context.Context, a store.AccountID, name string) error {
	name, err := cleanName("delete", name)
	if err != nil {
		return notFound("delete", "a name that cannot be: %w", err)
	}
	if name == store.Inbox {
		return store.Errorf(store.Denied, "delete", "INBOX cannot be deleted")
	}
	var dead []deadBody
	err = e.writeFreeing(ctx, "delete", func(t *tx) error {
		dead = nil
		m, err := mailboxByName(t, a, name)
		if err != nil {
			return err
		}
		return deleteMailbox(t, m, &dead)
	})
	if err == nil {
		e.drop(dead)
	}
	return err
}

// deleteMailbox removes a mailbox with its messages and what is kept of those
// that were expunged.
func deleteMailbox(t *tx, m store.Mailbox, dead *[]deadBody) error {
	modseq, err := bumpAccount(t, int64(m.ID.Account), -m.Bytes, -m.Total)
	if err != nil {
		return err
	}
	if err := unrefMessages(t, m.ID, store.AllUIDs(), dead); err != nil {
		return err
	}
	in := args(int64(m.ID.Account), m.ID.N)
	for _, q := range []string{
		"DELETE FROM message WHERE acct = ?1 AND mbox = ?2",
		"DELETE FROM message_page WHERE acct = ?1 AND mbox = ?2",
		"DELETE FROM gone WHERE acct = ?1 AND mbox = ?2",
		"DELETE FROM acl WHERE acct = ?1 AND mbox = ?2",
		"DELETE FROM annotation WHERE acct = ?1 AND mbox = ?2",
		"DELETE FROM mailbox WHERE acct = ?1 AND id = ?2",
	} {
		if _, err := t.exec(q, in...); err != nil {
			return err
		}
	}
	_, err = t.exec("INSERT INTO gone_mbox (acct, modseq, mbox, name) VALUES (?1, ?2, ?3, ?4)", int64(m.ID.Account), modseq, m.ID.N, m.Name)
	t.publish(store.Change{Kind: store.MailboxDeleted, Account: m.ID.Account, Mailbox: m.ID, ModSeq: store.ModSeq(modseq), Name: m.Name})
	return err
}

// removeMail removes all that an account has in its mailboxes, and the
// account's row. Space in segments is added to dead, for e.drop after the
// commit.
func removeMail(t *tx, a store.AccountID, dead *[]deadBody) error {
	boxes, err := values[int64](t, "SELECT id FROM mailbox WHERE acct = ?1", args(int64(a)))
	if err != nil {
		return err
	}
	for _, id := range boxes {
		if err := unrefMessages(t, store.MailboxID{Account: a, N: id}, store.AllUIDs(), dead); err != nil {
			return err
		}
	}
	_, err = t.exec(`INSERT INTO setting (acct, name, value)
		SELECT 0, 'removed-uidvalidity', CAST(CAST(last_uidvalidity AS TEXT) AS BLOB) FROM acct WHERE id = ?1
		ON CONFLICT DO UPDATE SET value = excluded.value
		WHERE CAST(CAST(excluded.value AS TEXT) AS INTEGER) > CAST(CAST(value AS TEXT) AS INTEGER)`, int64(a))
	if err != nil {
		return err
	}
	for _, q := range []string{
		"DELETE FROM message WHERE acct = ?1", "DELETE FROM message_page WHERE acct = ?1", "DELETE FROM gone WHERE acct = ?1", "DELETE FROM mailbox WHERE acct = ?1",
		"DELETE FROM gone_mbox WHERE acct = ?1", "DELETE FROM subscription WHERE acct = ?1", "DELETE FROM msgref WHERE acct = ?1",
		"DELETE FROM op WHERE acct = ?1", "DELETE FROM filter_script WHERE acct = ?1", "DELETE FROM setting WHERE acct = ?1",
		"DELETE FROM acl WHERE acct = ?1 OR who = ?1", "DELETE FROM annotation WHERE acct = ?1 OR who = ?1",
		"DELETE FROM sent WHERE acct = ?1", "DELETE FROM sent_to WHERE acct = ?1", "DELETE FROM acct WHERE id = ?1",
	} {
		if _, err := t.exec(q, int64(a)); err != nil {
			return err
		}
	}
	return nil
}
