package sqlite

import (
	"database/sql"
	"errors"

	"postrider/store"
)

// newMessage is a row of message on its way in. With a name, that mailbox or
// else INBOX takes it; without, the one with the number mbox.
type newMessage struct {
	acct     int64
	mbox     int64
	name     string
	flags    store.Flags
	received int64
	size     int64
	email    int64
	sum      int64
	origin   string
	prefix   []byte
}

// fileMessage puts a message into a mailbox: counters, UID, thread, row.
func fileMessage(t *tx, m *newMessage, b *newBody) (store.Filed, error) {
	var filed store.Filed
	modseq, err := bumpAccount(t, m.acct, m.size, 1)
	if err != nil {
		return filed, err
	}
	uid, validity, err := bumpMailbox(t, m, modseq)
	if err != nil {
		return filed, err
	}
	thread, err := assignThread(t, m.acct, b.refs, m.email)
	if err != nil {
		return filed, err
	}
	_, err = t.exec(`INSERT INTO message (acct, mbox, uid, created_modseq, received, saved, size, body, email_id, thread_id,
			sum, origin, prefix, cut, shape)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)`,
		m.acct, m.mbox, int64(uid), modseq, m.received, t.now, m.size, b.ID, m.email, thread,
		m.sum^placeOf(m.acct, m.mbox, int64(uid)), m.origin, m.prefix, b.cut, int64(shapeBehind(m.prefix, b.shape)))
	if err != nil {
		return filed, err
	}
	row := store.RowsOf(store.Row{UID: uid, ModSeq: store.ModSeq(modseq), Flags: m.flags, Received: fromMicros(m.received),
		Saved: fromMicros(t.now), Size: m.size, EmailID: m.email, ThreadID: thread})
	if err := appendRows(t, mailboxID(m.acct, m.mbox), &row); err != nil {
		return filed, err
	}
	filed = store.Filed{Mailbox: mailboxID(m.acct, m.mbox), UIDValidity: uint32(validity), UID: uid}
	t.publish(store.Change{Kind: store.MailboxChanged, Account: store.AccountID(m.acct), Mailbox: filed.Mailbox, ModSeq: store.ModSeq(modseq)})
	return filed, nil
}

func mailboxID(acct, mbox int64) store.MailboxID {
	return store.MailboxID{Account: store.AccountID(acct), N: mbox}
}

// bumpAccount raises an account's modseq and counts n messages with bytes in,
// unless that exceeds its quota: Quota, or NotFound without the account.
func bumpAccount(t *tx, acct, bytes, n int64) (modseq int64, err error) {
	err = t.get(`UPDATE acct SET modseq = modseq + 1, bytes = bytes + ?2, count = count + ?3
		WHERE id = ?1 AND (?2 <= 0 OR quota = 0 OR bytes + ?2 <= quota) AND (?3 <= 0 OR quota_count = 0 OR count + ?3 <= quota_count)
		RETURNING modseq`, args(acct, bytes, n), &modseq)
	if !errors.Is(err, sql.ErrNoRows) {
		return modseq, err
	}
	var quota int64
	if err := t.get("SELECT quota FROM acct WHERE id = ?1", args(acct), &quota); err != nil {
		return 0, err
	}
	return 0, store.Errorf(store.Quota, "quota", "account %d has %d bytes", acct, quota)
}

// bumpMailbox counts a message into its mailbox, sets m.mbox and returns the
// message's UID and the mailbox's UIDVALIDITY.
func bumpMailbox(t *tx, m *newMessage, modseq int64) (uid store.UID, validity int64, err error) {
	c := countOf(m.flags.System, m.size)
	var next int64
	if m.name == "" {
		err = t.get(`UPDATE mailbox SET uidnext = uidnext + 1, modseq = ?3, total = total + 1, unseen = unseen + ?4,
			deleted = deleted + ?5, bytes = bytes + ?6, deleted_bytes = deleted_bytes + ?7
			WHERE acct = ?1 AND id = ?2 RETURNING uidnext, uidvalidity`,
			args(m.acct, m.mbox, modseq, c.unseen, c.deleted, c.bytes, c.deletedBytes), &next, &validity)
		return store.UID(next - 1), validity, checkUID(next, err)
	}
	for _, name := range []string{m.name, store.Inbox} {
		err = t.get(`UPDATE mailbox SET uidnext = uidnext + 1, modseq = ?3, total = total + 1, unseen = unseen + ?4,
			deleted = deleted + ?5, bytes = bytes + ?6, deleted_bytes = deleted_bytes + ?7
			WHERE acct = ?1 AND name = ?2 RETURNING id, uidnext, uidvalidity`,
			args(m.acct, name, modseq, c.unseen, c.deleted, c.bytes, c.deletedBytes), &m.mbox, &next, &validity)
		if !errors.Is(err, sql.ErrNoRows) {
			break
		}
	}
	return store.UID(next - 1), validity, checkUID(next, err)
}

// checkUID refuses what would leave the range of UIDs (RFC 9051 §2.3.1.1).
func checkUID(next int64, err error) error {
	if err == nil && next > int64(store.MaxUID) {
		return store.Errorf(store.Denied, "uid", "the mailbox has used up its UIDs")
	}
	return err
}

// counts is what messages add to their mailbox's counters.
type counts struct{ total, unseen, deleted, bytes, deletedBytes int64 }

// countOf returns what one message counts.
func countOf(f store.System, size int64) counts {
	c := counts{total: 1, bytes: size}
	if f&store.Seen == 0 {
		c.unseen = 1
	}
	if f&store.Deleted != 0 {
		c.deleted, c.deletedBytes = 1, size
	}
	return c
}

func (c *counts) add(d counts, n int64) {
	c.total += n * d.total
	c.unseen += n * d.unseen
	c.deleted += n * d.deleted
	c.bytes += n * d.bytes
	c.deletedBytes += n * d.deletedBytes
}
