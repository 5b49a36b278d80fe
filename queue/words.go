package queue

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"postrider/mail"
)

// text is what the notice says to people.
func (n *Notifier) text(o *original, k kind, fates []fate) string {
	var b strings.Builder
	para := func(s string) { b.WriteString(wrap(s, "") + "\n") }
	para(fmt.Sprintf("This is the mail server %s.", n.hostname))
	para(opening(k, len(fates)))
	for _, f := range fates {
		b.WriteString("    " + f.rcpt.Addr.String() + "\n")
		if _, was, ok := strings.Cut(f.rcpt.ORcpt, ";"); ok && was != f.rcpt.Addr.String() {
			b.WriteString(wrap("(you wrote to "+oneLine(was)+")", "      "))
		}
		if why := explain(f); why != "" {
			b.WriteString(wrap(why, "      "))
		}
		if f.diag != "" {
			b.WriteString(wrap(fmt.Sprintf("The server %s said: %s", f.host, f.diag), "      "))
		} else if f.words != "" {
			b.WriteString(wrap(upperFirst(f.words)+".", "      "))
		}
		b.WriteString("\n")
	}
	if k == delay {
		para(fmt.Sprintf("You do not have to do anything. This server goes on trying until %s and tells you if it has to give up.", mail.FormatDate(o.expires)))
	}
	if k == failure {
		para("This server will not try again.")
	}
	about := "Your message"
	if o.subject != "" {
		about += fmt.Sprintf(" \"%s\"", o.subject)
	}
	para(fmt.Sprintf("%s arrived here on %s; its number is %s.", about, mail.FormatDate(o.arrived), o.id))
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func opening(k kind, n int) string {
	whom := "this address"
	if n > 1 {
		whom = "these addresses"
	}
	switch k {
	case failure:
		return "Your message could not be delivered to " + whom + ":"
	case delay:
		return "Your message has not been delivered yet to " + whom + ":"
	case relay:
		return "Your message was passed on for " + whom + ". The server that took it does not report what becomes of it, so you will hear no more from here:"
	}
	return "Your message has arrived in the mailbox of " + whom + ":"
}

// reasons are enhanced status codes in plain words (RFC 3463 §3), by subject
// and detail.
func reasons(code string) string {
	switch code {
	case "1.1":
		return "There is no such address there."
	case "1.2":
		return "There is no such mail domain. Is the part after the @ spelled right?"
	case "1.3":
		return "The address is not written correctly."
	case "1.6":
		return "The mailbox has moved, and its new address is not known."
	case "1.10":
		return "This domain accepts no mail at all."
	case "2.1":
		return "The mailbox is disabled."
	case "2.2":
		return "The mailbox is full."
	case "2.3", "3.4":
		return "The message is too big."
	case "4.6":
		return "The mail goes round in a circle. The administrator of the domain has to put that right."
	case "6.3", "6.7":
		return "The other server cannot take a message or an address with these characters."
	case "7.1":
		return "The other server refuses the message, by a rule of its own."
	}
	return ""
}

func explain(f fate) string {
	if f.expired {
		return "It was tried again and again, and the time for that is over."
	}
	if f.kind != failure && f.kind != delay {
		return ""
	}
	class, code, _ := strings.Cut(f.status, ".")
	if class == "4" && f.diag != "" && comeBack(code) {
		return "The other server asks to come back later."
	}
	return reasons(code)
}

func upperFirst(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return strings.ToUpper(s[:n]) + s[n:]
}

// wrap breaks text at spaces into indented lines.
func wrap(s, indent string) string {
	var b strings.Builder
	col := 0
	for _, w := range strings.Fields(s) {
		n := utf8.RuneCountInString(w)
		switch {
		case col == 0:
			b.WriteString(indent)
			col = len(indent)
		case col+1+n > wrapAt:
			b.WriteString("\n" + indent)
			col = len(indent)
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(w)
		col += n
	}
	return b.String() + "\n"
}

// textPart is the first part: as it is if it is ASCII in short lines,
// quoted-printable otherwise (RFC 2045 §6.7).
func textPart(text string) part {
	text = strings.ReplaceAll(text, "\n", "\r\n")
	p := part{contentType: "text/plain; charset=us-ascii", text: []byte(text)}
	long := func(l string) bool { return len(l) >= 200 }
	if hasEight(p.text) || slices.ContainsFunc(strings.Split(text, "\r\n"), long) {
		p.contentType, p.encoding = "text/plain; charset=utf-8", "quoted-printable"
	}
	return p
}
