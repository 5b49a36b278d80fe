package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

const (
	maxGroups      = 32  // of one NOTIFY
	maxGroupNames  = 200 // mailboxes in one
	maxNotifyQueue = 512 // changes that may wait for the client to be told
)

// events are what NOTIFY may ask to be told of (RFC 5465 §5).
type events uint8

const (
	onNew events = 1 << iota
	onExpunge
	onFlags
	onName
	onSubscription
	onMailboxMetadata
	onServerMetadata

	onMessages = onNew | onExpunge | onFlags
)

var eventNames = []struct {
	name string
	bit  events
}{
	{"MessageNew", onNew}, {"MessageExpunge", onExpunge}, {"FlagChange", onFlags},
	{"MailboxName", onName}, {"SubscriptionChange", onSubscription},
	{"MailboxMetadataChange", onMailboxMetadata}, {"ServerMetadataChange", onServerMetadata},
}

// group is some mailboxes and what is to be told of them (RFC 5465 §6).
type group struct {
	where string   // in upper case
	names []string // of SUBTREE and MAILBOXES
	on    events
	fetch *fetchItems // of new messages in the selected mailbox, nil for nothing
}

// notifying is what NOTIFY has set; a session that has none is told of the
// selected mailbox while commands are carried out, and of nothing else.
type notifying struct {
	selected *group // nil if nothing of the selected mailbox is to be told
	named    bool   // a group of it was given, be it NONE
	delayed  bool   // EXPUNGE waits for a command that allows it
	others   []group

	sub     *store.Subscription // nil if there are no others
	changes []store.Change
	told    map[store.MailboxID]store.Mailbox // counters, as the client was told them last
}

// cmdNotify answers NOTIFY (RFC 5465 §3.1).
func (s *session) cmdNotify(d *wire.Decoder) error {
	d.SP()
	n := &notifying{told: map[store.MailboxID]store.Mailbox{}}
	status, unknown := false, false
	switch d.Keyword() {
	case "NONE":
	case "SET":
		d.SP()
		if status = d.TryWord("STATUS"); status {
			d.SP()
		}
		for !d.End() {
			unknown = s.parseGroup(d, n) || unknown
			if !d.TrySP() {
				break
			}
		}
	default:
		d.Fail("NOTIFY is SET or NONE")
	}
	d.CRLF()
	switch {
	case d.Err() != nil:
		return d.Err()
	case unknown:
		return errBadEvent()
	}
	return s.setNotify(n, status)
}

// errBadEvent refuses an event that we cannot tell of.
func errBadEvent() error {
	var all []string
	for _, x := range eventNames {
		all = append(all, x.name)
	}
	return no(imap.ResponseCode("BADEVENT ("+strings.Join(all, " ")+")"), "No such event")
}

// setNotify makes n what is told from now on.
func (s *session) setNotify(n *notifying, status bool) error {
	s.dropNotify()
	s.notify = n
	if len(n.others) > 0 {
		me := s.account()
		n.sub = s.srv.o.Store.Feed().Subscribe(maxNotifyQueue, func(c store.Change) bool {
			switch c.Kind {
			case store.MailboxChanged, store.MailboxCreated, store.MailboxDeleted, store.MailboxRenamed, store.RightsChanged:
				return true
			case store.Subscribed:
				return c.Account == me
			}
			return false
		})
	}
	for i := range n.others {
		if n.others[i].on&(onMailboxMetadata|onServerMetadata) != 0 {
			s.hearNotes()
		}
	}
	if err := s.beginNotify(status); err != nil {
		return err
	}
	if s.box != nil && n.selected != nil { // NOTIFY SET implies NOOP
		return s.refresh(true)
	}
	return nil
}

// dropNotify ends what NOTIFY has set.
func (s *session) dropNotify() {
	if s.notify != nil && s.notify.sub != nil {
		s.notify.sub.Close()
	}
	s.notify = nil
}

// parseGroup reads an event-group; unknown tells whether it has events that we
// do not know.
func (s *session) parseGroup(d *wire.Decoder, n *notifying) (unknown bool) {
	var g group
	d.ListOpen()
	g.where = d.Keyword()
	switch g.where {
	case "SELECTED", "SELECTED-DELAYED":
		if n.named {
			d.Fail("The selected mailbox is named twice")
		}
		n.selected, n.named, n.delayed = &g, true, g.where == "SELECTED-DELAYED"
	case "PERSONAL", "INBOXES", "SUBSCRIBED":
	case "SUBTREE", "MAILBOXES":
		d.SP()
		if d.Peek() == '(' {
			some(d, func() { g.name(d) })
		} else {
			g.name(d)
		}
	default:
		d.Fail("No such mailboxes")
	}
	d.SP()
	if !d.TryWord("NONE") {
		some(d, func() { unknown = !g.event(d) || unknown })
	}
	if !d.ListClose() {
		d.Fail("A group has no end")
	}
	switch messages := g.on & onMessages; {
	case messages != 0 && messages&(onNew|onExpunge) != onNew|onExpunge:
		d.Fail("MessageNew and MessageExpunge belong together") // RFC 5465 §5
	case n.selected == &g && g.on&^onMessages != 0:
		d.Fail("Only events of messages are the selected mailbox's")
	case n.selected != &g && g.fetch != nil: // RFC 5465 §8: message-event
		d.Fail("Only messages of the selected mailbox are fetched")
	}
	if n.selected != &g {
		if n.others = append(n.others, g); len(n.others) > maxGroups {
			d.Limit("NOTIFICATIONOVERFLOW", "Too many groups")
		}
	}
	if n.selected == &g && g.on == 0 {
		n.selected = nil
	}
	return unknown
}

// some reads a list that is not empty.
func some(d *wire.Decoder, item func()) {
	empty := true
	d.List(func() { empty = false; item() })
	if empty {
		d.Fail("A list is empty")
	}
}

func (g *group) name(d *wire.Decoder) {
	name, err := mailboxName(d.Mailbox())
	if err == nil { // no mailbox has a name that cannot be
		g.names = append(g.names, name)
	}
	if len(g.names) > maxGroupNames {
		d.Limit("NOTIFICATIONOVERFLOW", "Too many mailboxes")
	}
}

// event reads one event; false for one that we do not know.
func (g *group) event(d *wire.Decoder) bool {
	name := d.Atom()
	for _, x := range eventNames {
		if !strings.EqualFold(name, x.name) {
			continue
		}
		g.on |= x.bit
		if x.bit == onNew {
			g.fetchAtts(d)
		}
		return true
	}
	return false
}

// fetchAtts reads what is to be fetched of new messages, if anything is. The
// list of them stands behind a space, as the next event would.
func (g *group) fetchAtts(d *wire.Decoder) {
	if !d.NextAre(" (") {
		return
	}
	d.SP()
	items := parseFetchItems(d)
	items.o.UID = true
	g.fetch = &items
}

// has tells whether the group has a mailbox.
func (g *group) has(name string, own, subscribed bool) bool {
	switch g.where {
	case "PERSONAL", "INBOXES":
		return own
	case "SUBSCRIBED":
		return subscribed
	}
	for _, n := range g.names {
		if n == name || g.where == "SUBTREE" && strings.HasPrefix(name, n+string(store.Delimiter)) {
			return true
		}
	}
	return false
}
