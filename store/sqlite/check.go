package sqlite

import (
	"context"
	"fmt"

	"postrider/store"
)

// maxFindings bounds how much one kind of damage is told of.
const maxFindings = 50

// Check verifies every invariant and returns what it found wrong.
func (e *Engine) Check(ctx context.Context, deep bool) ([]string, error) {
	k := &checker{e: e, deep: deep}
	err := e.read(ctx, "check", func(t *tx) error {
		if err := k.database(t); err != nil {
			return err
		}
		for _, r := range rules() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := k.lines(t, r.query); err != nil {
				return fmt.Errorf("%w in %s", err, r.query)
			}
		}
		if err := k.names(t); err != nil {
			return err
		}
		if err := k.journeys(t); err != nil {
			return err
		}
		return k.pages(t)
	})
	if err == nil {
		err = k.bodies(ctx)
	}
	if err == nil {
		err = k.rows(ctx)
	}
	return k.found, wrap("check", err)
}

// checker is one Check under way.
type checker struct {
	e     *Engine
	deep  bool
	done  int64 // bytes of bodies
	total int64
	found []string
	gone  []*stored     // of one batch: no record where they should be
	lost  map[int64]int // bodies that cannot be read, and which of found says so
}

func (k *checker) say(format string, args ...any) {
	k.found = append(k.found, fmt.Sprintf(format, args...))
}

// boxName is a mailbox for people: "INBOX of bob@example.org", or its numbers
// where the names are lost.
func (t *tx) boxName(box store.MailboxID) (name string, err error) {
	err = t.get(`SELECT ifnull((SELECT name FROM mailbox WHERE acct = ?1 AND id = ?2), printf('mailbox %d', ?2)) || ' of ' ||
		ifnull((SELECT address FROM account WHERE id = ?1), printf('account %d', ?1))`, args(int64(box.Account), box.N), &name)
	return name, err
}

// lines adds what a query answers, up to maxFindings.
func (k *checker) lines(t *tx, query string) error {
	n := 0
	return t.each(query, nil, func(scan func(...any) error) error {
		var s string
		if err := scan(&s); err != nil {
			return err
		}
		switch n++; {
		case n <= maxFindings:
			k.found = append(k.found, s)
		case n == maxFindings+1:
			k.say("… and more of the same kind")
		}
		return nil
	})
}

// database has SQLite verify its own structure.
func (k *checker) database(t *tx) error {
	query := "PRAGMA quick_check(20)"
	if k.deep {
		query = "PRAGMA integrity_check(20)"
	}
	err := t.each(query, nil, func(scan func(...any) error) error {
		var s string
		if err := scan(&s); err != nil {
			return err
		}
		if s != "ok" {
			k.say("database: %s", s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return t.each("PRAGMA foreign_key_check", nil, func(scan func(...any) error) error {
		var table, parent string
		var rowid, n any
		err := scan(&table, &rowid, &parent, &n)
		k.say("table %s, row %v: what it refers to in %s is not there", table, rowid, parent)
		return err
	})
}

// names verifies the form of mailbox names.
func (k *checker) names(t *tx) error {
	return t.each("SELECT acct, id, name FROM mailbox", nil, func(scan func(...any) error) error {
		var acct, id int64
		var name string
		if err := scan(&acct, &id, &name); err != nil {
			return err
		}
		if clean, err := cleanName("check", name); err != nil || clean != name {
			k.say("mailbox %d/%d has the name %q, which cannot be", acct, id, name)
		}
		return nil
	})
}
