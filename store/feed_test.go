package store

import "testing"

func TestFeedOrderAndMatch(t *testing.T) {
	f := NewFeed()
	all := f.Subscribe(10, nil)
	due := f.Subscribe(10, func(c Change) bool { return c.Kind == OutgoingDue })
	f.Publish(Change{Kind: MailboxChanged, ModSeq: 1}, Change{Kind: OutgoingDue, Dest: "b.test"})
	f.Publish(Change{Kind: MailboxChanged, ModSeq: 2})
	all.Close()
	all.Close()
	due.Close()
	var got []ModSeq
	for c := range all.C() {
		got = append(got, c.ModSeq)
	}
	if len(got) != 3 || got[0] != 1 || got[2] != 2 {
		t.Errorf("all changes: %v", got)
	}
	n := 0
	for c := range due.C() {
		n++
		if c.Dest != "b.test" {
			t.Errorf("matched %+v", c)
		}
	}
	if n != 1 || all.Lost() || due.Lost() {
		t.Errorf("%d due changes, lost %v %v", n, all.Lost(), due.Lost())
	}
}

func TestFeedSlowReader(t *testing.T) {
	f := NewFeed()
	slow, quick := f.Subscribe(2, nil), f.Subscribe(5, nil)
	for i := range 4 {
		f.Publish(Change{ModSeq: ModSeq(i)})
	}
	lost := slow.Lost()
	if len(f.subs) != 1 {
		t.Error("a reader that lost a change is still subscribed")
	}
	slow.Close()
	n := 0
	for range slow.C() {
		n++
	}
	if n != 2 || !lost {
		t.Errorf("slow reader got %d, lost %v", n, lost)
	}
	if len(quick.C()) != 4 || quick.Lost() {
		t.Errorf("quick reader got %d, lost %v", len(quick.C()), quick.Lost())
	}
}

func TestWatchCoalesces(t *testing.T) {
	f := NewFeed()
	id := MailboxID{Account: 1, N: 2}
	w, other := f.Watch(id), f.Watch(MailboxID{Account: 1, N: 3})
	f.Publish(Change{Mailbox: id, ModSeq: 1}, Change{Mailbox: id, ModSeq: 2}, Change{Kind: OutgoingDue})
	if len(w.C()) != 1 || len(other.C()) != 0 {
		t.Fatalf("woken %d and %d times", len(w.C()), len(other.C()))
	}
	<-w.C()
	w.Close()
	w.Close()
	other.Close()
	f.Publish(Change{Mailbox: id})
	if len(w.C()) != 0 || len(f.watches) != 0 {
		t.Errorf("a closed watch was woken, or is still kept")
	}
}
