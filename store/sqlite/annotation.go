package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"unicode/utf8"

	"postrider/store"
)

// Annotations returns what is noted about a mailbox or the server.
func (e *Engine) Annotations(ctx context.Context, box store.MailboxID, who store.AccountID) ([]store.Annotation, error) {
	var all []store.Annotation
	err := e.read(ctx, "annotations", func(t *tx) error {
		all = nil
		if err := annotatedIsThere(t, "annotations", box); err != nil {
			return err
		}
		return t.each("SELECT who, name, value FROM annotation WHERE acct = ?1 AND mbox = ?2 AND who IN (0, ?3) ORDER BY name, who",
			args(int64(box.Account), box.N, int64(who)), func(scan func(...any) error) error {
				a := store.Annotation{Value: []byte{}}
				err := scan(&a.Who, &a.Name, &a.Value)
				all = append(all, a)
				return err
			})
	})
	return all, err
}

// annotatedIsThere is NotFound if box is gone; the server is always there.
func annotatedIsThere(t *tx, op string, box store.MailboxID) error {
	if box == (store.MailboxID{}) {
		return nil
	}
	return mailboxIsThere(t, op, box)
}

// Annotate changes what is noted about a mailbox or the server.
func (e *Engine) Annotate(ctx context.Context, box store.MailboxID, changes []store.Annotation) error {
	const op = "annotate"
	for _, a := range changes {
		switch {
		case !cleanAnnotation(a.Name):
			return store.Errorf(store.Invalid, op, "%q cannot be the name of an annotation", a.Name)
		case len(a.Value) > store.MaxAnnotation:
			return store.Errorf(store.TooBig, op, "%s has %d bytes", a.Name, len(a.Value))
		}
	}
	return e.write(ctx, op, func(t *tx) error {
		if err := annotatedIsThere(t, op, box); err != nil {
			return err
		}
		for _, a := range changes {
			if a.Who != 0 {
				if _, err := readAccount(t, op, a.Who); err != nil {
					return err
				}
			}
			if err := annotate(t, box, a); err != nil {
				return err
			}
		}
		return countAnnotations(t, box, changes)
	})
}

func annotate(t *tx, box store.MailboxID, a store.Annotation) error {
	key := args(int64(box.Account), box.N, int64(a.Who), a.Name)
	var was []byte
	err := t.get("SELECT value FROM annotation WHERE acct = ?1 AND mbox = ?2 AND who = ?3 AND name = ?4", key, &was)
	there := err == nil
	switch {
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	case a.Value == nil && !there, a.Value != nil && there && bytes.Equal(a.Value, was):
		return nil
	case a.Value == nil:
		_, err = t.exec("DELETE FROM annotation WHERE acct = ?1 AND mbox = ?2 AND who = ?3 AND name = ?4", key...)
	default:
		_, err = t.exec(`INSERT INTO annotation (acct, mbox, who, name, value) VALUES (?1, ?2, ?3, ?4, ?5)
			ON CONFLICT DO UPDATE SET value = excluded.value`, append(key, a.Value)...)
	}
	t.publish(store.Change{Kind: store.Annotated, Account: box.Account, Mailbox: box, Name: a.Name, Who: a.Who})
	return err
}

// countAnnotations refuses changes that leave too many.
func countAnnotations(t *tx, box store.MailboxID, changes []store.Annotation) error {
	seen := map[store.AccountID]bool{}
	for _, a := range changes {
		if seen[a.Who] || a.Value == nil {
			continue
		}
		seen[a.Who] = true
		var n int
		err := t.get("SELECT count(*) FROM annotation WHERE acct = ?1 AND mbox = ?2 AND who = ?3", args(int64(box.Account), box.N, int64(a.Who)), &n)
		if err != nil {
			return err
		}
		var bytes int64
		err = t.get("SELECT ifnull(sum(length(value) + length(name)), 0) FROM annotation WHERE acct = ?1 AND who = ?2", args(int64(box.Account), int64(a.Who)), &bytes)
		if err != nil {
			return err
		}
		if n > store.MaxAnnotations || bytes > store.MaxAnnotationBytes {
			return store.Errorf(store.Quota, "annotate", "%d annotations, %d bytes", n, bytes)
		}
	}
	return nil
}

// cleanAnnotation tells whether a name is one as it is stored: components
// that are not empty, in lower case, without wildcards or control characters
// (RFC 5464 §3.2).
func cleanAnnotation(name string) bool {
	if len(name) < 2 || len(name) > store.MaxAnnotationName || name[0] != '/' || name[len(name)-1] == '/' ||
		!utf8.ValidString(name) || strings.Contains(name, "//") {
		return false
	}
	for _, c := range name {
		if c < 0x20 || c == 0x7f || c == '*' || c == '%' || c >= 'A' && c <= 'Z' {
			return false
		}
	}
	return true
}
