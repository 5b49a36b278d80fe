package sqlite

import (
	"context"

	"postrider/store"
)

// Subscribe keeps or drops a name in the list of subscriptions.
func (e *Engine) Subscribe(ctx context.Context, a store.AccountID, name string, on bool) error {
	name, err := cleanName("subscribe", name)
	if err != nil {
		return err
	}
	return e.write(ctx, "subscribe", func(t *tx) error {
		if err := accountIsThere(t, "subscribe", a); err != nil {
			return err
		}
		return subscribe(t, a, name, on)
	})
}

func subscribe(t *tx, a store.AccountID, name string, on bool) error {
	q := "DELETE FROM subscription WHERE acct = ?1 AND name = ?2"
	if on {
		q = "INSERT INTO subscription (acct, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
	}
	n, err := t.exec(q, int64(a), name)
	if n > 0 {
		t.publish(store.Change{Kind: store.Subscribed, Account: a, Name: name})
	}
	return err
}

// Subscriptions returns the names an account is subscribed to, sorted.
func (e *Engine) Subscriptions(ctx context.Context, a store.AccountID) ([]string, error) {
	var names []string
	err := e.read(ctx, "subscriptions", func(t *tx) (err error) {
		if err := accountIsThere(t, "subscriptions", a); err != nil {
			return err
		}
		names, err = values[string](t, "SELECT name FROM subscription WHERE acct = ?1 ORDER BY name", args(int64(a)))
		return err
	})
	return names, err
}
