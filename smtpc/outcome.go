package smtpc

import (
	"cmp"
	"fmt"
	"strings"
)

// Status is what became of a recipient in one attempt.
type Status uint8

const (
	Temporary Status = iota // try again later
	Delivered               // the remote server has taken responsibility
	Permanent               // trying again is useless
)

func (s Status) String() string {
	return [...]string{"temporary", "delivered", "permanent"}[s]
}

// Outcome is what became of one recipient, in the remote server's words if it
// spoke, else in ours.
type Outcome struct {
	Status   Status
	Code     int    // the reply's code; 0 if the words are ours
	Enhanced string // its enhanced status code (RFC 3463), always set
	Text     string // the reply's text, lines joined by spaces, without the codes
	Host     string // the name of the host that we spoke with or tried last; may be empty
	Addr     string // its address with the port
	TLS      string // TLS version and cipher suite; empty in clear
	Policy   string // what TLS was held to, for people
	Route    string // the route's name, if it is not the destination's own
	DSN      bool   // delivered to a host that sends notices itself (RFC 3461 §5.2)
}

// String is the outcome in one line, for people and the log.
func (o Outcome) String() string {
	var b strings.Builder
	if o.Host != "" {
		b.WriteString(o.Host)
		if o.Addr != "" {
			fmt.Fprintf(&b, " (%s)", o.Addr)
		}
		b.WriteString(": ")
	}
	b.WriteString(o.Reply())
	return b.String()
}

// Reply is the outcome as a reply line: codes and text.
func (o Outcome) Reply() string {
	if o.Code == 0 {
		return o.Enhanced + " " + o.Text
	}
	return fmt.Sprintf("%d %s %s", o.Code, o.Enhanced, o.Text)
}

// temporary and permanent make outcomes in our own words.
func temporary(enhanced, format string, args ...any) Outcome {
	return Outcome{Status: Temporary, Enhanced: enhanced, Text: fmt.Sprintf(format, args...)}
}

func permanent(enhanced, format string, args ...any) Outcome {
	return Outcome{Status: Permanent, Enhanced: enhanced, Text: fmt.Sprintf(format, args...)}
}

// outcomeOf makes an outcome of a remote server's reply.
func outcomeOf(r reply) Outcome {
	o := Outcome{Code: r.code, Text: cmp.Or(r.text(), "(it gave no reason)")}
	switch r.code / 100 {
	case 2:
		o.Status = Delivered
	case 5:
		o.Status = Permanent
	case 3: // out of place
		return temporary("4.5.0", "unexpected reply: %d %s", r.code, o.Text)
	}
	var ok bool
	if o.Enhanced, ok = r.enhanced(); !ok {
		o.Enhanced = fmt.Sprintf("%d.0.0", r.code/100)
	}
	return o
}
