package smtpd

import (
	"fmt"
	"testing"

	"postrider/store"
)

// A user who has sent too much is told which limit it is, for now or for good.
func TestLimitWords(t *testing.T) {
	for _, c := range []struct {
		l    store.SendLimitError
		want string
	}{
		{store.SendLimitError{Limit: 3}, "450 [4 7 1] You have sent 3 messages today, which is the limit; try again tomorrow"},
		{store.SendLimitError{Limit: 3, Fresh: true}, "450 [4 7 1] You have written to 3 new recipients today, which is the limit; try again tomorrow"},
		{store.SendLimitError{Limit: 3, Fresh: true, Always: true}, "550 [5 7 1] You may write to 3 new recipients a day, and these are more"},
	} {
		err := fmt.Errorf("message x: %w", &store.Error{Kind: store.Busy, Op: "accept", Err: &c.l})
		e, loud := refusalOf(err)
		if got := fmt.Sprintf("%d %v %s", e.Code, e.EnhancedCode, e.Message); got != c.want || loud {
			t.Errorf("%+v: %s", c.l, got)
		}
	}
}
