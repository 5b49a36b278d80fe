package store

import (
	"encoding/json"
	"slices"
	"strings"
)

// Scope is the part of a journey that an account may see; false if it has no
// part in the message at all.
//
// Who sent it sees how it was taken, all recipients that he wrote to, and what
// became of each; not where in somebody's mailbox it is, when it was read, nor
// where an alias leads. Who received it sees where it came from and his own
// copy; never another recipient, so that those of a Bcc stay hidden from each
// other, and nothing of a fellow user's login and address.
func (j *Journey) Scope(a AccountID) (*Journey, bool) {
	v := scope{account: a, via: map[RcptID]QueuedRcpt{}}
	for _, ev := range j.Events {
		v.look(ev)
	}
	if !v.sent && !v.received {
		return nil, false
	}
	out := &Journey{ID: j.ID}
	for _, ev := range j.Events {
		if data := v.view(ev); data != nil {
			out.Events = append(out.Events, NewEvent(ev.Kind, ev.At, data))
		}
	}
	return out, true
}

// scope is what an account has to do with a message.
type scope struct {
	account        AccountID
	sent, received bool
	mine           []string              // recipients that led to the account
	via            map[RcptID]QueuedRcpt // recipients that an alias led to
}

func (v *scope) look(ev Event) {
	switch ev.Kind {
	case EventReceived, EventSubmitted:
		a := read[Arrival](ev)
		v.sent = v.sent || a.Account == v.account
	case EventFiled:
		if f := read[FiledIn](ev); f.Account == v.account {
			v.received = true
			v.mine = append(v.mine, f.To...)
		}
	case EventQueued:
		for _, r := range read[QueuedFor](ev).Rcpts {
			if r.Via != "" {
				v.via[r.ID] = r
			}
		}
	}
}

// read reads an event's data; what it cannot read stays empty.
func read[T any](ev Event) T {
	var d T
	_ = json.Unmarshal(ev.Data, &d)
	return d
}

// view is an event's data as the account sees it, nil if it does not.
func (v *scope) view(ev Event) any {
	switch ev.Kind {
	case EventReceived, EventSubmitted:
		return v.arrival(ev.Kind, read[Arrival](ev))
	case EventChecked:
		return ev.Data
	case EventFiled:
		return v.filed(read[FiledIn](ev))
	case EventFetched:
		if f := read[FetchedBy](ev); f.Account == v.account {
			return f
		}
		return nil
	case EventExpunged:
		if x := read[ExpungedFrom](ev); x.Account == v.account {
			return x
		}
		return nil
	}
	if !v.sent {
		return nil
	}
	switch ev.Kind {
	case EventQueued:
		q := read[QueuedFor](ev)
		for i, r := range q.Rcpts {
			if r.Via != "" {
				q.Rcpts[i] = QueuedRcpt{ID: r.ID, To: r.Via}
			}
		}
		return q
	case EventAttempt:
		a := read[Attempt](ev)
		if slices.ContainsFunc(a.Rcpts, v.hidden) {
			return nil // the dialogue names whom an alias leads to
		}
		return a
	case EventDelivered, EventDeferred, EventBounced:
		return v.outcome(read[Outcome](ev))
	case EventWaiting:
		x := read[Waiting](ev)
		x.To = v.written(x.Rcpts, x.To)
		if slices.ContainsFunc(x.Rcpts, v.hidden) {
			x.Dead = ""
		}
		return x
	case EventActed:
		a := read[Acted](ev)
		a.To = v.written(a.Rcpts, a.To)
		return a
	case EventRefused, EventNotice, EventSigned:
		return ev.Data
	}
	return nil
}

func (v *scope) hidden(id RcptID) bool {
	_, ok := v.via[id]
	return ok
}

// written are recipients as the sender wrote them.
func (v *scope) written(ids []RcptID, to []string) []string {
	to = slices.Clone(to)
	for i, id := range ids {
		if r, ok := v.via[id]; ok && i < len(to) {
			to[i] = r.Via
		}
	}
	return to
}

func (v *scope) arrival(kind EventKind, a Arrival) any {
	if v.sent {
		return a
	}
	a.To = slices.DeleteFunc(a.To, func(to string) bool { return !slices.Contains(v.mine, to) })
	if kind == EventSubmitted {
		return Arrival{From: a.From, To: a.To, Size: a.Size, Proto: a.Proto}
	}
	return a
}

func (v *scope) filed(f FiledIn) any {
	switch {
	case f.Account == v.account:
		return f
	case v.sent:
		return FiledIn{To: f.To}
	}
	return nil
}

func (v *scope) outcome(o Outcome) any {
	for _, id := range o.Rcpts {
		r, ok := v.via[id]
		if !ok {
			continue
		}
		if o.Host != "" {
			o.Words = strings.ReplaceAll(o.Words, o.Host, "its server")
		}
		o.Words = strings.ReplaceAll(o.Words, r.Dest, "…")
		o.Text = without(o.Text, r.To, r.Dest, o.Host)
		o.Words = without(o.Words, r.To)
	}
	if slices.ContainsFunc(o.Rcpts, v.hidden) {
		o.Host, o.Addr = "", ""
	}
	o.To = v.written(o.Rcpts, o.To)
	return o
}

// without is s if it names none of what is hidden, in any case.
func without(s string, hidden ...string) string {
	for _, h := range hidden {
		if h != "" && strings.Contains(strings.ToLower(s), strings.ToLower(h)) {
			return ""
		}
	}
	return s
}
