package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

const (
	goodFor       = 5 * time.Minute // how long a right password is remembered
	wrongFor      = time.Hour       // and a wrong one
	maxRemembered = 50_000          // of each
)

// memoryKey is a keyed hash over an account, what it stores of its password,
// and a password.
type memoryKey [sha256.Size]byte

// memory remembers verdicts. Its key dies with the process, so that a dump of
// the tables is worth nothing against the passwords without it.
type memory struct {
	secret []byte
	now    func() time.Time

	mu          sync.Mutex
	good, wrong map[memoryKey]time.Time // until when
}

func newMemory(now func() time.Time) *memory {
	return &memory{secret: random(32), now: now, good: map[memoryKey]time.Time{}, wrong: map[memoryKey]time.Time{}}
}

func (m *memory) key(c candidate, password string) memoryKey {
	mac := hmac.New(sha256.New, m.secret)
	binary.Write(mac, binary.BigEndian, int64(c.account.ID))
	for _, s := range []string{c.name, c.credential.Argon2id, password} {
		binary.Write(mac, binary.BigEndian, uint32(len(s)))
		mac.Write([]byte(s))
	}
	return memoryKey(mac.Sum(nil))
}

func (m *memory) wasRight(k memoryKey) bool { return m.has(m.good, k) }
func (m *memory) wasWrong(k memoryKey) bool { return m.has(m.wrong, k) }

func (m *memory) has(table map[memoryKey]time.Time, k memoryKey) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, ok := table[k]
	return ok && m.now().Before(until)
}

func (m *memory) add(k memoryKey, right bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	table, keep := m.wrong, wrongFor
	if right {
		table, keep = m.good, goodFor
	}
	if len(table) >= maxRemembered {
		m.makeRoom(table)
	}
	table[k] = m.now().Add(keep)
}

// makeRoom drops what has expired and, if that is little, any eighth: what is
// forgotten costs a hash, nothing else.
func (m *memory) makeRoom(table map[memoryKey]time.Time) {
	now := m.now()
	for k, until := range table {
		if !now.Before(until) {
			delete(table, k)
		}
	}
	for k := range table {
		if len(table) <= maxRemembered*7/8 {
			return
		}
		delete(table, k)
	}
}
