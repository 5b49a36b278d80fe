package imapd

import "postrider/mail"

// structure writes a BODY or, if extended, a BODYSTRUCTURE (RFC 9051 §7.5.2).
// There is no space between the parts of a multipart: Outlook stumbles over
// one.
func (e *encoder) structure(p *mail.Part, extended bool) {
	e.atom("(")
	switch {
	case len(p.Parts) > 0:
		for i := range p.Parts {
			e.structure(&p.Parts[i], extended)
		}
		e.atom(" ")
		e.str(p.Subtype)
		if extended {
			e.atom(" ")
			e.params(p.Params)
		}
	default:
		e.single(p, extended)
	}
	if extended {
		e.extension(p)
	}
	e.atom(")")
}

// single writes what is particular to a part that is no multipart.
func (e *encoder) single(p *mail.Part, extended bool) {
	e.str(p.Type)
	e.atom(" ")
	e.str(p.Subtype)
	e.atom(" ")
	e.params(p.Params)
	e.atom(" ")
	e.nstring(p.ID)
	e.atom(" ")
	e.nstring(p.Description)
	e.atom(" ")
	e.str(p.Encoding)
	e.atom(" ")
	e.num(p.Body.Size)
	switch {
	case p.Message != nil:
		e.atom(" ")
		e.envelope(&p.Message.Envelope)
		e.atom(" ")
		e.structure(&p.Message.Root, extended)
		e.atom(" ")
		e.num(p.Lines)
	case p.Type == "text":
		e.atom(" ")
		e.num(p.Lines)
	}
	if extended {
		e.atom(" ")
		e.nstring(p.MD5)
	}
}

// extension writes disposition, language and location.
func (e *encoder) extension(p *mail.Part) {
	e.atom(" ")
	if p.Disposition == "" {
		e.atom("NIL")
	} else {
		e.atom("(")
		e.str(p.Disposition)
		e.atom(" ")
		e.params(p.DispParams)
		e.atom(")")
	}
	e.atom(" ")
	switch len(p.Language) {
	case 0:
		e.atom("NIL")
	case 1:
		e.str(p.Language[0])
	default:
		e.atom("(")
		for i, l := range p.Language {
			if i > 0 {
				e.atom(" ")
			}
			e.str(l)
		}
		e.atom(")")
	}
	e.atom(" ")
	e.nstring(p.Location)
}

// params writes parameters in the message's order. What was encoded goes out
// encoded, under the name with an asterisk, as clients expect it.
func (e *encoder) params(list []mail.Param) {
	if len(list) == 0 {
		e.atom("NIL")
		return
	}
	e.atom("(")
	for i, p := range list {
		if i > 0 {
			e.atom(" ")
		}
		name, value := p.Name, p.Value
		if p.Extended != "" {
			name, value = name+"*", p.Extended
		}
		e.str(name)
		e.atom(" ")
		e.str(value)
	}
	e.atom(")")
}
