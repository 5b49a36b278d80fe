package imapd

import "postrider/mail"

// structure writes a BODY or, if extended, a BODYSTRUCTURE (RFC 9051 §7.5.2).
// There is no space between the parts of a multipart: Outlook stumbles over
// one.
func (e *encoder) structure(p *mail.Part, extended bool) {
	e.Special('(')
	switch {
	case len(p.Parts) > 0:
		for i := range p.Parts {
			e.structure(&p.Parts[i], extended)
		}
		e.SP()
		e.String(p.Subtype)
		if extended {
			e.SP()
			e.params(p.Params)
		}
	default:
		e.single(p, extended)
	}
	if extended {
		e.extension(p)
	}
	e.Special(')')
}

// single writes what is particular to a part that is no multipart.
func (e *encoder) single(p *mail.Part, extended bool) {
	e.String(p.Type)
	e.SP()
	e.String(p.Subtype)
	e.SP()
	e.params(p.Params)
	e.SP()
	e.field(p.ID, p.Empty&mail.EmptyID != 0)
	e.SP()
	e.field(p.Description, p.Empty&mail.EmptyDescription != 0)
	e.SP()
	e.String(p.Encoding)
	e.SP()
	e.Number(p.Body.Size)
	switch {
	case p.Message != nil && (e.rev2 || p.Subtype == "rfc822"):
		// message/global has these since RFC 9051 §9, media-message; a client
		// of RFC 3501 alone takes them for a syntax error.
		e.SP()
		e.envelope(&p.Message.Envelope)
		e.SP()
		e.structure(&p.Message.Root, extended)
		e.SP()
		e.Number(p.Lines)
	case p.Type == "text":
		e.SP()
		e.Number(p.Lines)
	}
	if extended {
		e.SP()
		e.field(p.MD5, p.Empty&mail.EmptyMD5 != 0)
	}
}

// extension writes disposition, language and location.
func (e *encoder) extension(p *mail.Part) {
	e.SP()
	if p.Disposition == "" && p.DispParams == nil && p.Empty&mail.EmptyDisposition == 0 {
		e.NIL()
	} else {
		e.Special('(')
		e.String(p.Disposition)
		e.SP()
		e.params(p.DispParams)
		e.Special(')')
	}
	e.SP()
	if len(p.Language) == 0 {
		e.NIL()
	} else { // a list even of one, as Dovecot and Cyrus have it
		e.Special('(')
		for i, l := range p.Language {
			if i > 0 {
				e.SP()
			}
			e.String(l)
		}
		e.Special(')')
	}
	e.SP()
	e.field(p.Location, p.Empty&mail.EmptyLocation != 0)
}

// params writes parameters in the message's order. What was encoded goes out
// encoded, under the name with an asterisk, as clients expect it.
func (e *encoder) params(list []mail.Param) {
	if len(list) == 0 {
		e.NIL()
		return
	}
	e.Special('(')
	for i, p := range list {
		if i > 0 {
			e.SP()
		}
		name, value := p.Name, p.Value
		if p.Extended != "" {
			name, value = name+"*", p.Extended
		}
		e.String(name)
		e.SP()
		e.String(value)
	}
	e.Special(')')
}
