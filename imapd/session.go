package imapd

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"postrider/store"
)

// session is what one client does: its state, and the handlers of commands.
type session struct {
	srv *Server
	c   *conn

	enabled enabled      // by ENABLE
	box     *mailboxView // the selected mailbox, nil for none
	saved   []store.UID  // the result that $ stands for; ascending

	notes    *notes          // changes of annotations to be told
	notify   *notifying      // by NOTIFY, nil if it was never given
	op       context.Context // of the command under way, see ctx
	cancelOp context.CancelFunc
}

// enabled is what ENABLE has turned on (RFC 5161).
type enabled uint8

const (
	rev2 enabled = 1 << iota
	utf8Accept
	condstore // the client knows mod-sequences (RFC 7162 §3.1)
	qresync   // it wants VANISHED (RFC 7162 §3.2.3)
	uidOnly   // it uses no sequence numbers (RFC 9586)
	metadata  // it wants to hear of annotations that others change (RFC 5464 §4.1)
)

// utf8 tells whether strings and names may be UTF-8 (RFC 9051 §5.1, RFC 6855
// §3).
func (s *session) utf8() bool { return s.enabled&(rev2|utf8Accept) != 0 }

// rev2 tells whether the client has enabled IMAP4rev2.
func (s *session) rev2() bool { return s.enabled&rev2 != 0 }

// knowsModSeq notes that the client has given a CONDSTORE enabling command. At
// the first one it is told where it stands (RFC 7162 §3.1).
func (s *session) knowsModSeq() {
	if s.enabled&condstore != 0 {
		return
	}
	s.enabled |= condstore
	if s.box != nil {
		e := newEncoder(s.c)
		e.okCode("HIGHESTMODSEQ "+strconv.FormatInt(int64(s.box.highest()), 10), "Highest mod-sequence")
		e.Flush()
	}
}

// ctx is the context of what the command under way does on the store. It ends
// with the connection and after storeTimeout. Work that writes to the client as
// it goes uses the connection's own.
func (s *session) ctx() context.Context {
	if s.op == nil {
		s.op, s.cancelOp = context.WithTimeout(s.c.ctx, storeTimeout)
	}
	return s.op
}

// endOp is the end of a command.
func (s *session) endOp() {
	if s.op != nil {
		s.cancelOp()
		s.op = nil
	}
}

// byUID tells whether the command under way is one of those with UID before
// them.
func (s *session) byUID() bool { return strings.HasPrefix(s.c.req.name, "UID ") }

// ok sets what the tagged OK of the command under way says; either may be
// empty.
func (s *session) ok(code, text string) { s.c.req.code, s.c.req.text = code, text }

// account is whose mail this is.
func (s *session) account() store.AccountID { return s.c.account.ID }

// may refuses what needs a right in the selected mailbox that the client has
// not, or not any more.
func (s *session) may(need store.Rights) error {
	if s.box.id.Account == s.account() {
		return nil
	}
	rights, err := s.srv.o.Store.Rights(s.ctx(), s.box.id, s.account())
	if err != nil {
		return s.wireError(err, "rights")
	}
	s.box.rights = rights
	if rights&need != need {
		return errNoRight
	}
	return nil
}

// newest returns the newest view of the selected mailbox, or has the
// connection end if that is gone: its messages have no numbers any more, and
// a client learns that only by BYE.
func (s *session) newest() (*store.View, error) {
	v, err := s.srv.o.Store.View(s.ctx(), s.box.id)
	switch {
	case store.KindOf(err) == store.NotFound && err != nil:
		s.c.end("The selected mailbox was deleted", nil)
		return nil, errGone
	case err != nil:
		return nil, s.wireError(err, "view")
	case s.may(store.RightRead) == errNoRight:
		s.c.end("The selected mailbox is not shared any more", nil)
		return nil, errGone
	case s.box.replaced(v):
		s.c.end("The selected mailbox was replaced", nil)
		return nil, errGone
	}
	return v, nil
}

// refresh tells what is new, as far as expunge allows.
func (s *session) refresh(expunge bool) error {
	rights := s.box.rights
	v, err := s.newest()
	if err != nil {
		return err
	}
	if s.box.rights != rights { // RFC 4314 §5.1.1
		e := newEncoder(s.c)
		s.box.tellFlags(e)
		e.Flush()
	}
	if v == s.box.cur && v == s.box.told {
		clear(s.box.ahead)
		return nil
	}
	var last store.UID
	if n := s.box.told.Len(); n > 0 {
		last = s.box.told.UID(n - 1)
	}
	s.box.mute = s.notify != nil && (s.notify.selected == nil || s.notify.selected.on&onFlags == 0)
	e := newEncoder(s.c)
	s.tellLost(e, v)
	s.box.sync(v, expunge, e)
	s.tellFound(e)
	e.Flush()
	return s.fetchNew(last)
}

// poll is the refresh at the end of a command that succeeded. It fails only if
// the connection has to end: what the command did is done.
func (s *session) poll(expunge bool) error {
	s.tellNotes()
	err := s.tellOthers()
	if s.hears() {
		err = s.refresh(expunge)
	}
	if errors.Is(err, errGone) {
		return err
	}
	return nil
}
