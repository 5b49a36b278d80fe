package imapd

import (
	"errors"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-sasl"

	"postrider/store"
)

// adapter is a session as go-imap's engine wants it. Its lock is for IDLE: the
// engine runs that in a goroutine of its own, and does not wait for its end
// when the client says something else than DONE or leaves.
type adapter struct {
	mu sync.Mutex
	s  *session
}

var _ interface {
	imapserver.SessionIMAP4rev2
	imapserver.SessionSASL
	imapserver.SessionAppendLimit
} = (*adapter)(nil)

// locked calls the session. A panic there ends the connection: with BYE here,
// and with its stack in the log where the engine recovers from it.
func (a *adapter) locked(f func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	defer func() {
		if bug := recover(); bug != nil {
			a.s.c.end("[SERVERBUG] Internal error", errBug)
			panic(bug)
		}
	}()
	return f()
}

var errBug = errors.New("panic")

func (a *adapter) Close() error { return a.locked(a.s.unselect) }

func (a *adapter) Login(user, password string) error {
	return a.locked(func() error { return a.s.login(user, password) })
}

func (a *adapter) AuthenticateMechanisms() []string { return nil } // caps.go announces them

func (a *adapter) Authenticate(mech string) (sasl.Server, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.s.authenticate(mech)
}

func (a *adapter) AppendLimit() uint32 { return a.s.srv.appendLimit() }

func (a *adapter) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: store.Delimiter}}}, nil
}

func (a *adapter) Select(name string, o *imap.SelectOptions) (data *imap.SelectData, err error) {
	err = a.locked(func() error { data, err = a.s.selectMailbox(name, o.ReadOnly); return err })
	return data, err
}

func (a *adapter) Unselect() error { return a.locked(a.s.unselect) }

func (a *adapter) Create(name string, o *imap.CreateOptions) error {
	return a.locked(func() error { return a.s.create(name, o.SpecialUse) })
}

func (a *adapter) Delete(name string) error {
	return a.locked(func() error { return a.s.deleteMailbox(name) })
}

func (a *adapter) Rename(from, to string, _ *imap.RenameOptions) error {
	return a.locked(func() error { return a.s.rename(from, to) })
}

func (a *adapter) Subscribe(name string) error {
	return a.locked(func() error { return a.s.subscribe(name, true) })
}

func (a *adapter) Unsubscribe(name string) error {
	return a.locked(func() error { return a.s.subscribe(name, false) })
}

func (a *adapter) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	return a.locked(func() error { return a.s.list(w.WriteList, ref, patterns, o) })
}

func (a *adapter) Status(name string, o *imap.StatusOptions) (data *imap.StatusData, err error) {
	err = a.locked(func() error { data, err = a.s.status(name, o); return err })
	return data, err
}

func (a *adapter) Append(name string, r imap.LiteralReader, o *imap.AppendOptions) (data *imap.AppendData, err error) {
	err = a.locked(func() error { data, err = a.s.appendMessage(name, r, o); return err })
	return data, err
}

// Poll tells what is new at the end of a command. Whether EXPUNGE may be told
// is in the table of conn.go, which also knows that UID STORE is no STORE.
func (a *adapter) Poll(*imapserver.UpdateWriter, bool) error {
	return a.locked(func() error { return a.s.poll(a.s.c.req.expunge) })
}

func (a *adapter) Idle(_ *imapserver.UpdateWriter, stop <-chan struct{}) error {
	return a.locked(func() error { return a.s.idle(stop) })
}

func (a *adapter) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	return a.locked(func() error {
		if a.s.c.req.name == "CLOSE" {
			return a.s.expungeSilently()
		}
		return a.s.expunge(uids)
	})
}

func (a *adapter) Search(kind imapserver.NumKind, c *imap.SearchCriteria, o *imap.SearchOptions) (data *imap.SearchData, err error) {
	err = a.locked(func() error { data, err = a.s.search(kind == imapserver.NumKindUID, c, o); return err })
	return data, err
}

func (a *adapter) Fetch(_ *imapserver.FetchWriter, set imap.NumSet, o *imap.FetchOptions) error {
	return a.locked(func() error { return a.s.fetch(set, o) })
}

func (a *adapter) Store(_ *imapserver.FetchWriter, set imap.NumSet, f *imap.StoreFlags, _ *imap.StoreOptions) error {
	return a.locked(func() error { return a.s.storeFlags(set, f) })
}

func (a *adapter) Copy(set imap.NumSet, dest string) (data *imap.CopyData, err error) {
	err = a.locked(func() error { data, err = a.s.copyMessages(set, dest); return err })
	return data, err
}

func (a *adapter) Move(_ *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	return a.locked(func() error { return a.s.moveMessages(set, dest) })
}
