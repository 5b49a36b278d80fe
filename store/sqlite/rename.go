package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"strings"

	"postrider/store"
)

// Rename renames a mailbox and its children. There need be only children.
func (e *Engine) Rename(ctx context.Context, a store.AccountID, from, to string) error {
	from, err := cleanName("rename", from)
	if err != nil {
		return notFound("rename", "a name that cannot be: %w", err)
	}
	if to, err = cleanName("rename", to); err != nil {
		return err
	}
	if strings.HasPrefix(to, from+string(store.Delimiter)) && from != store.Inbox {
		return store.Errorf(store.Invalid, "rename", "%q cannot go below itself", from)
	}
	return e.write(ctx, "rename", func(t *tx) error {
		if to == from {
			_, err := mailboxByName(t, a, from)
			return cmp.Or(err, store.Errorf(store.Exists, "rename", "mailbox %q", to))
		}
		if from != store.Inbox {
			return renameTree(t, a, from, to)
		}
		m, err := mailboxByName(t, a, from)
		if err != nil {
			return err
		}
		return renameInbox(t, m, to)
	})
}

// renameInbox moves all messages of INBOX to a new mailbox; its children stay
// (RFC 9051 §6.3.6).
func renameInbox(t *tx, inbox store.Mailbox, to string) error {
	m, err := createMailbox(t, inbox.ID.Account, to, store.UseNone)
	if err != nil {
		return err
	}
	// RFC 5464 §4.1: what is noted about INBOX goes with the messages, and stays.
	_, err = t.exec(`INSERT INTO annotation (acct, mbox, who, name, value)
		SELECT acct, ?2, who, name, value FROM annotation WHERE acct = ?1 AND mbox = ?3`,
		int64(inbox.ID.Account), m.ID.N, inbox.ID.N)
	if err != nil {
		return err
	}
	c := &copier{t: t, from: inbox.ID, to: m.ID, move: true}
	return c.run(store.AllUIDs())
}

// renameTree gives a mailbox and its children new names. None of these may be
// in use, nor that of a name that has only children.
func renameTree(t *tx, a store.AccountID, from, to string) error {
	var tree []store.Mailbox
	below := from + string(store.Delimiter)
	err := t.each("SELECT "+mailboxColumns+" FROM mailbox WHERE acct = ?1 AND (name = ?2 OR substr(name, 1, ?3) = ?4) ORDER BY name",
		args(int64(a), from, len([]rune(below)), below),
		func(scan func(...any) error) error {
			var m store.Mailbox
			err := scan(mailboxDest(&m)...)
			tree = append(tree, m)
			return err
		})
	if err != nil {
		return err
	}
	if len(tree) == 0 {
		return sql.ErrNoRows
	}
	if _, err := mailboxByName(t, a, to); tree[0].Name != from && !errors.Is(err, sql.ErrNoRows) {
		return cmp.Or(err, store.Errorf(store.Exists, "rename", "mailbox %q", to))
	}
	modseq, err := bumpAccount(t, int64(a), 0, 0)
	if err != nil {
		return err
	}
	for _, m := range tree {
		name := to + strings.TrimPrefix(m.Name, from)
		if len(name) > maxName {
			return store.Errorf(store.Invalid, "rename", "%q would have %d bytes", name, len(name))
		}
		_, err := t.exec("UPDATE mailbox SET name = ?3 WHERE acct = ?1 AND id = ?2", int64(a), m.ID.N, name)
		if isUnique(err) {
			return store.Errorf(store.Exists, "rename", "mailbox %q", name)
		}
		if err != nil {
			return err
		}
		t.publish(store.Change{Kind: store.MailboxRenamed, Account: a, Mailbox: store.MailboxID{Account: a, N: m.ID.N},
			ModSeq: store.ModSeq(modseq), Name: name, OldName: m.Name})
	}
	return nil
}
