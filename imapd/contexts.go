package imapd

import (
	"slices"

	"postrider/imapd/criteria"
	"postrider/imapd/wire"
	"postrider/store"
)

// maxContexts is how many searches one session may have kept up to date.
const maxContexts = 8

// updating is a search whose result the client keeps, and is told how it
// changes (RFC 5267 §4.3). It ends with the selection of the mailbox.
type updating struct {
	tag   string
	byUID bool
	box   string // the mailbox's name as it is told; empty if it is not
	m     *matcher
	flags bool        // what it asks for changes in the life of a message
	fetch *fetchItems // of new messages that are found, nil for nothing

	found map[store.UID]struct{} // as the client has it
	seen  *store.View            // of which the flags are known
	last  store.UID              // the newest message that was looked at
}

// findContext returns the search with a tag.
func (s *session) findContext(tag string) *updating {
	if s.box == nil {
		return nil
	}
	for _, u := range s.box.contexts {
		if u.tag == tag {
			return u
		}
	}
	return nil
}

// openContext keeps the result of a search up to date, or says that it does
// not: of a SORT none is (only CONTEXT=SEARCH is announced), and there are not
// too many.
func (s *session) openContext(e *encoder, g *ground, q *query, r *results) {
	if q.sort != nil || len(s.box.contexts) >= maxContexts {
		e.Text("* NO [NOUPDATE " + quoted(s.c.req.tag) + "] The result is not kept up to date")
		e.CRLF()
		return
	}
	u := &updating{tag: s.c.req.tag, byUID: r.byUID, box: r.box, m: g.compile(&q.p.Key, s.srv.o.Now()),
		flags: q.p.Key.Has(criteria.Flag) || q.p.Key.Has(criteria.ModSeq), fetch: q.fetch,
		found: make(map[store.UID]struct{}, len(r.list)), seen: s.box.cur}
	for _, i := range r.list {
		u.found[g.view.UID(i)] = struct{}{}
	}
	if n := g.view.Len(); n > 0 {
		u.last = g.view.UID(n - 1)
	}
	s.box.contexts = append(s.box.contexts, u)
}

// tellLost tells which results have been expunged in newest, before EXPUNGE
// takes their numbers away.
func (s *session) tellLost(e *encoder, newest *store.View) {
	for _, u := range s.box.contexts {
		var gone []store.UID
		for uid := range u.found {
			if _, there := newest.Index(uid); !there {
				gone = append(gone, uid)
			}
		}
		s.tellUpdate(e, u, "REMOVEFROM", gone)
	}
}

// tellFound tells which messages have become results, and which have ceased to
// be.
func (s *session) tellFound(e *encoder) {
	for _, u := range s.box.contexts {
		g := &ground{id: s.box.id, view: s.box.cur}
		changed := s.toLookAt(u)
		if len(changed) == 0 {
			continue
		}
		matching, err := s.run(g, u.m, changed)
		if err != nil {
			continue // they are looked at again
		}
		var added, removed []store.UID
		var fresh []int
		for _, i := range changed {
			uid := g.view.UID(i)
			_, has := u.found[uid]
			_, should := slices.BinarySearch(matching, i)
			switch {
			case should && !has:
				if added = append(added, uid); uid > u.last {
					at, _ := s.box.told.Index(uid)
					fresh = append(fresh, at)
				}
			case has && !should:
				removed = append(removed, uid)
			}
			u.last = max(u.last, uid)
		}
		u.seen = g.view
		if u.fetch != nil && len(fresh) > 0 && !s.fillsBox() { // RFC 5465 §7
			e.Flush()
			s.fetch(fresh, *u.fetch) // one that is gone meanwhile is told as such
		}
		s.tellUpdate(e, u, "REMOVEFROM", removed)
		s.tellUpdate(e, u, "ADDTO", added)
	}
}

// toLookAt returns the indices in the newest view of messages that are new or
// changed since the search looked at them, and that the client knows.
func (s *session) toLookAt(u *updating) []int {
	told, cur := s.box.told, s.box.cur
	var list []int
	if u.flags && u.seen != cur {
		diff := store.Diff(u.seen, cur)
		for _, i := range diff.Updated {
			if cur.UID(i) <= u.last {
				list = append(list, i)
			}
		}
	}
	from, _ := told.Index(u.last + 1)
	for i := from; i < told.Len(); i++ {
		if at, there := cur.Index(told.UID(i)); there {
			list = append(list, at)
		}
	}
	return list
}

// tellUpdate tells of results that come or go, and notes it. Where in the
// result they stand is the order of the mailbox, said by 0 (RFC 5267 §4.3.3).
func (s *session) tellUpdate(e *encoder, u *updating, item string, uids []store.UID) {
	if len(uids) == 0 {
		return
	}
	slices.Sort(uids)
	r := &results{g: &ground{id: s.box.id, view: s.box.told}, byUID: u.byUID, box: u.box}
	var list []int
	for _, uid := range uids {
		if item == "ADDTO" {
			u.found[uid] = struct{}{}
		} else {
			delete(u.found, uid)
		}
		if i, ok := s.box.told.Index(uid); ok {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return
	}
	e.esearchHead(u.tag, r)
	e.Text(" " + item + " (0 ")
	e.set(r, list)
	e.Special(')')
	e.CRLF()
}

// cmdCancelUpdate answers CANCELUPDATE (RFC 5267 §4.3.5).
func (s *session) cmdCancelUpdate(d *wire.Decoder) error {
	tags := map[string]bool{}
	for d.SP(); !d.End(); {
		tags[d.Quoted()] = true
		if !d.TrySP() {
			break
		}
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	for tag := range tags {
		if s.findContext(tag) == nil {
			return badCommand("No search with this tag is kept up to date")
		}
	}
	s.box.contexts = slices.DeleteFunc(s.box.contexts, func(u *updating) bool { return tags[u.tag] })
	return nil
}
