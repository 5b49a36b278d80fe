package imapd

import (
	"strings"

	"postrider/imapd/criteria"
	"postrider/imapd/wire"
	"postrider/store"
)

// cmdESearch answers ESEARCH, which searches several mailboxes (RFC 7377).
func (s *session) cmdESearch(d *wire.Decoder) error {
	d.SP()
	sources := criteria.ParseSources(d)
	q := parseQuery(d, true)
	q.p = criteria.ParseProgram(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if sources == nil {
		sources = []criteria.Source{{Scope: criteria.Selected}}
	}
	if err := s.allowed(q); err != nil {
		return err
	}
	if err := s.allowedSources(q, sources); err != nil {
		return err
	}
	err := s.searchAll(q, sources)
	if err != nil && q.ret.Save {
		s.saved = nil
	}
	return err
}

// allowedSources refuses sources that the state, or another option, does not
// allow (RFC 7377 §2.2).
func (s *session) allowedSources(q *query, sources []criteria.Source) error {
	selected, others := false, false
	for _, src := range sources {
		if src.Scope == criteria.Selected {
			selected = true
		} else {
			others = true
		}
	}
	switch {
	case (selected || q.ret.Update) && s.box == nil:
		return badCommand("No mailbox is selected")
	case q.ret.Save && others:
		return badCommand("SAVE is only for the selected mailbox")
	}
	return nil
}

func (s *session) searchAll(q *query, sources []criteria.Source) error {
	if q.p.Unknown {
		return errCharset
	}
	if s.box != nil {
		if err := s.refresh(false); err != nil {
			return err
		}
	}
	boxes, err := s.sourceMailboxes(sources)
	if err != nil {
		return err
	}
	for _, m := range boxes {
		if err := s.searchMailbox(q, m); err != nil {
			return err
		}
	}
	return nil
}

// searchMailbox searches one of the mailboxes. One without any match is not
// told of (RFC 7377 §2.1), and one that has gone meanwhile is passed over.
func (s *session) searchMailbox(q *query, m store.Mailbox) error {
	selected := s.box != nil && s.box.id == m.ID
	g := &ground{id: m.ID}
	if selected {
		g = s.selectedGround()
	} else {
		v, err := s.srv.o.Store.View(s.c.ctx, m.ID)
		if store.KindOf(err) == store.NotFound && err != nil {
			return nil
		} else if err != nil {
			return s.wireError(err, "search")
		}
		g.view = v
	}
	r, err := s.find(g, q)
	if err != nil {
		return err
	}
	r.box = m.Name
	if q.ret.Save {
		s.saved = r.toSave(q)
	}
	e := newEncoder(s.c)
	if q.ret.Update && selected {
		s.openContext(e, g, q, r)
	}
	if len(r.list) > 0 && s.saysSomething(q) {
		e.esearch(s.c.req.tag, q, r)
	}
	e.Flush()
	return nil
}

// sourceMailboxes finds the mailboxes that sources name, each once. Those that
// are not there, or not for this user, count for nothing.
func (s *session) sourceMailboxes(sources []criteria.Source) ([]store.Mailbox, error) {
	var list []store.Mailbox
	seen := map[store.MailboxID]bool{}
	add := func(m store.Mailbox) {
		if !seen[m.ID] {
			seen[m.ID] = true
			list = append(list, m)
		}
	}
	places, err := s.places()
	if err != nil {
		return nil, s.wireError(err, "search")
	}
	var all []store.Mailbox
	for _, p := range places {
		if p.rights&store.RightRead != 0 {
			all = append(all, p.Mailbox)
		}
	}
	for _, src := range sources {
		if err := s.addSource(src, all, add); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *session) addSource(src criteria.Source, all []store.Mailbox, add func(store.Mailbox)) error {
	switch src.Scope {
	case criteria.Selected:
		for _, m := range all {
			if m.ID == s.box.id {
				add(m)
				return nil
			}
		}
		m := s.box.told.Mailbox() // another user's, which is not listed here
		owner, err := s.srv.o.Store.Account(s.ctx(), m.ID.Account)
		if err != nil {
			return s.wireError(err, "search")
		}
		m.Name = othersName(owner.Address, m.Name)
		add(m)
	case criteria.Inboxes: // all that is delivered comes here
		for _, m := range all {
			if m.Name == store.Inbox {
				add(m)
			}
		}
	case criteria.Personal:
		for _, m := range all {
			if m.ID.Account == s.account() {
				add(m)
			}
		}
	case criteria.Subscribed:
		return s.addSubscribed(all, add)
	default:
		return s.addNamed(src, all, add)
	}
	return nil
}

func (s *session) addSubscribed(all []store.Mailbox, add func(store.Mailbox)) error {
	names, err := s.srv.o.Store.Subscriptions(s.ctx(), s.account())
	if err != nil {
		return s.wireError(err, "search")
	}
	subscribed := make(map[string]bool, len(names))
	for _, n := range names {
		subscribed[n] = true
	}
	for _, m := range all {
		if subscribed[m.Name] {
			add(m)
		}
	}
	return nil
}

// addNamed adds mailboxes by name, with those below them if the source says
// so.
func (s *session) addNamed(src criteria.Source, all []store.Mailbox, add func(store.Mailbox)) error {
	for _, name := range src.Names {
		m, err := s.mailbox(name)
		switch {
		case err == nil && m.rights&store.RightRead != 0:
			add(m.Mailbox)
		case err == nil:
		case store.KindOf(err) != store.NotFound && store.KindOf(err) != store.Invalid && store.KindOf(err) != store.Denied:
			return s.wireError(err, "search")
		}
		if src.Scope == criteria.Mailboxes {
			continue
		}
		above := name + string(store.Delimiter)
		if err == nil {
			above = m.Name + string(store.Delimiter)
		}
		for _, m := range all {
			below, ok := strings.CutPrefix(m.Name, above)
			if ok && (src.Scope == criteria.Subtree || !strings.ContainsRune(below, store.Delimiter)) {
				add(m)
			}
		}
	}
	return nil
}
