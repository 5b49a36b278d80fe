package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/smtpc"
	"postrider/smtpc/smtpctest"
	"postrider/store"
)

// journey is a message's journey as "kind words", an attempt with its last
// line.
func (r *rig) journey(id mail.ID) []string {
	r.t.Helper()
	j, err := r.store.Journey(context.Background(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, ev := range j.Events {
		var d struct {
			Words, Text, Tells string
			About              mail.ID
			To                 json.RawMessage
			Lines              []string
			Next               time.Time
		}
		if err := json.Unmarshal(ev.Data, &d); err != nil {
			r.t.Fatal(err)
		}
		s := string(ev.Kind)
		switch {
		case d.Words != "":
			s += fmt.Sprintf(" %s %s", d.To, d.Words)
		case d.Tells != "":
			s += " " + d.Tells
		}
		if n := len(d.Lines); n > 0 {
			s += " " + d.Lines[n-1]
		}
		out = append(out, s)
	}
	return out
}

func (r *rig) wantJourney(id mail.ID, want ...string) {
	r.t.Helper()
	got := r.journey(id)
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("journey:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestJourneyOfAMessageThatIsDelivered(t *testing.T) {
	r := newRig(t, smtpctest.New(t, smtpctest.Options{})).run()
	id := r.send(nil, "bob@b.test", "carol@b.test")
	r.empty()
	r.wantJourney(id, "submitted", "queued", "attempt S: 250 2.0.0 queued as 42",
		`delivered ["bob@b.test","carol@b.test"] mx.b.test has taken the message`)
	j, _ := r.store.Journey(context.Background(), id)
	var a store.Attempt
	if err := json.Unmarshal(j.Events[2].Data, &a); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(a.Lines, "\n")
	for _, want := range []string{"-- MX b.test: 10 mx.b.test", "C: MAIL FROM:<alice@a.test>", "C: RCPT TO:<carol@b.test>", "C: DATA", "C: ["} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in the dialogue:\n%s", want, text)
		}
	}
	if strings.Contains(text, "hello") || a.Host != "mx.b.test" || a.Try != 1 || len(a.Rcpts) != 2 {
		t.Errorf("attempt %+v", a)
	}
}

func TestJourneyOfAMessageThatWaits(t *testing.T) {
	full := true
	remote := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		switch {
		case strings.HasPrefix(l, "RCPT") && full:
			full = false
			return "452 4.2.2 over quota"
		case strings.HasPrefix(l, "RCPT"):
			return "550 5.1.1 unknown"
		}
		return smtpctest.Default
	}})
	r := newRig(t, remote).run()
	id := r.send(nil, "bob@b.test")
	r.tried(1)
	r.later(time.Hour)
	r.empty()
	r.wantJourney(id, "submitted", "queued",
		"attempt S: 250 2.0.0 ok", `deferred ["bob@b.test"] mx.b.test says its mailbox is full`,
		"attempt S: 250 2.0.0 ok", `bounced ["bob@b.test"] mx.b.test says there is no such address there`, "notice failed")
	j, _ := r.store.Journey(context.Background(), id)
	var n store.NoticeOf
	if err := json.Unmarshal(j.Events[6].Data, &n); err != nil {
		t.Fatal(err)
	}
	r.wantJourney(n.Notice, "submitted", "notice failed", "filed")
}

func TestDialogueIsBounded(t *testing.T) {
	lines := make([]smtpc.Line, 500)
	for i := range lines {
		lines[i] = smtpc.Line{Dir: smtpc.Received, Text: fmt.Sprint(i)}
	}
	got := dialogue(lines)
	if len(got) != maxDialogue+1 || got[0] != "S: 0" || got[maxDialogue] != "S: 499" || got[maxDialogue/2] != "-- 380 lines left out" {
		t.Errorf("%d lines, %q … %q … %q", len(got), got[0], got[maxDialogue/2], got[len(got)-1])
	}
	if got := dialogue(lines[:3]); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func TestInWords(t *testing.T) {
	rcpt := store.OutRcpt{Dest: "b.test"}
	for _, c := range []struct {
		o       smtpc.Outcome
		expired bool
		want    string
	}{
		{smtpc.Outcome{Status: smtpc.Delivered, Code: 250, Enhanced: "2.0.0", Host: "mx"}, false, "mx has taken the message"},
		{smtpc.Outcome{Code: 452, Enhanced: "4.2.2", Text: "x", Host: "mx1.example.net"}, false, "mx1.example.net says its mailbox is full"},
		{smtpc.Outcome{Code: 451, Enhanced: "4.9.9", Text: "x", Host: "mx"}, false, "mx cannot take the message now"},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 554, Enhanced: "5.9.9", Text: "x", Host: "mx"}, false, "mx refuses the message"},
		{smtpc.Outcome{Enhanced: "4.4.1", Text: "Connecting failed", Host: "mx"}, true, "connecting failed (mx); the time for trying is over"},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 550, Enhanced: "5.7.26", Text: "x"}, false,
			"b.test says the message fails its checks of the sender (SPF, DKIM, DMARC)"},
		{smtpc.Outcome{Enhanced: "4.4.3", Text: "DNS is down"}, false, "DNS is down"},
		{smtpc.Outcome{Code: 450, Enhanced: "4.7.1", Text: "greylisted", Host: "mx"}, false,
			"mx says to come back later, as servers do with strangers and when too much comes at once"},
		{smtpc.Outcome{Code: 421, Enhanced: "4.0.0", Text: "x", Host: "mx"}, false, "mx says it takes no mail at the moment"},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 554, Enhanced: "5.7.1", Text: "x", Host: "mx"}, false,
			"mx says it does not want this message, by a rule of its own"},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 550, Enhanced: "5.7.606", Text: "x", Host: "mx"}, false,
			"mx says it does not want this message, by a rule of its own"},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 552, Enhanced: "5.0.0", Text: "x", Host: "mx"}, false,
			"mx says its mailbox is full, or the message too big"},
		{smtpc.Outcome{Status: smtpc.Permanent, Code: 599, Enhanced: "5.0.0", Text: "x", Host: "mx"}, false, "mx refuses the message"},
		{smtpc.Outcome{Code: 451, Enhanced: "4.7.5", Text: "x", Host: "mx"}, false,
			"mx says to come back later, as servers do with strangers and when too much comes at once"},
	} {
		if got := inWords(&verdict{rcpt: rcpt, outcome: c.o, expired: c.expired}); got != c.want {
			t.Errorf("%+v: %q, want %q", c.o, got, c.want)
		}
	}
}
