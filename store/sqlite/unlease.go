package sqlite

import "context"

// Unlease ends the leases of owner. Their fences stay: whoever held one finds
// in Finish that it is lost.
func (e *Engine) Unlease(ctx context.Context, owner string) (int, error) {
	n := 0
	err := e.writeQueue(ctx, "unlease", func(t *tx) error {
		n = 0
		dests := map[string]bool{}
		err := t.each(`UPDATE out_rcpt SET owner = '', leased_until = 0, due = ?2 WHERE owner = ?1 RETURNING dest`,
			args(owner, t.now), func(scan func(...any) error) error {
				var dest string
				err := scan(&dest)
				dests[dest] = true
				n++
				return err
			})
		if err != nil {
			return err
		}
		return refreshDests(t, dests)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}
