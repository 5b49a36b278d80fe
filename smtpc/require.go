package smtpc

import (
	"strings"

	"postrider/mail"
)

// maxFields is how much of a header is searched for fields that concern the
// way of the message.
const maxFields = 64 << 10

// fields is what a message's header says of its way.
type fields struct {
	optional bool // TLS-Required: No (RFC 8689 §3)
	report   bool // it is a report on TLS (RFC 8460 §5.3)
}

// header reads the fields once for all hosts.
func (a *attempt) header() *fields {
	if a.fields == nil {
		b := make([]byte, min(a.m.Size, maxFields))
		n, _ := a.m.Body.ReadAt(b, 0)
		a.fields = readFields(b[:n])
	}
	return a.fields
}

// readFields reads the beginning of a message up to the end of its header.
func readFields(b []byte) *fields {
	f := &fields{}
	times := 0
	for field := range mail.Fields(b[:mail.HeaderSize(b)]) {
		switch {
		case strings.EqualFold(field.Name, "TLS-Required"):
			times++
			f.optional = strings.EqualFold(strings.TrimSpace(field.Value()), "No")
		case strings.EqualFold(field.Name, "TLS-Report-Domain"):
			f.report = true
		}
	}
	f.optional = f.optional && times == 1
	return f
}

// relaxed tells whether the message is to go although its destination's demands
// are not fulfilled. What REQUIRETLS said counts for more (RFC 8689 §4.1).
func (a *attempt) relaxed() bool {
	return !a.m.Envelope.RequireTLS && a.header().optional
}

// keepsTLS tells whether the peer can be trusted to pass a message on over TLS
// alone (RFC 8689 §2).
func (p *peer) keepsTLS() bool {
	_, offered := p.ext["REQUIRETLS"]
	return offered && p.proven()
}

// unfit is why the peer must not get the message: it was sent with REQUIRETLS
// (RFC 8689 §4.2.1). A notice about such a message, which has its header alone,
// goes where there is no better way.
func (p *peer) unfit(a *attempt) *Outcome {
	if !a.m.Envelope.RequireTLS || a.m.Envelope.From.IsZero() || p.keepsTLS() {
		return nil
	}
	host := printable(p.host.name)
	var o Outcome
	switch {
	case p.tls == "":
		o = permanent("5.7.10", "the sender requires TLS, which %s does not offer", host)
	case p.cert != nil:
		o = permanent("5.7.10", "the sender requires TLS, and the certificate of %s cannot be verified", host)
	case !p.demand.sure:
		o = permanent("5.7.10", "the sender requires TLS, and neither DNSSEC nor MTA-STS proves that %s is the right host", host)
	default:
		o = permanent("5.7.30", "the sender requires TLS all of the way, and %s does not support REQUIRETLS", host)
	}
	return &o
}
