package store

import (
	"context"
	"sync"
	"time"

	"postrider/mail"
)

const (
	directoryEntries = 32768            // addresses and domains remembered
	directoryTargets = 100              // of an alias that is remembered
	directoryAge     = 10 * time.Second // what another process wrote is seen after that
)

// Recipient is Lookup for who asks once for every message: it answers from
// memory what has been asked before. A change that this process made counts
// as soon as its method has returned, one by another process within ten
// seconds. The counters of an account without a quota may be old; one with a
// quota is read anew each time. The Entry is shared: it is not to be changed.
func (s *Store) Recipient(ctx context.Context, a mail.Address) (Entry, error) {
	k := s.known.begin(a.Key())
	if k.found {
		return k.entry, k.err
	}
	e, err := s.Lookup(ctx, a)
	if err == nil && (e.Account != nil && e.Account.Quota+e.Account.QuotaCount > 0 || e.Alias != nil && len(e.Alias.Targets) > directoryTargets) {
		return e, nil
	}
	s.known.add(k, e, err)
	return e, err
}

// Ours tells whether a domain is one of those of this server, from memory as
// Recipient does; a name that can be no domain is not.
func (s *Store) Ours(ctx context.Context, domain string) (bool, error) {
	k := s.known.begin("\x00" + domain) // no key of an address: none holds NUL
	if !k.found {
		_, k.err = s.Domain(ctx, domain)
		s.known.add(k, Entry{}, k.err)
	}
	if k.err != nil && KindOf(k.err) == NotFound {
		return false, nil
	}
	return k.err == nil, k.err
}

// known is what the directory has answered of late. An answer holds until
// anything in the directory changes, so that nobody has to know which answers
// a change touches; directories change rarely.
type known struct {
	engine Engine
	now    func() time.Time

	mu      sync.Mutex
	version uint64 // of the directory that answers are of
	answers map[string]answer
}

// answer is what a key stands for: an entry, or an error of kind NotFound.
type answer struct {
	entry Entry
	err   error
	until time.Time
}

// question is one look into known: what was found, or what is needed to add
// what the engine says.
type question struct {
	key     string
	version uint64 // of the directory before the engine was asked
	found   bool
	answer
}

func newKnown(e Engine) *known {
	return &known{engine: e, now: time.Now, answers: map[string]answer{}}
}

// begin looks key up.
func (k *known) begin(key string) question {
	k.mu.Lock()
	defer k.mu.Unlock()
	q := question{key: key, version: k.engine.Feed().directory.Load()}
	if q.version != k.version {
		clear(k.answers)
		k.version = q.version
		return q
	}
	q.answer, q.found = k.answers[key]
	if q.found && !k.now().Before(q.until) {
		q.answer, q.found = answer{}, false
	}
	return q
}

// add keeps what the engine answered, unless the directory has changed since
// it was asked, or it failed.
func (k *known) add(q question, e Entry, err error) {
	if err != nil && KindOf(err) != NotFound {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if q.version != k.version || q.version != k.engine.Feed().directory.Load() {
		return
	}
	if len(k.answers) >= directoryEntries {
		for key := range k.answers { // any eighth: what is forgotten costs a look-up
			if delete(k.answers, key); len(k.answers) <= directoryEntries*7/8 {
				break
			}
		}
	}
	k.answers[q.key] = answer{e, err, k.now().Add(directoryAge)}
}
