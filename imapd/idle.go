package imapd

import (
	"errors"
	"strings"
	"time"

	"postrider/imapd/wire"
	"postrider/internal/maillog"
)

// idleCheck is how often IDLE asks the store by itself: another process that
// has the same store open wakes nobody here.
const idleCheck = 30 * time.Second

// maxDone is the length of a line that may be DONE.
const maxDone = 100

// cmdIdle answers IDLE: it tells what is new until the client says DONE (RFC
// 2177).
func (s *session) cmdIdle(d *wire.Decoder) error {
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	s.c.write("+ idling\r\n")
	if err := s.watch(s.c.readable(), true); err != nil {
		return err
	}
	line := d.Continue(maxDone)
	if err := d.Err(); err != nil {
		return err
	}
	if !strings.EqualFold(strings.TrimRight(line, " "), "DONE") {
		return badCommand("DONE was expected")
	}
	return nil
}

// watch tells what is new, as far as expunge allows, until there is something
// to read.
func (s *session) watch(ready <-chan struct{}, expunge bool) error {
	defer func() {
		<-ready
		s.c.readNow()
	}()
	var changed <-chan struct{}
	if s.box != nil {
		w := s.srv.o.Store.Feed().Watch(s.box.id)
		defer w.Close()
		changed = w.C()
	}
	tick := time.NewTicker(idleCheck)
	defer tick.Stop()
	for {
		err := s.tellOthers()
		if s.hears() {
			err = s.refresh(expunge)
		}
		s.tellNotes()
		s.endOp()
		if err != nil {
			s.c.log.Debug(maillog.Warning, "doing", "idle", "err", err)
			if errors.Is(err, errGone) {
				s.c.stop("") // the reader ends
				return err
			}
		}
		if err := s.c.flush(); err != nil {
			s.c.stop("")
		}
		select {
		case <-changed:
		case c, ok := <-s.noted():
			s.note(c, ok)
		case c, ok := <-s.heard():
			if !ok {
				s.overflow()
			} else {
				s.notify.note(c)
			}
		case <-tick.C:
		case <-ready:
			return nil
		}
	}
}
