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
