package store

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestArrivalJSON(t *testing.T) {
	for _, a := range []Arrival{
		{},
		{From: "a@b", To: []string{}},
		{From: `"x y\"z"@b.test`, To: []string{"ü@b.test", "<x>@y", "a\x00b\n"}, Size: 12, Helo: "h\u2028", Addr: "::1", Proto: "ESMTPSA", TLS: "TLS 1.3",
			Auth: "PLAIN", User: "u@b", Account: 7},
	} {
		var got Arrival
		b := a.AppendJSON(nil)
		if err := json.Unmarshal(b, &got); err != nil {
			t.Errorf("%s: %v", b, err)
		}
		if !reflect.DeepEqual(got, a) {
			t.Errorf("%+v came back as %+v", a, got)
		}
	}
}

// journeyFor makes a journey of a message from account 1 to account 2, account
// 3 by Bcc, account 4's alias to outside, and outside.
func journeyFor() *Journey {
	at := time.Unix(1e9, 0)
	ev := func(k EventKind, data any) Event { return NewEvent(k, at, data) }
	return &Journey{ID: "0123456789abcdef", Events: []Event{
		ev(EventSubmitted, &Arrival{From: "one@a.test", To: []string{"two@a.test", "three@a.test", "alias@a.test", "x@b.test"},
			Helo: "laptop", Addr: "192.0.2.7", Proto: "ESMTPSA", User: "one@a.test", Account: 1, Auth: "PLAIN"}),
		ev(EventChecked, map[string]string{"verdict": "accept"}),
		ev(EventQueued, &QueuedFor{Out: 5, Account: 1, From: "one@a.test", Rcpts: []QueuedRcpt{
			{ID: 6, To: "secret@c.test", Via: "alias@a.test", Dest: "c.test"}, {ID: 7, To: "x@b.test", Dest: "b.test"}}}),
		ev(EventFiled, &FiledIn{Account: 2, To: []string{"two@a.test"}, Mailbox: "INBOX", UID: 20, Box: 1}),
		ev(EventFiled, &FiledIn{Account: 3, To: []string{"three@a.test"}, Mailbox: "Hidden", UID: 30, Box: 9}),
		ev(EventAttempt, &Attempt{Dest: "c.test", Rcpts: []RcptID{6}, Lines: []string{"C: RCPT TO:<secret@c.test>"}}),
		ev(EventDelivered, &Outcome{Rcpts: []RcptID{6}, To: []string{"secret@c.test"}, Host: "mx.provider.test", Text: "ok, secret@c.test", Words: "mx.provider.test has taken the message"}),
		ev(EventAttempt, &Attempt{Dest: "b.test", Rcpts: []RcptID{7}, Lines: []string{"C: RCPT TO:<x@b.test>"}}),
		ev(EventDeferred, &Outcome{Rcpts: []RcptID{7}, To: []string{"x@b.test"}, Text: "later"}),
		ev(EventActed, &Acted{What: "held", Rcpts: []RcptID{6, 7}, To: []string{"secret@c.test", "x@b.test"}}),
		ev(EventWaiting, &Waiting{Rcpts: []RcptID{7}, To: []string{"x@b.test"}, Dead: "b.test"}),
		ev(EventWaiting, &Waiting{Rcpts: []RcptID{6}, To: []string{"secret@c.test"}, Dead: "c.test"}),
		ev(EventFetched, &FetchedBy{Account: 3, How: "imap"}),
		ev(EventExpunged, &ExpungedFrom{Account: 2, Mailbox: "INBOX", UID: 20}),
		ev("unheard-of", map[string]string{"to": "secret@c.test"}),
	}}
}

func TestScope(t *testing.T) {
	for _, c := range []struct {
		account AccountID
		kinds   string
		never   []string // in any of what it sees
		has     []string
	}{
		{1, "submitted checked queued filed filed delivered attempt deferred operator waiting waiting", []string{"secret", "c.test", "provider", "Hidden", "imap", `"uid":2`},
			[]string{"three@a.test", "x@b.test", "alias@a.test", "its server has taken the message", "PLAIN", "RCPT TO:<x@b.test>"}},
		{2, "submitted checked filed expunged", []string{"three", "alias", "x@b", "laptop", "192.0.2.7", "PLAIN", "secret"}, []string{"two@a.test", "one@a.test", "ESMTPSA", `"uid":20`}},
		{3, "submitted checked filed fetched", []string{"two", "alias", "x@b", "laptop"}, []string{"three@a.test", "Hidden"}},
	} {
		j, ok := journeyFor().Scope(c.account)
		if !ok {
			t.Fatalf("account %d sees nothing", c.account)
		}
		var kinds, all []string
		for _, ev := range j.Events {
			kinds = append(kinds, string(ev.Kind))
			all = append(all, string(ev.Data))
		}
		if got := strings.Join(kinds, " "); got != c.kinds {
			t.Errorf("account %d sees %s", c.account, got)
		}
		text := strings.Join(all, "\n")
		for _, s := range c.never {
			if strings.Contains(text, s) {
				t.Errorf("account %d sees %q:\n%s", c.account, s, text)
			}
		}
		for _, s := range c.has {
			if !strings.Contains(text, s) {
				t.Errorf("account %d does not see %q:\n%s", c.account, s, text)
			}
		}
	}
	if _, ok := journeyFor().Scope(4); ok {
		t.Error("who has nothing to do with it sees it")
	}
}

func TestUIDSetArithmetic(t *testing.T) {
	a := UIDSet{{1, 3}, {5, 5}, {8, 12}}
	for _, c := range []struct{ b, plus, minus UIDSet }{
		{nil, a, a},
		{UIDSet{{4, 4}}, UIDSet{{1, 5}, {8, 12}}, a},
		{UIDSet{{2, 9}}, UIDSet{{1, 12}}, UIDSet{{1, 1}, {10, 12}}},
		{UIDSet{{1, MaxUID}}, UIDSet{{1, MaxUID}}, nil},
		{UIDSet{{9, 9}, {11, 11}}, a, UIDSet{{1, 3}, {5, 5}, {8, 8}, {10, 10}, {12, 12}}},
		{UIDSet{{12, 20}, {30, 30}}, UIDSet{{1, 3}, {5, 5}, {8, 20}, {30, 30}}, UIDSet{{1, 3}, {5, 5}, {8, 11}}},
	} {
		if got := a.plus(c.b); !reflect.DeepEqual(got, c.plus) {
			t.Errorf("%v + %v = %v, want %v", a, c.b, got, c.plus)
		}
		if got := a.minus(c.b); !reflect.DeepEqual(got, c.minus) {
			t.Errorf("%v - %v = %v, want %v", a, c.b, got, c.minus)
		}
	}
}
