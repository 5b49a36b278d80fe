package sqlite

import (
	"context"

	"postrider/store"
)

// FetchOutgoing reads a queued message, with its meta and its body.
func (e *Engine) FetchOutgoing(ctx context.Context, id store.OutID, fn func(*store.Content) error) error {
	const op, need = "fetch outgoing", store.NeedMeta | store.NeedBody
	var s stored
	err := e.read(ctx, op, func(t *tx) error {
		err := t.get("SELECT "+storedColumns+" FROM out m LEFT JOIN body b ON b.id = m.body WHERE m.id = ?1", args(int64(id)), append(s.dest(), &s.meta)...)
		if err != nil {
			return err
		}
		return e.load(t, &s, need)
	})
	defer s.close()
	if err != nil {
		return err
	}
	c, err := e.content(ctx, &s, need)
	if err != nil {
		return wrap(op, err)
	}
	return fn(c)
}
