package imapd

import (
	"errors"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"postrider/internal/maillog"
	"postrider/store"
)

// idleCheck is how often IDLE asks the store by itself: another process that
// has the same store open wakes nobody here.
const idleCheck = 30 * time.Second

// session is what one client does, from its login on.
type session struct {
	srv *Server
	c   *conn
	// utf8 tells whether the client has enabled IMAP4rev2 or UTF8=ACCEPT.
	utf8 func() bool
	rev2 func() bool

	box   *mailboxView // the selected mailbox, nil for none
	saved []store.UID  // the result that $ stands for; ascending
}

func newSession(c *conn, engine *imapserver.Conn) *session {
	enabled := func(cap imap.Cap) bool {
		_, ok := engine.EnabledCaps()[cap]
		return ok
	}
	return &session{srv: c.srv, c: c,
		utf8: func() bool { return enabled(imap.CapIMAP4rev2) || enabled(imap.CapUTF8Accept) },
		rev2: func() bool { return enabled(imap.CapIMAP4rev2) },
	}
}

// account is whose mail this is.
func (s *session) account() store.AccountID { return s.c.account.ID }

// mailbox finds a mailbox by the name that a client gave.
func (s *session) mailbox(name string) (store.Mailbox, error) {
	name, err := mailboxName(name)
	if err != nil {
		return store.Mailbox{}, store.Errorf(store.NotFound, "mailbox", "no such name can be")
	}
	return s.srv.o.Store.Mailbox(s.c.ctx, s.account(), name)
}

// newest returns the newest view of the selected mailbox, or has the
// connection end if that is gone: its messages have no numbers any more, and
// a client learns that only by BYE.
func (s *session) newest() (*store.View, error) {
	v, err := s.srv.o.Store.View(s.c.ctx, s.box.id)
	switch {
	case store.KindOf(err) == store.NotFound && err != nil:
		s.c.end("The selected mailbox was deleted", nil)
		return nil, errGone
	case err != nil:
		return nil, s.wireError(err, "view")
	case s.box.replaced(v):
		s.c.end("The selected mailbox was replaced", nil)
		return nil, errGone
	}
	return v, nil
}

// refresh tells what is new, as far as expunge allows.
func (s *session) refresh(expunge bool) error {
	v, err := s.newest()
	if err != nil {
		return err
	}
	e := newEncoder(s.c)
	s.box.sync(v, expunge, e)
	e.flush()
	return nil
}

// poll is the refresh at the end of a command that succeeded. It fails only if
// the connection has to end: what the command did is done.
func (s *session) poll(expunge bool) error {
	if s.box == nil {
		return nil
	}
	err := s.refresh(expunge)
	if errors.Is(err, errGone) {
		return err
	}
	return nil
}

// idle tells what is new until stop is closed (RFC 2177).
func (s *session) idle(stop <-chan struct{}) error {
	if s.box == nil {
		<-stop
		return nil
	}
	w := s.srv.o.Store.Feed().Watch(s.box.id)
	defer w.Close()
	tick := time.NewTicker(idleCheck)
	defer tick.Stop()
	for {
		if err := s.refresh(true); err != nil {
			s.c.log.Debug(maillog.Warning, "doing", "idle", "err", err)
			if errors.Is(err, errGone) {
				return err
			}
		}
		if err := s.c.flush(); err != nil {
			return nil // the reader notices
		}
		select {
		case <-w.C():
		case <-tick.C:
		case <-stop:
			return nil
		}
	}
}
