package queue

import (
	"fmt"
	"strings"
	"time"

	"postrider/smtpc"
	"postrider/store"
)

// maxDialogue bounds what a journey keeps of one dialogue: its beginning, and
// its end, where the reason is.
const maxDialogue = 120

// dialogue is an attempt's record as a journey keeps it.
func dialogue(lines []smtpc.Line) []string {
	out := make([]string, 0, min(len(lines), maxDialogue+1))
	for i, l := range lines {
		if over := len(lines) - maxDialogue; over > 0 && i >= maxDialogue/2 && i < maxDialogue/2+over {
			if i == maxDialogue/2 {
				out = append(out, fmt.Sprintf("-- %d lines left out", over))
			}
			continue
		}
		mark := "-- "
		switch l.Dir {
		case smtpc.Sent:
			mark = "C: "
		case smtpc.Received:
			mark = "S: "
		}
		out = append(out, mark+l.Text)
	}
	return out
}

// attempted is the event of an attempt for some of a message's recipients.
func attempted(m *store.Leased, open []int, res *smtpc.Result, began, ended time.Time) store.Event {
	a := store.Attempt{Dest: m.Rcpts[0].Dest, Try: m.Rcpts[0].Tries + 1, Ms: ended.Sub(began).Milliseconds(), Lines: dialogue(res.Lines)}
	for _, i := range open {
		a.Rcpts = append(a.Rcpts, m.Rcpts[i].ID)
	}
	for _, o := range res.Outcomes {
		if o.Addr != "" || a.Host == "" {
			a.Host, a.Addr, a.TLS, a.Policy, a.Route = o.Host, o.Addr, o.TLS, o.Policy, o.Route
		}
	}
	return store.NewEvent(store.EventAttempt, began, &a)
}

// addEvents puts an attempt and what it meant for each recipient into the
// outcomes that are to be written. Recipients with the same outcome share an
// event.
func (r *result) addEvents(at time.Time) {
	type key struct {
		outcome smtpc.Outcome
		due     time.Time
		done    bool
		expired bool
	}
	events := map[key]*store.Outcome{}
	var order []key
	for i := range r.verdicts {
		v := &r.verdicts[i]
		v.write.Events = nil
		if !v.write.Attempt {
			continue
		}
		k := key{v.outcome, v.write.Due, v.write.Done, v.expired}
		o := events[k]
		if o == nil {
			o = outcomeOf(v)
			events[k], order = o, append(order, k)
		}
		o.Rcpts, o.To = append(o.Rcpts, v.rcpt.ID), append(o.To, v.rcpt.Recipient.Addr.String())
	}
	if len(order) == 0 {
		return
	}
	var all []store.Event
	if r.attempt != nil {
		all = append(all, *r.attempt)
	}
	for _, k := range order {
		kind := store.EventDeferred
		switch {
		case k.done && k.outcome.Status == smtpc.Delivered:
			kind = store.EventDelivered
		case k.done:
			kind = store.EventBounced
		}
		all = append(all, store.NewEvent(kind, at, events[k]))
	}
	for i, n := range r.notices {
		all = append(all, store.NewEvent(store.EventNotice, at, &store.NoticeOf{Notice: n.ID, Tells: r.about[i].String(), To: r.sender.String()}))
	}
	r.verdicts[0].write.Events = all
}

func outcomeOf(v *verdict) *store.Outcome {
	o := v.outcome
	return &store.Outcome{Host: o.Host, Addr: o.Addr, TLS: o.TLS, Code: o.Code, Enhanced: o.Enhanced, Text: cut(o.Text),
		Words: inWords(v), Next: v.write.Due, Expired: v.expired}
}

// inWords is what became of a recipient, for people: "mx1.example.net says
// that the mailbox is full".
func inWords(v *verdict) string {
	o := &v.outcome
	host := o.Host
	if host == "" {
		host = v.rcpt.Dest
	}
	if o.Status == smtpc.Delivered {
		return host + " has taken the message"
	}
	var b strings.Builder
	why := said(o)
	switch {
	case o.Code == 0:
		b.WriteString(lowerFirst(o.Text))
		if o.Host != "" && !strings.Contains(o.Text, o.Host) {
			b.WriteString(" (" + o.Host + ")")
		}
	case why != "":
		b.WriteString(host + " says " + why)
	case o.Status == smtpc.Permanent:
		b.WriteString(host + " refuses the message")
	default:
		b.WriteString(host + " cannot take the message now")
	}
	if v.expired {
		b.WriteString("; the time for trying is over")
	}
	return b.String()
}

// said is a reply as the end of "the server says …", by its enhanced status
// code (RFC 3463 §3) or, if that tells nothing, by the other.
func said(o *smtpc.Outcome) string {
	class, code, _ := strings.Cut(o.Enhanced, ".")
	if class == "4" && comeBack(code) {
		return "to come back later, as servers do with strangers and when too much comes at once"
	}
	switch code {
	case "0.0":
		return plainly(o.Code)
	case "1.0":
		return "it does not accept the recipient's address, or the sender's"
	case "1.1":
		return "there is no such address there"
	case "1.2", "1.10":
		return "its domain takes no mail"
	case "1.3":
		return "the address is not written correctly"
	case "1.6":
		return "the mailbox has moved"
	case "1.7", "1.8":
		return "the sender's address is not valid"
	case "4.5", "3.2":
		return "it is too busy now"
	case "2.1":
		return "the mailbox is disabled"
	case "2.2":
		return "its mailbox is full"
	case "2.3", "3.4":
		return "the message is too big"
	case "3.1":
		return "its disk is full"
	case "4.6":
		return "the mail goes round in a circle"
	case "5.3":
		return "there are too many recipients at once"
	case "7.0", "7.1":
		return "it does not want this message, by a rule of its own"
	case "7.8":
		return "it does not accept the login"
	case "7.20", "7.21", "7.22":
		return "the message has no valid DKIM signature"
	case "7.23", "7.24":
		return "this server may not send for the sender's domain (SPF)"
	case "7.25":
		return "this server's address has no proper name in the DNS"
	case "7.26":
		return "the message fails its checks of the sender (SPF, DKIM, DMARC)"
	case "7.27":
		return "the sender's domain takes no mail"
	case "7.30":
		return "it may take the message over TLS alone"
	}
	if strings.HasPrefix(code, "7.") {
		return said(&smtpc.Outcome{Enhanced: class + ".7.1"})
	}
	return ""
}

// comeBack tells whether a temporary status is what greylisting and limits of
// the rate have, whatever else it may mean.
func comeBack(code string) bool {
	switch code {
	case "2.0", "7.0", "7.1", "7.28":
		return true
	}
	return false
}

// plainly is what a reply code alone says (RFC 5321 §4.2.3).
func plainly(code int) string {
	switch code {
	case 421:
		return "it takes no mail at the moment"
	case 450:
		return "the mailbox cannot be reached at the moment"
	case 451:
		return "it has a fault of its own at the moment"
	case 452:
		return "it has no room at the moment"
	case 500, 501, 502, 503, 504, 555:
		return "it does not understand what this server said"
	case 530:
		return "it wants a login, or TLS, first"
	case 550:
		return "there is no such mailbox, or it does not want the message"
	case 551:
		return "the address is somewhere else"
	case 552:
		return "its mailbox is full, or the message too big"
	case 553:
		return "the address is not allowed there"
	case 554:
		return "it does not want the message"
	}
	return ""
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] < 'A' || s[1] > 'Z') {
		return string(s[0]+'a'-'A') + s[1:]
	}
	return s
}
