package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"postrider/store"
)

// keepOps is how long what an idempotency key did is remembered.
const keepOps = 7 * 24 * time.Hour

// opDone tells whether op was done before, and reads its result.
func opDone(t *tx, acct int64, op store.OpID, kind string, result any) (bool, error) {
	if op == "" {
		return false, nil
	}
	var was string
	var data []byte
	if was, data = t.filing.opOf(acct, op); data == nil {
		err := t.get("SELECT kind, result FROM op WHERE acct = ?1 AND op = ?2", args(acct, string(op)), &was, &data)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
	}
	if was != kind {
		return false, store.Errorf(store.Invalid, kind, "operation %q was done before, as %s", op, was)
	}
	if err := json.Unmarshal(data, result); err != nil {
		return false, fmt.Errorf("result of operation %q: %w", op, err)
	}
	return true, nil
}

// opBefore is opDone for what cannot be written: on a full disk, an operation
// that was done is still done.
func (e *Engine) opBefore(ctx context.Context, acct int64, op store.OpID, kind string, result any) (found bool, err error) {
	if op == "" {
		return false, nil
	}
	err = e.read(ctx, kind, func(t *tx) (err error) {
		found, err = opDone(t, acct, op, kind, result)
		return err
	})
	return found, err
}

// opRecord remembers what op did.
func opRecord(t *tx, acct int64, op store.OpID, kind string, result any) error {
	if op == "" {
		return nil
	}
	data, err := json.Marshal(result)
	if err != nil {
		return err
	}
	t.filing.addOp(pendingOp{opKey{acct, string(op)}, kind, data, t.now})
	return nil
}
