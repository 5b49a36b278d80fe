package sqlite

import "slices"

// rule is one invariant: a query that answers with a line of text for each
// row that breaks it.
type rule struct{ query string }

// rules are the invariants that SQL can verify, all on one snapshot.
func rules() []rule {
	return slices.Concat(accountRules(), mailboxRules(), sharingRules(), messageRules(), bodyRules(), queueRules(), journeyRules())
}

func accountRules() []rule {
	return []rule{
		{`SELECT printf('account %d has no mail row', id) FROM account WHERE id NOT IN (SELECT id FROM acct)`},
		{`SELECT printf('mail row %d has no account', id) FROM acct WHERE id NOT IN (SELECT id FROM account)`},
		{`SELECT printf('account %d has no address %s', a.id, a.address) FROM account a
			WHERE NOT EXISTS (SELECT 1 FROM address d WHERE d.key = a.address AND d.account = a.id)`},
		{`SELECT printf('account %d counts %d messages of %d bytes and has %d of %d', a.id, a.count, a.bytes, ifnull(m.n, 0), ifnull(m.size, 0))
			FROM acct a LEFT JOIN (SELECT acct, count(*) AS n, sum(size) AS size FROM message GROUP BY acct) m ON m.acct = a.id
			WHERE a.count <> ifnull(m.n, 0) OR a.bytes <> ifnull(m.size, 0)`},
		{`SELECT printf('account %d is at change %d, its mailboxes are at %d', a.id, a.modseq, max(b.modseq)) FROM acct a
			JOIN mailbox b ON b.acct = a.id GROUP BY a.id HAVING a.modseq < max(b.modseq)`},
		{`SELECT printf('account %d is at change %d and had a mailbox deleted at %d', a.id, a.modseq, g.modseq) FROM gone_mbox g
			JOIN acct a ON a.id = g.acct WHERE g.modseq > a.modseq`},
		{`SELECT printf('account %d would give a mailbox the number or UIDVALIDITY of %s again', a.id, b.name) FROM mailbox b
			JOIN acct a ON a.id = b.acct WHERE b.id >= a.next_mbox OR b.uidvalidity > a.last_uidvalidity`},
		{`SELECT printf('account %d has no INBOX', id) FROM acct WHERE id NOT IN (SELECT acct FROM mailbox WHERE name = 'INBOX')`},
		{`SELECT printf('a subscription to %s belongs to no account', name) FROM subscription WHERE acct NOT IN (SELECT id FROM acct)`},
		{`SELECT printf('a thread reference belongs to account %d, which is not there', acct) FROM msgref
			WHERE acct NOT IN (SELECT id FROM acct) GROUP BY acct`},
		{`SELECT printf('operation %s belongs to account %d, which is not there', op, acct) FROM op
			WHERE acct <> 0 AND acct NOT IN (SELECT id FROM acct)`},
	}
}

func mailboxRules() []rule {
	return []rule{
		{`SELECT printf('mailbox %d of account %d belongs to no account', id, acct) FROM mailbox WHERE acct NOT IN (SELECT id FROM acct)`},
		{`SELECT printf('mailbox %d/%d has UIDVALIDITY %d', acct, id, uidvalidity) FROM mailbox WHERE uidvalidity NOT BETWEEN 1 AND 4294967295`},
		{`SELECT printf('mailbox %d/%d would give UID %d again', b.acct, b.id, max(m.uid)) FROM mailbox b
			JOIN message m ON m.acct = b.acct AND m.mbox = b.id GROUP BY b.acct, b.id HAVING max(m.uid) >= b.uidnext`},
		{`SELECT printf('mailbox %d/%d would give the expunged UID %d again', b.acct, b.id, max(g.uid_hi)) FROM mailbox b
			JOIN gone g ON g.acct = b.acct AND g.mbox = b.id GROUP BY b.acct, b.id HAVING max(g.uid_hi) >= b.uidnext`},
		{`SELECT printf('mailbox %d/%d is at change %d, its messages are at %d', b.acct, b.id, b.modseq, max(m.modseq)) FROM mailbox b
			JOIN message_page m ON m.acct = b.acct AND m.mbox = b.id GROUP BY b.acct, b.id HAVING max(m.modseq) > b.modseq`},
		{`SELECT printf('mailbox %d/%d is at change %d, its expunges are at %d', b.acct, b.id, b.modseq, max(g.modseq)) FROM mailbox b
			JOIN gone g ON g.acct = b.acct AND g.mbox = b.id GROUP BY b.acct, b.id HAVING max(g.modseq) > b.modseq`},
	}
}

func sharingRules() []rule {
	return []rule{
		{`SELECT printf('what account %d may do in mailbox %d/%d cannot be: %d', who, acct, mbox, rights) FROM acl l
			WHERE rights NOT BETWEEN 1 AND 2047 OR negative NOT IN (0, 1) OR who = acct OR who <> 0 AND who NOT IN (SELECT id FROM account)
			OR NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = l.acct AND b.id = l.mbox)`},
		{`SELECT printf('the annotation %s of mailbox %d/%d belongs to nothing', name, acct, mbox) FROM annotation n
			WHERE who <> 0 AND who NOT IN (SELECT id FROM account)
			OR (acct <> 0 OR mbox <> 0) AND NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = n.acct AND b.id = n.mbox)`},
	}
}

func messageRules() []rule {
	return []rule{
		{`SELECT printf('message %d/%d/%d is in no mailbox', acct, mbox, uid) FROM message m
			WHERE NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = m.acct AND b.id = m.mbox)`},
		{`SELECT printf('message %d/%d/%d came after the next one', acct, mbox, uid) FROM (SELECT acct, mbox, uid, created_modseq,
				lead(created_modseq) OVER (PARTITION BY acct, mbox ORDER BY uid) AS later FROM message) WHERE created_modseq > later`},
		{`SELECT printf('message %d/%d/%d has an impossible UID', acct, mbox, uid) FROM message WHERE uid NOT BETWEEN 1 AND 4294967294`},
		{`SELECT printf('page from UID %d of mailbox %d/%d is in no mailbox', lo, acct, mbox) FROM message_page m
			WHERE NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = m.acct AND b.id = m.mbox)`},
		{`SELECT printf('message %d/%d/%d is there and counts as expunged', m.acct, m.mbox, m.uid) FROM gone g
			JOIN message m ON m.acct = g.acct AND m.mbox = g.mbox AND m.uid BETWEEN g.uid_lo AND g.uid_hi`},
		{`SELECT printf('message %d/%d/%d has no body %d', acct, mbox, uid, body) FROM message WHERE body NOT IN (SELECT id FROM body)`},
		{`SELECT printf('expunged run %d-%d of mailbox %d/%d is upside down or of no mailbox', uid_lo, uid_hi, acct, mbox) FROM gone g
			WHERE uid_lo > uid_hi OR NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = g.acct AND b.id = g.mbox)`},
		{`SELECT printf('expunged run from %d of mailbox %d/%d overlaps the next', uid_lo, acct, mbox) FROM (SELECT acct, mbox, uid_lo, uid_hi,
				lead(uid_lo) OVER (PARTITION BY acct, mbox ORDER BY uid_lo) AS later FROM gone) WHERE uid_hi >= later`},
	}
}

func bodyRules() []rule {
	return []rule{
		{`SELECT printf('body %d counts %d references and has %d', b.id, ifnull(c.refs, 1), ifnull(r.n, 0)) FROM body b LEFT JOIN body_ref c ON c.id = b.id
			LEFT JOIN (SELECT body, count(*) AS n FROM (SELECT body FROM message UNION ALL SELECT body FROM out) GROUP BY body) r ON r.body = b.id
			WHERE ifnull(c.refs, 1) <> ifnull(r.n, 0)`},
		{`SELECT printf('%d references are counted of body %d, which is not there or has only one', refs, id) FROM body_ref c
			WHERE refs < 2 OR NOT EXISTS (SELECT 1 FROM body b WHERE b.id = c.id)`},
		{`SELECT printf('body %d is in no known place', id) FROM body WHERE place NOT IN (0, 1) OR place = 1 AND (seg < 1 OR off < 0)`},
		{`SELECT printf('body %d stands over the next one, in segment %d at %d', id, seg, off) FROM (SELECT id, seg, off, size,
				lead(off) OVER (PARTITION BY seg ORDER BY off) AS later FROM body WHERE place = 1) WHERE off + size > later`},
		{`SELECT printf('body %d is to be in the database and is not, or has %d bytes and not %d', b.id, length(d.data), b.size) FROM body b
			LEFT JOIN body_data d ON d.id = b.id WHERE b.place = 0 AND ifnull(length(d.data), -1) <> b.size`},
		{`SELECT printf('data of body %d belongs to nothing', id) FROM body_data d
			WHERE NOT EXISTS (SELECT 1 FROM body b WHERE b.id = d.id AND b.place = 0)`},
	}
}

func queueRules() []rule {
	return []rule{
		{`SELECT printf('outgoing message %d has no recipient', id) FROM out WHERE id NOT IN (SELECT out FROM out_rcpt)`},
		{`SELECT printf('outgoing message %d has no body %d', id, body) FROM out WHERE body NOT IN (SELECT id FROM body)`},
		{`SELECT printf('outgoing recipient %d has no message %d', id, out) FROM out_rcpt WHERE out NOT IN (SELECT id FROM out)`},
		{`SELECT printf('outgoing recipient %d has state %d', id, state) FROM out_rcpt WHERE state NOT IN (0, 1)`},
		{`SELECT printf('destination %s is due at %s, its recipients at %s', coalesce(d.name, r.dest), ifnull(d.due, 'no time'), ifnull(r.due, 'no time'))
			FROM dest d FULL JOIN (SELECT dest, min(due) AS due FROM out_rcpt WHERE state = 0 GROUP BY dest) r ON r.dest = d.name
			WHERE d.due IS NOT max(r.due, ifnull(d.open_until, 0))`},
	}
}
