package imapd

import (
	"slices"

	"postrider/store"
)

// listens tells whether the client wants to hear of news also while no command
// is under way.
func (s *session) listens() bool {
	return s.notify != nil && (s.notify.selected != nil || len(s.notify.others) > 0)
}

// hears tells whether news of the selected mailbox are to be told.
func (s *session) hears() bool { return s.box != nil && (s.notify == nil || s.notify.selected != nil) }

// heard gives changes of other mailboxes while somebody waits for them; nil if
// none are wanted.
func (s *session) heard() <-chan store.Change {
	if s.notify == nil || s.notify.sub == nil {
		return nil
	}
	return s.notify.sub.C()
}

// take notes the changes that are there.
func (n *notifying) take() (lost bool) {
	for n != nil && n.sub != nil {
		select {
		case c, ok := <-n.sub.C():
			if !ok {
				return true
			}
			n.note(c)
		default:
			return false
		}
	}
	return false
}

// note keeps a change: of a mailbox whose messages have changed, one is
// enough.
func (n *notifying) note(c store.Change) {
	if c.Kind == store.MailboxChanged {
		for _, x := range n.changes {
			if x.Kind == c.Kind && x.Mailbox == c.Mailbox {
				return
			}
		}
	}
	n.changes = append(n.changes, c)
}

// overflow gives up (RFC 5465 §5.8).
func (s *session) overflow() {
	s.dropNotify()
	s.notify = &notifying{}
	s.c.write("* OK [NOTIFICATIONOVERFLOW] Too much happens; NOTIFY is off\r\n")
}

// own runs a command, and leaves out the changes of names and subscriptions
// that it announces: the client knows (RFC 5465 §5). One that somebody else made
// in the same moment goes with them.
func (s *session) own(run func() error) error {
	n := s.notify
	if n == nil || n.sub == nil {
		return run()
	}
	n.take()
	before := len(n.changes)
	err := run()
	if s.notify != n {
		return err
	}
	n.take()
	switch s.c.req.name {
	case "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE":
		behind := slices.DeleteFunc(slices.Clone(n.changes[min(before, len(n.changes)):]), func(c store.Change) bool {
			return c.Account == s.account() && c.Kind != store.MailboxChanged
		})
		n.changes = append(n.changes[:min(before, len(n.changes))], behind...)
	}
	return err
}

// tree is what has to be looked up to tell of other mailboxes.
type tree struct {
	places     []place
	subscribed []string
	entries    []*listEntry
}

func (s *session) tree() (t tree, err error) {
	if t.places, err = s.places(); err != nil {
		return t, err
	}
	if t.subscribed, err = s.srv.o.Store.Subscriptions(s.ctx(), s.account()); err != nil {
		return t, err
	}
	t.entries, err = s.listEntries(&listing{})
	return t, err
}

// wants returns what is to be told of a mailbox.
func (n *notifying) wants(t *tree, name string, own bool) (on events) {
	subscribed := slices.Contains(t.subscribed, name)
	for i := range n.others {
		if n.others[i].has(name, own, subscribed) {
			on |= n.others[i].on
		}
	}
	return on
}

// beginNotify notes where the other mailboxes stand, and tells it if that was
// asked for.
func (s *session) beginNotify(status bool) error {
	n := s.notify
	if len(n.others) == 0 {
		return nil
	}
	t, err := s.tree()
	if err != nil {
		return s.wireError(err, "notify")
	}
	e := newEncoder(s.c)
	for i := range t.places {
		p := &t.places[i]
		on := n.wants(&t, p.Name, p.ID.Account == s.account())
		if on != 0 && p.rights&store.RightRead == 0 { // RFC 5465 §3.1
			e.Text(`* LIST (\NoAccess) "/" `)
			e.Mailbox(p.Name)
			e.CRLF()
			continue
		}
		if on&onMessages == 0 || s.box != nil && s.box.id == p.ID {
			continue
		}
		n.told[p.ID] = p.Mailbox
		if status {
			s.writeStatus(e, &p.Mailbox, s.notifyItems(on, true))
		}
	}
	e.Flush()
	return nil
}

// notifyItems are the items of a STATUS that tells of events.
func (s *session) notifyItems(on events, first bool) (items []statusItem) {
	names := []string{"MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN"}
	if s.enabled&(condstore|qresync) != 0 || first && on&onFlags != 0 {
		names = append(names, "HIGHESTMODSEQ")
	}
	for _, x := range &statusItems {
		if slices.Contains(names, x.name) {
			if x.name == "HIGHESTMODSEQ" { // without making the client one that knows of them
				x.value = func(_ *session, m *store.Mailbox) int64 { return int64(max(m.ModSeq, 1)) }
			}
			items = append(items, x)
		}
	}
	return items
}

// tellOthers tells what has happened in other mailboxes.
func (s *session) tellOthers() error {
	n := s.notify
	if n == nil || n.sub == nil {
		return nil
	}
	if n.take() || len(n.changes) > maxNotifyQueue {
		s.overflow()
		return nil
	}
	if len(n.changes) == 0 {
		return nil
	}
	t, err := s.tree()
	if err != nil {
		return s.wireError(err, "notify")
	}
	changes := n.changes
	n.changes = nil
	e := newEncoder(s.c)
	for _, c := range changes {
		s.tellOther(e, &t, c)
	}
	e.Flush()
	return nil
}

func (s *session) tellOther(e *encoder, t *tree, c store.Change) {
	n, own := s.notify, c.Account == s.account()
	i := slices.IndexFunc(t.places, func(p place) bool { return p.ID == c.Mailbox })
	switch c.Kind {
	case store.MailboxChanged:
		if i >= 0 {
			s.tellCounters(e, t, &t.places[i])
		}
	case store.Subscribed:
		if n.wants(t, c.Name, own)&onSubscription != 0 {
			s.tellListed(e, t, c.Name, "", true)
		}
	case store.MailboxCreated, store.MailboxDeleted, store.RightsChanged:
		name := c.Name
		if i >= 0 {
			name = t.places[i].Name
		} else if !own {
			return // it never was this client's to see, or its name is gone with it
		}
		if name != "" {
			s.tellNamed(e, t, name, own)
		}
	case store.MailboxRenamed:
		name := c.Name
		if i >= 0 {
			name = t.places[i].Name
		} else if !own {
			return
		}
		if (n.wants(t, name, own)|n.wants(t, c.OldName, own))&onName != 0 {
			old := c.OldName
			if !own {
				old = ""
			}
			s.tellListed(e, t, name, old, false)
		}
	}
}

// tellNamed tells of a name that has come or gone, and of the one above it,
// which may have its first child now, or have lost the last (RFC 5465 §5.4).
func (s *session) tellNamed(e *encoder, t *tree, name string, own bool) {
	affected := []string{name}
	for parent := range parents(name) {
		affected = append(affected, parent)
		break
	}
	for _, name := range affected {
		if s.notify.wants(t, name, own)&onName != 0 {
			s.tellListed(e, t, name, "", false)
		}
	}
}

// tellCounters tells the state of a mailbox in which messages or flags have
// changed. The selected one is not another one.
func (s *session) tellCounters(e *encoder, t *tree, p *place) {
	n := s.notify
	on := n.wants(t, p.Name, p.ID.Account == s.account())
	if on&onMessages == 0 || p.rights&store.RightRead == 0 || s.box != nil && s.box.id == p.ID {
		return
	}
	last, known := n.told[p.ID]
	same := known && last.UIDNext == p.UIDNext && last.Total == p.Total && last.UIDValidity == p.UIDValidity
	flags := last.Unseen != p.Unseen || s.enabled&(condstore|qresync) != 0 && last.ModSeq != p.ModSeq
	if same && (on&onFlags == 0 || !flags) {
		return
	}
	n.told[p.ID] = p.Mailbox
	s.writeStatus(e, &p.Mailbox, s.notifyItems(on, false))
}

// tellListed tells of a name, with the one that it had before if there is one.
func (s *session) tellListed(e *encoder, t *tree, name, old string, subscription bool) {
	var r listed
	l := &listing{returnSubscribed: subscription}
	i := slices.IndexFunc(t.entries, func(x *listEntry) bool { return x.name == name })
	ok := false
	if i >= 0 {
		r, ok = t.entries[i].list(l)
	}
	if !ok {
		r = listed{attrs: []string{`\NonExistent`}}
		if subscription && slices.Contains(t.subscribed, name) {
			r.attrs = append(r.attrs, `\Subscribed`)
		}
	}
	e.Text("* LIST (")
	for i, a := range r.attrs {
		if i > 0 {
			e.SP()
		}
		e.Text(a)
	}
	e.Text(`) "/" `)
	e.Mailbox(name)
	if old != "" {
		e.Text(` ("OLDNAME" (`)
		e.Mailbox(old)
		e.Text("))")
	}
	e.CRLF()
}

// fetchNew tells what NOTIFY asks for of the messages that have come behind the
// UID last, except for what the client has put there.
func (s *session) fetchNew(last store.UID) error {
	if s.notify == nil || s.notify.selected == nil || s.notify.selected.fetch == nil {
		return nil
	}
	if s.fillsBox() {
		return nil
	}
	told := s.box.told
	from, _ := told.Index(last + 1)
	if from >= told.Len() {
		return nil
	}
	return s.fetch(fill(nil, from, told.Len()), *s.notify.selected.fetch)
}

// fillsBox tells whether the command under way may put messages into the
// selected mailbox, which the client then knows.
func (s *session) fillsBox() bool {
	switch s.c.req.name {
	case "APPEND", "COPY", "UID COPY", "MOVE", "UID MOVE", "REPLACE", "UID REPLACE":
		return !s.c.between
	}
	return false
}
