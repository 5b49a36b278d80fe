package smtpd

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"postrider/delivery"
	"postrider/mail"
	"postrider/store"
)

func TestParseCommand(t *testing.T) {
	for _, c := range []struct{ line, verb, arg string }{
		{"", "", ""},
		{"noop", "NOOP", ""},
		{"QUIT  \t ", "QUIT", ""},
		{"MAIL FROM: <a@b>  SIZE=1 ", "MAIL", "FROM: <a@b>  SIZE=1"},
		{"mail\tfrom:<>", "MAIL", "from:<>"},
		{" NOOP", "", "NOOP"},
		{"MAILFROM:<a@b>", "MAILFROM:<A@B>", ""},
	} {
		if verb, arg := parseCommand(c.line); verb != c.verb || arg != c.arg {
			t.Errorf("%q: got %q %q, want %q %q", c.line, verb, arg, c.verb, c.arg)
		}
	}
}

func TestParseParams(t *testing.T) {
	ps, err := parseParams(" size=10\tBODY=8BITMIME  SMTPUTF8 x-y=a+3Db ")
	if err != nil || len(ps) != 4 || ps[0] != (param{"SIZE", "10", true}) || ps[2] != (param{"SMTPUTF8", "", false}) || ps[3].value != "a+3Db" {
		t.Errorf("got %v, %v", ps, err)
	}
	for _, bad := range []string{"=1", "SIZE=", "-A=1", "A=b=c", "A=1 a=2", "Ä=1", "A_B"} {
		if ps, err := parseParams(bad); err == nil {
			t.Errorf("%q: got %v, want an error", bad, ps)
		}
	}
}

func TestParseSize(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "007": 7, "4294967297": 4294967297, "9223372036854775807": math.MaxInt64,
		"9223372036854775808": math.MaxInt64, "99999999999999999999": math.MaxInt64,
		"": -1, "-1": -1, "+1": -1, "1k": -1, "100000000000000000000": -1, "0x10": -1, "1_000": -1,
	} {
		n, ok := parseSize(in)
		if ok != (want >= 0) || ok && n != want {
			t.Errorf("%q: got %d, %v, want %d", in, n, ok, want)
		}
	}
}

func TestParseChunk(t *testing.T) {
	for in, want := range map[string]string{"10": "10 false", "0 LAST": "0 true", "5  last": "5 true",
		"": "no", "LAST": "no", "1 2": "no", "1 LAST x": "no", "-1": "no", "1.5": "no"} {
		size, last, ok := parseChunk(in)
		got := "no"
		if ok {
			got = fmt.Sprint(size, " ", last)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// TestRefusals is the table of kinds and replies that every front end shares.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
		loud bool
	}{
		{store.Errorf(store.NotFound, "x", "y"), "550 5.1.1", false},
		{store.Errorf(store.Quota, "x", "y"), "452 4.2.2", false},
		{store.Errorf(store.TooBig, "x", "y"), "552 5.3.4", false},
		{store.Errorf(store.Auth, "x", "y"), "535 5.7.8", false},
		{store.Errorf(store.Busy, "x", "y"), "451 4.3.0", false},
		{store.ErrUnknown, "451 4.3.0", false},
		{store.Errorf(store.Invalid, "x", "y"), "501 5.5.4", false},
		{store.Errorf(store.Denied, "x", "y"), "550 5.7.1", false},
		{store.Errorf(store.Full, "x", "y"), "452 4.3.1", true},
		{store.Errorf(store.Internal, "x", "secret detail"), "451 4.3.0", true},
		{store.Errorf(store.Exists, "x", "y"), "451 4.3.0", true},
		{store.Errorf(store.Expunged, "x", "y"), "451 4.3.0", true},
		{errors.New("secret detail"), "451 4.3.0", true},
		{delivery.ErrLoop, "554 5.4.6", false},
		{delivery.ErrDisabled, "450 4.2.1", false},
		{errBareCRLF, "550 5.6.11", false},
	} {
		e, loud := refusalOf(c.err)
		got := fmt.Sprintf("%d %d.%d.%d", e.Code, e.EnhancedCode[0], e.EnhancedCode[1], e.EnhancedCode[2])
		if got != c.want || loud != c.loud {
			t.Errorf("%v: got %s, loud %v, want %s, loud %v", c.err, got, loud, c.want, c.loud)
		}
		if strings.Contains(e.Message, "secret") {
			t.Errorf("%v: the peer is shown %q", c.err, e.Message)
		}
	}
}

func FuzzParams(f *testing.F) {
	for _, s := range []string{"SIZE=1 BODY=8BITMIME", "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c", "ENVID=a+0Db RET=HDRS SMTPUTF8"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var tx transaction
		if tx.mailParams(s, &conn{o: &Options{Mode: Submission}}) == nil && strings.ContainsAny(tx.env.EnvID, "\r\n\x00\x7f") {
			t.Errorf("%q: %q went through", s, tx.env.EnvID)
		}
		var r mail.Recipient
		if rcptParams(&r, s) == nil && strings.ContainsAny(r.ORcpt, "\r\n\x00\x7f") {
			t.Errorf("%q: %q went through", s, r.ORcpt)
		}
		if tx.size < 0 {
			t.Errorf("%q: size %d", s, tx.size)
		}
	})
}

func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{"MAIL FROM:<a@b>", "RCPT TO:<\"a>b\"@c> NOTIFY=NEVER", "bdat 10 LAST", "\x00", "MAIL\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		verb, arg := parseCommand(s)
		if strings.ContainsAny(verb, " \t") || strings.TrimRight(arg, " \t") != arg {
			t.Errorf("%q: %q %q", s, verb, arg)
		}
		parseChunk(arg)
		for _, prefix := range []string{"FROM:", "TO:"} {
			if path, ok := cutFold(arg, prefix); ok {
				mail.ParsePath(path)
			}
		}
	})
}
