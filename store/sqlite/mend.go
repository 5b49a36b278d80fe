package sqlite

import (
	"fmt"
	"strings"

	"postrider/store"
)

// mend makes what was salvaged whole: what refers to nothing goes, what can be
// worked out is worked out.
func (r *repair) mend() error {
	for _, step := range []func() error{
		r.mendAccounts, r.mendMailboxes, r.readPages, r.mendBodies, r.mendMessages, r.mendQueue, r.asideBodies, r.mendGone,
		r.writePages, r.mendNumbers, r.mendRest, r.mendJourneys,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return r.t.get("SELECT count(*) FROM message", nil, &r.out.Messages)
}

// all runs statements whose only parameter, if they have one, is the time.
func (r *repair) all(queries ...string) error {
	for _, q := range queries {
		var params []any
		if strings.Contains(q, "?1") {
			params = args(r.t.now)
		}
		if _, err := r.t.exec(q, params...); err != nil {
			return fmt.Errorf("%w in %s", err, q)
		}
	}
	return nil
}

// tell notes what a query answers.
func (r *repair) tell(query string) error {
	return r.t.each(query, nil, func(scan func(...any) error) error {
		var s string
		err := scan(&s)
		r.say("%s", s)
		return err
	})
}

// lostDomain is where accounts get an address that have none any more.
const lostDomain = "lost.invalid"

// everyAccount names each account that anything belongs to.
const everyAccount = `(SELECT id FROM account UNION SELECT id FROM acct UNION SELECT acct FROM mailbox UNION SELECT acct FROM message
	UNION SELECT account FROM address WHERE account IS NOT NULL)`

// mendAccounts sees to it that everything with mail is an account, and every
// account has its address, domain and counters.
func (r *repair) mendAccounts() error {
	err := r.tell(`SELECT printf('account %d has lost its name: it is lost-%d@` + lostDomain + ` unless an address names it', id, id)
		FROM ` + everyAccount + ` WHERE id > 0 AND id NOT IN (SELECT id FROM account)`)
	if err != nil {
		return err
	}
	err = r.all(
		`DELETE FROM acct WHERE id < 1`, `DELETE FROM mailbox WHERE acct < 1 OR id < 1`, `DELETE FROM message WHERE acct < 1 OR mbox < 1`,
		`DELETE FROM account WHERE id < 1`, `UPDATE address SET account = NULL WHERE account < 1`,
		`DELETE FROM address WHERE local = '' AND account IS NULL AND key NOT LIKE '@%'`,
		`INSERT OR IGNORE INTO account (id, address, created) SELECT id,
			ifnull((SELECT min(key) FROM address WHERE account = x.id), printf('lost-%d@`+lostDomain+`', id)), ?1
			FROM `+everyAccount+` x WHERE id NOT IN (SELECT id FROM account)`,
		// That address may be another account's.
		`INSERT OR IGNORE INTO account (id, address, created) SELECT id, printf('lost-%d@`+lostDomain+`', id), ?1
			FROM `+everyAccount+` x WHERE id NOT IN (SELECT id FROM account)`,
		`INSERT OR IGNORE INTO acct (id) SELECT id FROM account`,
		// A domain for every address, by its name.
		`INSERT OR IGNORE INTO domain (name, created) SELECT DISTINCT substr(address, instr(address, '@') + 1), ?1 FROM account
			WHERE NOT EXISTS (SELECT 1 FROM address a WHERE a.key = account.address)`,
		`INSERT OR IGNORE INTO domain (id, name, created) SELECT domain, substr(key, instr(key, '@') + 1), ?1 FROM address WHERE domain NOT IN (SELECT id FROM domain)`,
		`UPDATE address SET domain = (SELECT id FROM domain WHERE name = substr(key, instr(key, '@') + 1))
			WHERE domain NOT IN (SELECT id FROM domain) AND substr(key, instr(key, '@') + 1) IN (SELECT name FROM domain)`,
		`INSERT OR IGNORE INTO address (key, domain, account, local, host)
			SELECT address, (SELECT id FROM domain WHERE name = substr(address, instr(address, '@') + 1)), id,
				substr(address, 1, instr(address, '@') - 1), substr(address, instr(address, '@') + 1)
			FROM account WHERE NOT EXISTS (SELECT 1 FROM address a WHERE a.key = account.address)`,
		`UPDATE address SET account = (SELECT id FROM account WHERE address = key)
			WHERE key IN (SELECT address FROM account)`,
	)
	if err != nil {
		return err
	}
	return r.tell(`SELECT printf('%s has no password any more: set one with postrider account passwd', address) FROM account
		WHERE id NOT IN (SELECT account FROM credential)`)
}

// mendMailboxes makes mailboxes for messages that have none, an INBOX for
// every account, and names and UIDVALIDITYs that can be.
func (r *repair) mendMailboxes() error {
	err := r.t.each(`SELECT DISTINCT acct, mbox FROM message m WHERE NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = m.acct AND b.id = m.mbox)`, nil,
		func(scan func(...any) error) error {
			var box store.MailboxID
			err := scan(&box.Account, &box.N)
			r.doubt[box] = true
			return err
		})
	if err != nil {
		return err
	}
	err = r.tell(`SELECT DISTINCT printf('a mailbox of account %d has lost its name: it is Recovered %d', acct, mbox) FROM message m
		WHERE NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = m.acct AND b.id = m.mbox)`)
	if err != nil {
		return err
	}
	err = r.all(`INSERT OR IGNORE INTO mailbox (acct, id, name, uidvalidity, modseq, created_modseq)
			SELECT DISTINCT acct, mbox, printf('Recovered %d', mbox), 1, 1, 1 FROM message m
			WHERE NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = m.acct AND b.id = m.mbox)`,
		`INSERT INTO mailbox (acct, id, name, uidvalidity, modseq, created_modseq)
			SELECT id, ifnull((SELECT max(id) FROM mailbox b WHERE b.acct = acct.id), 0) + 1, 'INBOX', ?1 / 1000000, 1, 1 FROM acct
			WHERE id NOT IN (SELECT acct FROM mailbox WHERE name = 'INBOX')`)
	if err != nil {
		return err
	}
	type named struct {
		box      store.MailboxID
		name     string
		validity int64
	}
	var all []named
	err = r.t.each("SELECT acct, id, name, uidvalidity FROM mailbox", nil, func(scan func(...any) error) error {
		var n named
		err := scan(&n.box.Account, &n.box.N, &n.name, &n.validity)
		all = append(all, n)
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range all {
		if n.validity < 1 || n.validity > 1<<32-1 {
			r.doubt[n.box] = true
		}
		if clean, err := cleanName("repair", n.name); err != nil || clean != n.name {
			if _, err := r.t.exec("UPDATE mailbox SET name = printf('Recovered %d', id) WHERE acct = ?1 AND id = ?2", int64(n.box.Account), n.box.N); err != nil {
				return err
			}
			r.say("mailbox %d of account %d had the name %q, and is Recovered %d", n.box.N, n.box.Account, n.name, n.box.N)
		}
	}
	return nil
}

// readPages notes what the old pages know of messages. They go, and are
// written anew later.
func (r *repair) readPages() error {
	err := r.t.each("SELECT acct, mbox, data FROM message_page", nil, func(scan func(...any) error) error {
		var box store.MailboxID
		var data []byte
		if err := scan(&box.Account, &box.N, &data); err != nil {
			return err
		}
		var rows store.Rows
		if decodePage(data, box, &rows) != nil {
			return nil
		}
		if r.rows[box] == nil {
			r.rows[box] = map[store.UID]store.Row{}
		}
		for i := range rows.UID {
			r.rows[box][rows.UID[i]] = rows.At(i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.all("DELETE FROM message_page")
}

// mendGone keeps the runs of expunged messages that can be.
func (r *repair) mendGone() error {
	const wrong = `FROM gone AS g WHERE uid_lo > uid_hi OR uid_lo < 1 OR uid_hi > 4294967294
		OR NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = g.acct AND b.id = g.mbox)
		OR EXISTS (SELECT 1 FROM message m WHERE m.acct = g.acct AND m.mbox = g.mbox AND m.uid BETWEEN g.uid_lo AND g.uid_hi)
		OR EXISTS (SELECT 1 FROM gone h WHERE h.acct = g.acct AND h.mbox = g.mbox AND h.uid_lo <= g.uid_hi AND h.uid_hi >= g.uid_lo
			AND (h.modseq, h.uid_lo) <> (g.modseq, g.uid_lo))`
	err := r.t.each("SELECT DISTINCT acct, mbox "+wrong, nil, func(scan func(...any) error) error {
		var box store.MailboxID
		err := scan(&box.Account, &box.N)
		r.doubt[box] = true
		return err
	})
	if err != nil {
		return err
	}
	_, err = r.t.exec("DELETE " + wrong)
	return err
}

// mendQueue drops what cannot be sent, and works out when each destination is
// due.
func (r *repair) mendQueue() error {
	err := r.tell(`SELECT printf('the message %s from %s@%s to %s@%s is lost from the queue', o.origin, o.sender_local, o.sender_host, c.local, c.host)
		FROM out o JOIN out_rcpt c ON c.out = o.id WHERE o.body NOT IN (SELECT id FROM body)`)
	if err != nil {
		return err
	}
	return r.all(
		`DELETE FROM out WHERE body NOT IN (SELECT id FROM body)`,
		`DELETE FROM out_rcpt WHERE (out NOT IN (SELECT id FROM out) OR state NOT IN (0, 1) OR typeof(dest) <> 'text')`,
		`DELETE FROM out WHERE id NOT IN (SELECT out FROM out_rcpt)`,
		`DELETE FROM dest`,
		`UPDATE out_rcpt SET owner = '', leased_until = 0, fence = fence + 1 WHERE owner <> ''`,
		`INSERT INTO dest (name, due) SELECT dest, min(iif(state = 0, due, NULL)) FROM out_rcpt GROUP BY dest`,
	)
}

// mendRest removes what belongs to nothing.
func (r *repair) mendRest() error {
	err := r.all(
		`DELETE FROM alias_target WHERE key NOT IN (SELECT key FROM address)`,
		`DELETE FROM credential WHERE account NOT IN (SELECT id FROM account)`,
		`DELETE FROM subscription WHERE acct NOT IN (SELECT id FROM acct)`,
		`DELETE FROM msgref WHERE acct NOT IN (SELECT id FROM acct)`,
		`DELETE FROM op WHERE acct <> 0 AND acct NOT IN (SELECT id FROM acct)`,
		`DELETE FROM gone_mbox WHERE acct NOT IN (SELECT id FROM acct)`,
		`DELETE FROM address WHERE (domain NOT IN (SELECT id FROM domain) OR account IS NOT NULL AND account NOT IN (SELECT id FROM account))`,
		`DELETE FROM acl AS l WHERE rights NOT BETWEEN 1 AND 2047 OR negative NOT IN (0, 1) OR who = acct
			OR who <> 0 AND who NOT IN (SELECT id FROM account)
			OR NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = l.acct AND b.id = l.mbox)`,
		`DELETE FROM annotation AS n WHERE who <> 0 AND who NOT IN (SELECT id FROM account)
			OR (acct <> 0 OR mbox <> 0) AND NOT EXISTS (SELECT 1 FROM mailbox b WHERE b.acct = n.acct AND b.id = n.mbox)`,
		`DELETE FROM lease`,
		`DELETE FROM body_ref`,
		`INSERT INTO body_ref (id, refs) SELECT body, count(*) FROM (SELECT body FROM message UNION ALL SELECT body FROM out) GROUP BY body HAVING count(*) > 1`,
	)
	return err
}
