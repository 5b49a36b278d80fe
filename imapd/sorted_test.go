package imapd

import (
	"runtime"
	"testing"

	"postrider/imapd/order"
	"postrider/store"
)

// TestSortedOrders shows what is remembered of orders, and that the oldest
// makes room.
func TestSortedOrders(t *testing.T) {
	var o sortedOrders
	bySubject, byDate := []order.Criterion{{Key: order.Subject}}, []order.Criterion{{Key: order.Date, Reverse: true}}
	views := make([]*store.View, sortedOrdersMax)
	for i := range views {
		views[i] = new(store.View)
		o.put(views[i], bySubject, []int32{int32(i)})
	}
	for i, v := range views {
		if got := o.get(v, bySubject); len(got) != 1 || got[0] != int32(i) {
			t.Errorf("of view %d: %v", i, got)
		}
		if got := o.get(v, byDate); got != nil {
			t.Errorf("of view %d by another criterion: %v", i, got)
		}
	}
	o.put(views[1], byDate, []int32{100})
	if o.get(views[0], bySubject) != nil || o.get(views[1], bySubject) == nil || o.get(views[1], byDate)[0] != 100 {
		t.Error("the oldest did not make room, or another did")
	}
	if o.put(views[1], byDate, []int32{100}); o.get(views[1], bySubject) == nil {
		t.Error("an order is there twice, and took another's place")
	}
	if o.put(views[2], byDate, make([]int32, sortedMessages+1)); o.get(views[2], byDate) != nil {
		t.Error("a very large order is remembered")
	}
	if runtime.KeepAlive(views); len(o.list) > sortedOrdersMax {
		t.Errorf("%d orders", len(o.list))
	}
}
