package imapd

import (
	"context"
	"sync"

	"postrider/internal/maillog"
	"postrider/store"
)

// accountBuffer is how many changes of accounts may wait to be looked at; when
// there are more, all accounts are looked at.
const accountBuffer = 64

// sessions are the connections that are logged in. It ends those of an
// account that is disabled or removed.
type sessions struct {
	srv *Server

	mu  sync.Mutex
	of  map[store.AccountID]map[*conn]struct{}
	sub *store.Subscription // while there are any
}

// add notes a connection that has logged in.
func (s *sessions) add(c *conn) {
	s.mu.Lock()
	if s.of[c.account.ID] == nil {
		s.of[c.account.ID] = map[*conn]struct{}{}
	}
	s.of[c.account.ID][c] = struct{}{}
	if s.sub == nil {
		s.subscribe()
	}
	s.mu.Unlock()
	s.check(c.account.ID) // it may have changed since the login was judged
}

// remove forgets a connection that has ended.
func (s *sessions) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of[c.account.ID], c)
	if len(s.of[c.account.ID]) == 0 {
		delete(s.of, c.account.ID)
	}
	if len(s.of) == 0 && s.sub != nil {
		s.sub.Close()
		s.sub = nil
	}
}

// subscribe begins to watch accounts; mu is held.
func (s *sessions) subscribe() {
	s.sub = s.srv.o.Store.Feed().Subscribe(accountBuffer, func(c store.Change) bool { return c.Kind == store.AccountChanged })
	go s.watch(s.sub)
}

// watch runs until sub ends.
func (s *sessions) watch(sub *store.Subscription) {
	for change := range sub.C() {
		s.check(change.Account)
	}
	s.mu.Lock()
	if s.sub != sub { // the last connection has gone
		s.mu.Unlock()
		return
	}
	s.subscribe()
	var all []store.AccountID
	for id := range s.of {
		all = append(all, id)
	}
	s.mu.Unlock()
	for _, id := range all {
		s.check(id)
	}
}

// check ends the connections of an account that is closed.
func (s *sessions) check(id store.AccountID) {
	a, err := s.srv.o.Store.Account(context.Background(), id)
	switch {
	case err == nil && !a.Disabled:
		return
	case err != nil && store.KindOf(err) != store.NotFound:
		s.srv.o.Log.Warn(maillog.Warning, "proto", "imap", "doing", "look at a changed account", "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.of[id] {
		c.stop("The account was closed")
	}
}
