package sqlite

import (
	"sync"
	"time"
)

// Layout of an id: milliseconds since 1970, the handle's number, a counter.
// 42 bits of milliseconds last until 2109.
const (
	idNodeBits  = 8
	idCountBits = 13
	idTimeShift = idNodeBits + idCountBits
	maxNode     = 1<<idNodeBits - 1
)

// idMaker makes ids that rise with time and are never made twice: two handles
// have different numbers, and a clock that goes back is not followed.
type idMaker struct {
	node int64
	mu   sync.Mutex
	ms   int64
	n    int64
}

// floor makes ids rise above id, which another run has made.
func (m *idMaker) floor(id int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ms := id>>idTimeShift + 1; ms > m.ms {
		m.ms, m.n = ms, 0
	}
}

func (m *idMaker) next(now time.Time) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ms := now.UnixMilli(); ms > m.ms {
		m.ms, m.n = ms, 0
	} else if m.n++; m.n == 1<<idCountBits {
		m.ms, m.n = m.ms+1, 0
	}
	return m.ms<<idTimeShift | m.node<<idCountBits | m.n
}
