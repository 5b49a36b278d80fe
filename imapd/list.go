package imapd

import (
	"maps"
	"slices"
	"strings"

	"postrider/imapd/wire"
	"postrider/store"
)

const maxPatterns = 50 // of one LIST

// listEntry is one name that LIST may return: a mailbox, a name that only has
// children, or one that is only subscribed.
type listEntry struct {
	name        string
	place       *place // nil if there is no mailbox of this name
	subscribed  bool
	children    bool // it has children that are there
	childMatch  bool // a descendant matches the selection
	hiddenMatch bool // one does whose name matches no pattern
}

// listing is what a LIST asks for.
type listing struct {
	subscribed, special, recursive bool         // selection options
	returnSubscribed, myRights     bool         // return options
	status                         []statusItem // of each mailbox, nil for none
	metadata                       []entry      // the same
	globs                          []glob
}

// cmdList answers LIST (RFC 9051 §6.3.9).
func (s *session) cmdList(d *wire.Decoder) error {
	var l listing
	d.SP()
	if d.Peek() == '(' {
		l.selection(d)
		d.SP()
	}
	ref := d.Mailbox()
	d.SP()
	patterns := l.patterns(d)
	if d.TrySP() && !d.End() {
		l.returns(d)
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if len(patterns) == 1 && patterns[0] == "" { // a question for the delimiter
		root := `""`
		if strings.HasPrefix(ref, othersPrefix) {
			root = `"` + othersPrefix + `"`
		}
		s.c.write(`* LIST (\Noselect) "/" ` + root + "\r\n")
		return nil
	}
	return s.list(&l, ref, patterns, (*listEntry).list)
}

// cmdLsub answers LSUB (RFC 3501 §6.3.9).
func (s *session) cmdLsub(d *wire.Decoder) error {
	d.SP()
	ref := d.Mailbox()
	d.SP()
	patterns := onePattern(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	return s.list(&listing{subscribed: true}, ref, patterns, (*listEntry).lsub)
}

// selection reads the selection options (RFC 5258 §3.1, RFC 6154 §2).
func (l *listing) selection(d *wire.Decoder) {
	d.List(func() {
		switch d.Keyword() {
		case "SUBSCRIBED":
			l.subscribed = true
		case "SPECIAL-USE":
			l.special = true
		case "RECURSIVEMATCH":
			l.recursive = true
		case "REMOTE": // all mailboxes are here
		default:
			d.Fail("No such selection option")
		}
	})
	if l.recursive && !l.subscribed && !l.special {
		d.Fail("RECURSIVEMATCH needs another option")
	}
}

// patterns reads one pattern or a list of them.
func (l *listing) patterns(d *wire.Decoder) (list []string) {
	if d.Peek() != '(' {
		return onePattern(d)
	}
	given := 0
	d.List(func() {
		list = append(list, onePattern(d)...)
		if given++; given > maxPatterns {
			d.Fail("Too many patterns")
		}
	})
	if given == 0 {
		d.Fail("A pattern is missing")
	}
	return list
}

// onePattern reads a pattern; none if no name can match it, which is no error
// (RFC 5258 §3).
func onePattern(d *wire.Decoder) []string {
	if pattern, ok := d.ListMailbox(); ok {
		return []string{pattern}
	}
	return nil
}

// returns reads the return options (RFC 5258 §3.2, RFC 5819, RFC 8440, RFC
// 9590).
func (l *listing) returns(d *wire.Decoder) {
	if !d.TryWord("RETURN") {
		d.Fail("RETURN is missing")
	}
	d.SP()
	d.List(func() {
		switch d.Keyword() {
		case "SUBSCRIBED":
			l.returnSubscribed = true
		case "CHILDREN", "SPECIAL-USE": // always
		case "STATUS":
			d.SP()
			l.status = parseStatusItems(d)
		case "MYRIGHTS":
			l.myRights = true
		case "METADATA":
			d.SP()
			l.metadata = parseEntries(d)
		default:
			d.Fail("No such return option")
		}
	})
}

// list writes the responses for the names that match. What is told of one,
// response says; ok is false if the selection leaves it out.
func (s *session) list(l *listing, ref string, patterns []string, response func(*listEntry, *listing) (listed, bool)) error {
	for _, p := range patterns {
		l.globs = append(l.globs, newGlob(ref, p))
	}
	entries, err := s.listEntries(l)
	if err != nil {
		return err
	}
	e, wait := newEncoder(s.c), s.newProgress("Listing", len(entries))
	for i, entry := range entries {
		if err := wait.look(i); err != nil {
			return err
		}
		if !l.matches(entry.name) {
			continue
		}
		r, ok := response(entry, l)
		if !ok {
			continue
		}
		e.Text("* " + s.c.req.name + " (" + strings.Join(r.attrs, " ") + `) "/" `)
		e.Mailbox(entry.name)
		if r.childInfo != "" {
			e.Text(" (CHILDINFO (" + r.childInfo + "))")
		}
		e.CRLF()
		if entry.place != nil {
			if err := s.describeListed(e, l, entry.place); err != nil {
				return err
			}
		}
	}
	e.Flush()
	return nil
}

// describeListed writes what else is to be told of a mailbox.
func (s *session) describeListed(e *encoder, l *listing, p *place) error {
	if l.myRights {
		e.myRights(p)
	}
	if l.status != nil && p.rights&store.RightRead != 0 {
		s.writeStatus(e, &p.Mailbox, l.status)
	}
	if l.metadata == nil {
		return nil
	}
	_, err := s.writeMetadata(e, p, &getMetadata{entries: l.metadata, maxSize: -1})
	if err != nil && store.KindOf(err) == store.NotFound {
		return nil // gone meanwhile
	}
	return s.wireError(err, "metadata")
}

// listed is what a LIST response tells beside the name.
type listed struct {
	attrs     []string
	childInfo string // selection options that a descendant matches
}

// matches tells whether a name matches one of the patterns.
func (l *listing) matches(name string) bool {
	return slices.ContainsFunc(l.globs, func(g glob) bool { return g.match(name) })
}

// selects tells whether an entry satisfies the selection options; without any,
// all that is there does, and what has children.
func (l *listing) selects(e *listEntry) bool {
	switch {
	case l.subscribed && !e.subscribed, l.special && (e.place == nil || e.place.Use == store.UseNone):
		return false
	}
	return l.subscribed || e.place != nil || e.children
}

// listEntries returns all names there are, in order, INBOX first.
func (s *session) listEntries(l *listing) ([]*listEntry, error) {
	places, err := s.places()
	if err != nil {
		return nil, s.wireError(err, "list")
	}
	subs, err := s.srv.o.Store.Subscriptions(s.ctx(), s.account())
	if err != nil {
		return nil, s.wireError(err, "subscriptions")
	}
	byName := map[string]*listEntry{}
	entry := func(name string) *listEntry {
		e := byName[name]
		if e == nil {
			e = &listEntry{name: name}
			byName[name] = e
		}
		return e
	}
	for i := range places {
		entry(places[i].Name).place = &places[i]
		for parent := range parents(places[i].Name) {
			entry(parent).children = true
		}
	}
	for _, name := range subs {
		entry(name).subscribed = true
		for parent := range parents(name) {
			entry(parent)
		}
	}
	l.markParents(byName)
	out := slices.Collect(maps.Values(byName))
	slices.SortFunc(out, func(a, b *listEntry) int {
		if a.name == store.Inbox || b.name == store.Inbox {
			return strings.Compare(b2s(a.name == store.Inbox), b2s(b.name == store.Inbox))
		}
		return strings.Compare(a.name, b.name)
	})
	return out, nil
}

// markParents notes which names have descendants that the selection wants.
func (l *listing) markParents(byName map[string]*listEntry) {
	if !l.subscribed && !l.special {
		return
	}
	for _, e := range byName {
		if !l.selects(e) {
			continue
		}
		hidden := !l.matches(e.name)
		for parent := range parents(e.name) {
			p := byName[parent]
			p.childMatch, p.hiddenMatch = true, p.hiddenMatch || hidden
		}
	}
}

// list is the LIST response for an entry (RFC 5258 §3). \HasChildren and the
// special use come always: clients look for them without asking. A name that
// only has descendants of the selection comes if they do not (RFC 5258 §3.5).
func (e *listEntry) list(l *listing) (r listed, ok bool) {
	if !l.selects(e) && !(l.recursive && e.hiddenMatch) {
		return r, false
	}
	if l.recursive && e.childMatch {
		r.childInfo = l.options()
	}
	if e.place == nil {
		r.attrs = append(r.attrs, `\NonExistent`, `\Noselect`)
	}
	if e.children {
		r.attrs = append(r.attrs, `\HasChildren`)
	} else {
		r.attrs = append(r.attrs, `\HasNoChildren`)
	}
	if e.subscribed && (l.subscribed || l.returnSubscribed) {
		r.attrs = append(r.attrs, `\Subscribed`)
	}
	if e.place != nil && e.place.Use != store.UseNone {
		r.attrs = append(r.attrs, string(attrOf(e.place.Use)))
	}
	return r, true
}

// options is the selection options as CHILDINFO names them.
func (l *listing) options() string {
	var all []string
	if l.subscribed {
		all = append(all, `"SUBSCRIBED"`)
	}
	if l.special {
		all = append(all, `"SPECIAL-USE"`)
	}
	return strings.Join(all, " ")
}

// lsub is the LSUB response for an entry. A name that is not subscribed is
// returned if a subscribed one below it does not match a pattern that ends
// with "%" (RFC 3501 §6.3.9).
func (e *listEntry) lsub(l *listing) (r listed, ok bool) {
	switch {
	case e.subscribed:
		if e.place == nil {
			r.attrs = []string{`\Noselect`}
		}
		return r, true
	case e.childMatch && slices.ContainsFunc(l.globs, glob.endsAtLevel):
		return listed{attrs: []string{`\Noselect`}}, true
	}
	return r, false
}

// b2s orders true before false.
func b2s(first bool) string {
	if first {
		return "0"
	}
	return "1"
}

// parents yields the names above a name, the nearest first.
func parents(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			i := strings.LastIndexByte(name, store.Delimiter)
			if i <= 0 {
				return
			}
			name = name[:i]
			if !yield(name) {
				return
			}
		}
	}
}
