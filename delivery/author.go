package delivery

import (
	"context"
	"strings"

	"postrider/mail"
	"postrider/store"
)

// maxAuthors bounds the addresses in From that are looked up.
const maxAuthors = 20

// checkAuthor holds the header of a submitted message to its sender: every
// address in From and Sender has to be one that the login owns (RFC 6409
// §6.1). Several authors are not allowed even with a Sender (RFC 5322
// §3.6.2), since what people see is From; neither do Resent- fields excuse a
// foreign From. A header without From passes, as it claims nothing.
func (d *Deliverer) checkAuthor(ctx context.Context, p *Peer, h *header) error {
	if !h.whole {
		return store.Errorf(store.TooBig, "send", "header over %d bytes", maxHeader)
	}
	for f := range h.fields() {
		if !f.Is("From") && !f.Is("Sender") {
			continue
		}
		own, err := d.ownsAll(ctx, p.Account, authors(f.Value()))
		if err != nil {
			return err
		}
		if !own {
			return store.Errorf(store.Denied, "send", "%s names somebody else, or nobody", f.Name)
		}
	}
	return nil
}

// ownsAll tells whether there are addresses and mail for each reaches acct.
// One that is none, the zero Address, is nobody's.
func (d *Deliverer) ownsAll(ctx context.Context, acct *store.Account, all []mail.Address) (bool, error) {
	if len(all) == 0 || len(all) > maxAuthors {
		return false, nil
	}
	for _, a := range all {
		if a.IsZero() {
			return false, nil
		}
		if ok, err := d.owns(ctx, acct, a); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// authors returns the addresses that an address list names, the zero Address
// for what is none. Of a list in bad form each reader makes something else:
// in "a@b.test <c@d.test>" some see the one, some the other. So where there
// are more "@" than addresses, whatever has one counts as well.
func authors(list string) []mail.Address {
	var all []mail.Address
	for _, a := range mail.ParseAddressList(list) {
		if a.Group != mail.NoGroup {
			continue
		}
		addr, ok := a.Address()
		if !ok {
			addr = mail.Address{}
		}
		all = append(all, addr)
	}
	words, ats := atWords(list)
	if ats == len(all) {
		return all
	}
	for _, w := range words {
		addr, _ := mail.ParseAddress(w)
		all = append(all, addr)
	}
	return all
}

// atWords returns the words of an address list that have an "@" outside quotes
// and comments, and how many "@" those are together. A quote or comment
// without an end counts as one that is in no address.
func atWords(list string) (words []string, ats int) {
	begin, here, depth, quoted := 0, 0, 0, false
	end := func(i int) {
		if here > 0 {
			words = append(words, list[begin:i])
		}
		begin, ats, here = i+1, ats+here, 0
	}
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && (quoted || depth > 0):
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			end(i)
			depth++
		case c == ')' && depth > 0:
			depth--
			begin = i + 1
		case depth > 0:
		case c == '@':
			here++
		case strings.IndexByte(" \t,;:<>", c) >= 0:
			end(i)
		}
	}
	if quoted || depth > 0 {
		here++
	}
	end(len(list))
	return words, ats
}
