package wiretest

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// cutTime bounds how long a server may take to notice that its client left, on
// a busy machine.
const cutTime = 60 * time.Second

// A Cut is how a client leaves in the middle of what it says.
type Cut bool

const (
	Shut  Cut = false // it says no more, but reads on (TCP FIN)
	Reset Cut = true  // it is gone at once, whatever was on its way (TCP RST)
)

// Play says the whole of said on a new connection, then leaves as how says. It
// returns what the server answered until it closed; of a Reset, nothing.
func Play(dial func(name string) net.Conn, said string, how Cut) (answers string, err error) {
	nc := dial("cut")
	if nc == nil {
		return "", fmt.Errorf("wiretest: nothing to dial")
	}
	defer nc.Close()
	tcp := nc.(*net.TCPConn)
	if err := tcp.SetDeadline(time.Now().Add(cutTime)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(tcp, said); err != nil {
		return "", err
	}
	if how == Reset {
		// Once the greeting begins to come, the server's goroutine counts.
		if _, err := tcp.Read(make([]byte, 1)); err != nil {
			return "", err
		}
		return "", tcp.SetLinger(0)
	}
	if err := tcp.CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(tcp)
	return string(b), err
}

// serving is how many connections are being served, by all servers of Listen.
var serving atomic.Int64

// Goroutines remembers how many goroutines run. The function that it returns
// waits until no connection is served and no more of them run than that, and
// fails the test with their stacks if they do not end. The number alone would
// not do: what was on its way out when it was counted makes room for a
// connection afterwards.
func Goroutines(t testing.TB) func() {
	before := runtime.NumGoroutine()
	return func() {
		t.Helper()
		for end := time.Now().Add(cutTime); serving.Load() > 0 || runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				stacks = stacks[:runtime.Stack(stacks, true)]
				t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks)
			}
		}
	}
}
