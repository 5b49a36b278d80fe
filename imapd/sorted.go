package imapd

import (
	"slices"
	"sync"
	"weak"

	"postrider/imapd/order"
	"postrider/store"
)

// How many orders are remembered, and of how many messages each: at most 6.4
// MB.
const (
	sortedOrdersMax = 16
	sortedMessages  = 100_000
)

// sortedOrders remembers the order of all messages of a view, for clients that
// read it page by page (RFC 9394 §3.1) or come back for it. A view never
// changes, so that what was its order is.
type sortedOrders struct {
	mu   sync.Mutex
	list []sortedOrder // the newest last
}

type sortedOrder struct {
	view     weak.Pointer[store.View] // the store decides for how long it is kept
	criteria []order.Criterion
	order    []int32
}

// get returns the remembered order, nil if there is none.
func (o *sortedOrders) get(v *store.View, criteria []order.Criterion) []int32 {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.list {
		if s.view == weak.Make(v) && slices.Equal(s.criteria, criteria) {
			return s.order
		}
	}
	return nil
}

// put remembers an order once, in place of those of views that are no more, or
// of the oldest if there are too many.
func (o *sortedOrders) put(v *store.View, criteria []order.Criterion, sorted []int32) {
	if len(sorted) > sortedMessages {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = slices.DeleteFunc(o.list, func(s sortedOrder) bool {
		// Another session may have sorted the same at the same time.
		return s.view.Value() == nil || s.view == weak.Make(v) && slices.Equal(s.criteria, criteria)
	})
	if len(o.list) >= sortedOrdersMax {
		o.list = slices.Delete(o.list, 0, 1)
	}
	o.list = append(o.list, sortedOrder{weak.Make(v), criteria, sorted})
}
