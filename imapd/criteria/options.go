package criteria

import (
	"strings"

	"postrider/imapd/wire"
)

// Return is what RETURN asks for.
type Return struct {
	Given bool // RETURN is there, if only with an empty list

	Min, Max, All, Count bool // RFC 4731 §3.1
	Save                 bool // RFC 5182 §2
	Partial              *Partial
	Update, Context      bool // RFC 5267 §4
	Relevancy            bool // RFC 6203 §4
}

// ParseReturn reads search-return-opts, behind their space, and the space
// behind them, if they are next. fetch reads what may stand in parentheses
// behind UPDATE (RFC 5465 §7).
func ParseReturn(d *wire.Decoder, fetch func()) Return {
	var r Return
	if !d.TryWord("RETURN") {
		return r
	}
	r.Given = true
	d.SP()
	d.List(func() { r.option(d, fetch) })
	d.SP()
	if r.Partial != nil && r.All {
		d.Fail("PARTIAL and ALL do not go together") // RFC 9394 §3.1
	}
	// Without anything else to return, everything is (RFC 4731 §3.1); SAVE
	// alone returns nothing (RFC 5182 §2.1). UPDATE and CONTEXT ask for no
	// result (RFC 5267 §4.2, §4.3).
	if !r.Min && !r.Max && !r.Count && r.Partial == nil && !r.Save && !r.Update && !r.Context && !r.Relevancy {
		r.All = true
	}
	return r
}

func (r *Return) option(d *wire.Decoder, fetch func()) {
	switch d.Keyword() {
	case "MIN":
		r.Min = true
	case "MAX":
		r.Max = true
	case "ALL":
		r.All = true
	case "COUNT":
		r.Count = true
	case "SAVE":
		r.Save = true
	case "UPDATE":
		if r.Update = true; d.NextAre(" (") {
			d.SP()
			fetch()
		}
	case "CONTEXT":
		r.Context = true
	case "RELEVANCY":
		r.Relevancy = true
	case "PARTIAL":
		if r.Partial != nil {
			d.Fail("PARTIAL is there twice")
		}
		d.SP()
		p := ParsePartial(d)
		r.Partial = &p
	default:
		d.Fail("There is no such return option")
	}
}

// Partial is a partial-range (RFC 9394 §4): which of the results are wanted,
// counted from 1 on.
type Partial struct {
	A, B    uint32 // as the client wrote them, less the sign
	FromEnd bool   // they are negative: counted from the last result
}

// ParsePartial reads a partial-range.
func ParsePartial(d *wire.Decoder) Partial {
	p := Partial{FromEnd: d.TrySpecial('-')}
	p.A = d.NZNumber()
	d.Special(':')
	if p.FromEnd {
		d.Special('-')
	}
	p.B = d.NZNumber()
	return p
}

// Cut returns the range as indices [from, to) of n results.
func (p Partial) Cut(n int) (from, to int) {
	lo, hi := int64(min(p.A, p.B)), int64(max(p.A, p.B))
	if p.FromEnd {
		lo, hi = int64(n)-hi+1, int64(n)-lo+1
	}
	from = int(min(max(lo, 1), int64(n)+1)) - 1
	to = int(min(max(hi, 0), int64(n)))
	return from, max(from, to)
}

// Len is how many results the range may have.
func (p Partial) Len() int64 { return int64(max(p.A, p.B)) - int64(min(p.A, p.B)) + 1 }

// Source is one of the sources that ESEARCH names (RFC 7377 §2.2).
type Source struct {
	Scope Scope
	Names []string // of mailboxes, for Mailboxes, Subtree and SubtreeOne
}

// Scope says which mailboxes a source is.
type Scope uint8

const (
	Selected Scope = iota
	Inboxes
	Personal
	Subscribed
	Mailboxes
	Subtree
	SubtreeOne
)

// maxSources is how many sources and names a command may have.
const maxSources = 1000

var scopes = map[string]Scope{
	"SELECTED": Selected, "INBOXES": Inboxes, "PERSONAL": Personal, "SUBSCRIBED": Subscribed,
	"MAILBOXES": Mailboxes, "SUBTREE": Subtree, "SUBTREE-ONE": SubtreeOne,
}

// ParseSources reads esearch-source-opts, behind their space, and the space
// behind them, if they are next.
func ParseSources(d *wire.Decoder) []Source {
	if !d.TryWord("IN") {
		return nil
	}
	d.SP()
	d.ListOpen()
	list := []Source{parseSource(d)}
	n := 0
	for d.Err() == nil && !d.ListClose() {
		d.SP()
		if d.Peek() == '(' {
			d.Fail("There are no scope options") // none is defined (RFC 7377 §4)
			break
		}
		s := parseSource(d)
		list = append(list, s)
		if n += 1 + len(s.Names); n > maxSources {
			d.Limit("LIMIT", "There are too many sources")
		}
	}
	d.SP()
	return list
}

func parseSource(d *wire.Decoder) Source {
	scope, ok := scopes[strings.ToUpper(d.Atom())]
	if !ok {
		d.Fail("There is no such source")
	}
	s := Source{Scope: scope}
	if scope < Mailboxes || d.Err() != nil {
		return s
	}
	d.SP()
	if d.Peek() != '(' {
		s.Names = []string{d.Mailbox()}
		return s
	}
	d.List(func() {
		if s.Names = append(s.Names, d.Mailbox()); len(s.Names) > maxSources {
			d.Limit("LIMIT", "There are too many sources")
		}
	})
	if len(s.Names) == 0 {
		d.Fail("A mailbox is missing")
	}
	return s
}
