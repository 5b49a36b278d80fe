package imapd

import (
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

const maxPatterns = 50 // of one LIST

// listEntry is one name that LIST may return: a mailbox, a name that only has
// children, or one that is only subscribed.
type listEntry struct {
	name       string
	box        *store.Mailbox // nil if there is none of this name
	subscribed bool
	children   bool // it has children that exist
	subChild   bool // it has a subscribed descendant
}

// list answers LIST and LSUB (RFC 9051 §6.3.9, RFC 3501 §6.3.9), writing each
// response with write.
func (s *session) list(write func(*imap.ListData) error, ref string, patterns []string, o *imap.ListOptions) error {
	lsub := s.c.req.name == "LSUB"
	if len(patterns) == 0 { // a question for the delimiter
		return write(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: store.Delimiter})
	}
	if len(patterns) > maxPatterns {
		return no(imap.ResponseCodeLimit, "Too many patterns")
	}
	entries, err := s.listEntries()
	if err != nil {
		return err
	}
	globs := make([]glob, len(patterns))
	for i, p := range patterns {
		globs[i] = newGlob(ref, p)
	}
	for _, e := range entries {
		matched := slices.ContainsFunc(globs, func(g glob) bool { return g.match(e.name) })
		if !matched {
			continue
		}
		var data *imap.ListData
		if lsub {
			data = e.lsub(globs)
		} else {
			data = e.list(o)
		}
		if data == nil {
			continue
		}
		if o.ReturnStatus != nil && e.box != nil {
			data.Status = s.statusOf(*e.box, o.ReturnStatus)
		}
		if err := write(data); err != nil {
			return err
		}
	}
	return nil
}

// listEntries returns all names there are, in order, INBOX first.
func (s *session) listEntries() ([]*listEntry, error) {
	boxes, err := s.srv.o.Store.List(s.c.ctx, s.account())
	if err != nil {
		return nil, s.wireError(err, "list")
	}
	subs, err := s.srv.o.Store.Subscriptions(s.c.ctx, s.account())
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
	for i := range boxes {
		entry(boxes[i].Name).box = &boxes[i]
		for parent := range parents(boxes[i].Name) {
			entry(parent).children = true
		}
	}
	for _, name := range subs {
		entry(name).subscribed = true
		for parent := range parents(name) {
			entry(parent).subChild = true
		}
	}
	out := make([]*listEntry, 0, len(byName))
	for _, e := range byName {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b *listEntry) int {
		if a.name == store.Inbox || b.name == store.Inbox {
			return strings.Compare(b2s(a.name == store.Inbox), b2s(b.name == store.Inbox))
		}
		return strings.Compare(a.name, b.name)
	})
	return out, nil
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

// list is the LIST response for an entry, nil if the selection leaves it out
// (RFC 5258 §3). \HasChildren and the special use come always: clients look
// for them without asking.
func (e *listEntry) list(o *imap.ListOptions) *imap.ListData {
	data := &imap.ListData{Mailbox: e.name, Delim: store.Delimiter}
	byChild := o.SelectRecursiveMatch && e.subChild
	switch {
	case o.SelectSubscribed && !e.subscribed && !byChild:
		return nil
	case o.SelectSpecialUse && (e.box == nil || e.box.Use == store.UseNone):
		return nil
	case !o.SelectSubscribed && e.box == nil && !e.children:
		return nil
	}
	if byChild {
		data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	if e.box == nil {
		data.Attrs = append(data.Attrs, imap.MailboxAttrNonExistent, imap.MailboxAttrNoSelect)
	}
	if e.children {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasChildren)
	} else {
		data.Attrs = append(data.Attrs, imap.MailboxAttrHasNoChildren)
	}
	if e.subscribed && (o.SelectSubscribed || o.ReturnSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	if e.box != nil && e.box.Use != store.UseNone {
		data.Attrs = append(data.Attrs, attrOf(e.box.Use))
	}
	return data
}

// lsub is the LSUB response for an entry. A name that is not subscribed is
// returned if a subscribed one below it does not match a pattern that ends
// with "%" (RFC 3501 §6.3.9).
func (e *listEntry) lsub(globs []glob) *imap.ListData {
	data := &imap.ListData{Mailbox: e.name, Delim: store.Delimiter}
	switch {
	case e.subscribed:
		if e.box == nil {
			data.Attrs = []imap.MailboxAttr{imap.MailboxAttrNoSelect}
		}
		return data
	case e.subChild && slices.ContainsFunc(globs, glob.endsAtLevel):
		data.Attrs = []imap.MailboxAttr{imap.MailboxAttrNoSelect}
		return data
	}
	return nil
}

// glob is a LIST pattern: "*" matches anything, "%" anything but a delimiter.
type glob struct {
	pattern string
	inbox   string // the pattern for what is below INBOX, whose case does not count
}

func newGlob(ref, pattern string) glob {
	if strings.HasPrefix(pattern, string(store.Delimiter)) {
		ref, pattern = "", pattern[1:]
	}
	g := glob{pattern: ref + pattern}
	g.inbox = g.pattern
	if n := len(store.Inbox); len(g.pattern) >= n && strings.EqualFold(g.pattern[:n], store.Inbox) {
		g.inbox = store.Inbox + g.pattern[n:]
	}
	return g
}

func (g glob) endsAtLevel() bool { return strings.HasSuffix(g.pattern, "%") }

func (g glob) match(name string) bool {
	switch {
	case name == store.Inbox: // "inb*" means it too
		return matchGlob(strings.ToUpper(g.pattern), name)
	case strings.HasPrefix(name, store.Inbox+string(store.Delimiter)):
		return matchGlob(g.inbox, name)
	}
	return matchGlob(g.pattern, name)
}

// matchGlob keeps, for each byte of the name, the set of places in the pattern
// where the match may stand, so that many wildcards cost no more than few.
func matchGlob(p, name string) bool {
	here := make([]bool, len(p)+1)
	next := make([]bool, len(p)+1)
	here[0] = true
	skipWildcards(p, here)
	for i := 0; i < len(name); i++ {
		clear(next)
		for at, ok := range here[:len(p)] {
			switch {
			case !ok:
			case p[at] == '*', p[at] == '%' && name[i] != store.Delimiter:
				next[at] = true
			case p[at] == name[i]:
				next[at+1] = true
			}
		}
		skipWildcards(p, next)
		here, next = next, here
	}
	return here[len(p)]
}

// skipWildcards adds the places behind wildcards, which may match nothing.
func skipWildcards(p string, at []bool) {
	for i := range len(p) {
		if at[i] && (p[i] == '*' || p[i] == '%') {
			at[i+1] = true
		}
	}
}
