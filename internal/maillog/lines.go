package maillog

import (
	"io"
	"sync"
)

// maxLines is how many bytes of lines wait before who logs has to wait, too.
const maxLines = 1 << 20

// Lines passes lines on to a slower writer from a goroutine of its own, each
// at once and those that came meanwhile in one piece, so that who logs waits
// for no system call. No line is lost but with the process itself: Close
// writes what is left, and a line that comes later goes straight through.
type Lines struct {
	w io.Writer

	mu      sync.Mutex
	changed sync.Cond
	next    []byte // lines that wait
	closed  bool
	done    chan struct{}
}

// NewLines starts passing lines on to w.
func NewLines(w io.Writer) *Lines {
	l := &Lines{w: w, done: make(chan struct{})}
	l.changed.L = &l.mu
	go l.run()
	return l
}

// Write takes one line.
func (l *Lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.next) > 0 && len(l.next)+len(p) > maxLines && !l.closed {
		l.changed.Wait()
	}
	if l.closed {
		l.mu.Unlock()
		<-l.done // in order
		n, err := l.w.Write(p)
		l.mu.Lock()
		return n, err
	}
	l.next = append(l.next, p...)
	l.changed.Broadcast()
	return len(p), nil
}

// run writes until Close. An error of the writer is nobody's to hear.
func (l *Lines) run() {
	defer close(l.done)
	var now []byte
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		for len(l.next) == 0 {
			if l.closed {
				return
			}
			l.changed.Wait()
		}
		now, l.next = l.next, now[:0]
		l.changed.Broadcast()
		l.mu.Unlock()
		l.w.Write(now)
		l.mu.Lock()
	}
}

// Close writes what waits and returns when that is done. It may be called more
// than once.
func (l *Lines) Close() error {
	l.mu.Lock()
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	<-l.done
	return nil
}
