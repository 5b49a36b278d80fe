package imapd

import (
	"slices"

	"postrider/store"
)

// maxNotes is how many changes of annotations may wait for a client to be
// told.
const maxNotes = 256

// notes are changes of annotations that a client wants to hear of, and has not
// yet (RFC 5464 §4.1). Nil for one that does not want to.
type notes struct {
	sub  *store.Subscription
	list []note
}

// note names an annotation that has changed.
type note struct {
	box     store.MailboxID
	private bool
	name    string
}

// hearNotes begins to note changes, by ENABLE METADATA.
func (s *session) hearNotes() {
	if s.notes == nil {
		s.notes = &notes{sub: s.subscribeNotes()}
	}
}

func (s *session) subscribeNotes() *store.Subscription {
	me := s.account()
	return s.srv.o.Store.Feed().Subscribe(maxNotes, func(c store.Change) bool {
		return c.Kind == store.Annotated && (c.Who == 0 || c.Who == me)
	})
}

// dropNotes ends it.
func (s *session) dropNotes() {
	if s.notes != nil {
		s.notes.sub.Close()
		s.notes = nil
	}
}

// noted gives changes while IDLE waits for them; nil if none are wanted.
func (s *session) noted() <-chan store.Change {
	if s.notes == nil {
		return nil
	}
	return s.notes.sub.C()
}

// note takes one change. If the client was too slow for the feed, what went
// missing stays missing, and it goes on from here.
func (s *session) note(c store.Change, ok bool) {
	if !ok {
		s.notes.sub = s.subscribeNotes()
		return
	}
	n := note{c.Mailbox, c.Who != 0, c.Name}
	if len(s.notes.list) < maxNotes && !slices.Contains(s.notes.list, n) {
		s.notes.list = append(s.notes.list, n)
	}
}

// takeNotes takes all changes that are there.
func (s *session) takeNotes() {
	for s.notes != nil {
		select {
		case c, ok := <-s.notes.sub.C():
			s.note(c, ok)
		default:
			return
		}
	}
}

// ownNotes runs change, which the client makes herself, and leaves out what it
// announces: she knows.
func (s *session) ownNotes(box store.MailboxID, changes []store.Annotation, change func() error) error {
	s.takeNotes()
	if s.notes == nil {
		return change()
	}
	before := s.notes.list
	s.notes.list = nil
	err := change()
	s.takeNotes()
	for _, n := range s.notes.list {
		own := slices.ContainsFunc(changes, func(a store.Annotation) bool { return n == note{box, a.Who != 0, a.Name} })
		if !own && !slices.Contains(before, n) {
			before = append(before, n)
		}
	}
	s.notes.list = before
	return err
}

// tellNotes tells which annotations have changed, a response for each mailbox,
// by their names (RFC 5464 §4.4.2).
func (s *session) tellNotes() {
	s.takeNotes()
	if s.notes == nil || len(s.notes.list) == 0 {
		return
	}
	list := s.notes.list
	s.notes.list = nil
	slices.SortStableFunc(list, func(a, b note) int {
		if a.box.Account != b.box.Account {
			return int(a.box.Account - b.box.Account)
		}
		return int(a.box.N - b.box.N)
	})
	e := newEncoder(s.c)
	for i := 0; i < len(list); {
		box := list[i].box
		name, ok := s.annotatedName(box)
		if ok {
			e.Text("* METADATA ")
			e.Mailbox(name)
		}
		for ; i < len(list) && list[i].box == box; i++ {
			if ok {
				e.SP()
				e.AString(entry{list[i].private, list[i].name}.String())
			}
		}
		if ok {
			e.CRLF()
		}
	}
	e.Flush()
}

// annotatedName is the name of a mailbox whose annotations the client may
// know, empty for the server.
func (s *session) annotatedName(box store.MailboxID) (string, bool) {
	if box == (store.MailboxID{}) {
		return "", true
	}
	p, err := s.placeOf(box)
	if err != nil {
		return "", false
	}
	return p.Name, p.rights&annotating != 0
}
