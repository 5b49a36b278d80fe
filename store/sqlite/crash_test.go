package sqlite

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// crashDirEnv names the store that a child process writes to until it is
// killed.
const crashDirEnv = "POSTRIDER_TEST_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirEnv); dir != "" {
		crashChild(dir)
	}
	os.Exit(m.Run())
}

// crashChild accepts messages, expunges some of them, and says of each step
// that it is durable, for ever.
func crashChild(dir string) {
	// Groups of three or more small bodies go to a segment.
	e, err := Open(dir, Options{Owner: true, SegmentMax: 4 << 20, GroupInline: 9000})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	a, err := e.Accounts(context.Background())
	if err != nil || len(a) != 1 {
		fmt.Println("error", a, err)
		os.Exit(1)
	}
	var seed atomic.Uint64
	seed.Store(uint64(time.Now().UnixNano()))
	go func() { // bodies are moved about meanwhile
		for {
			e.busy.Store(0)
			err := e.moveOut(context.Background(), 0)
			if err == nil {
				err = e.compact(context.Background(), true)
			}
			if err != nil {
				fmt.Println("error", err)
			}
		}
	}()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for {
				if err := crashStep(e, a[0].ID, seed.Add(1), i); err != nil {
					fmt.Println("error", err)
				}
			}
		})
	}
	wg.Wait()
}

// crashStep accepts one message; some writers expunge it again.
func crashStep(e *Engine, a store.AccountID, seed uint64, writer int) error {
	size := 3000
	if writer < 2 {
		size = defaultInlineMax * 2
	}
	body := text(seed, size)
	m := acceptance(a, body)
	m.ID = mail.NewID(time.Now()) // of now, so that its journey is kept, and held to what is
	done, err := e.Accept(context.Background(), m)
	if err != nil {
		return err
	}
	filed := done.Filed[0]
	fmt.Printf("ack %d %x\n", filed.UID, sha256.Sum256(body)) // one write call: lines do not mix
	if writer%2 == 0 && seed%3 == 0 {
		fmt.Printf("try %d\n", filed.UID)
		if _, err := e.Expunge(context.Background(), filed.Mailbox, store.UIDSetOf(filed.UID), false); err != nil {
			return err
		}
		fmt.Printf("gone %d\n", filed.UID)
	}
	return nil
}

// crashed is what a child said of each UID.
type crashed struct {
	acked map[store.UID]string // hash
	tried map[store.UID]bool   // to be expunged: may be there or not
	gone  map[store.UID]bool
}

// What was acknowledged before a kill -9 is there afterwards, whole, and
// nothing is out of order.
func TestKilledWhileAccepting(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{Owner: true})
	a, inbox := addAccount(t, e, "bob")
	e.Close()
	said := crashed{map[store.UID]string{}, map[store.UID]bool{}, map[store.UID]bool{}}
	for round := range 4 {
		runChild(t, dir, 50+100*round, said)
		e := openTest(t, dir, Options{Owner: true})
		clean(t, e)
		bodies := map[store.UID]string{}
		err := e.Fetch(t.Context(), inbox, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
			b := make([]byte, c.Size-int64(len(c.Prefix)))
			if _, err := c.ReadAt(b, int64(len(c.Prefix))); err != nil {
				return err
			}
			bodies[c.UID] = fmt.Sprintf("%x", sha256.Sum256(b))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for uid, hash := range said.acked {
			got, there := bodies[uid]
			switch {
			case there && said.gone[uid]:
				t.Errorf("round %d: uid %d is there again", round, uid)
			case !there && said.tried[uid]:
			case got != hash:
				t.Errorf("round %d: uid %d has hash %.8q, want %.8s", round, uid, got, hash)
			}
		}
		account, err := e.Account(t.Context(), a.ID)
		if err != nil || account.Count != int64(len(bodies)) {
			t.Errorf("account %+v, %v; %d messages", account, err, len(bodies))
		}
		e.Close()
	}
	t.Logf("%d messages acknowledged, %d expunged", len(said.acked), len(said.gone))
}

// runChild runs a child, kills it in the middle of its work after it has
// acknowledged n messages, and notes all that it has.
func runChild(t *testing.T, dir string, n int, said crashed) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDirEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen := 0; lines.Scan(); {
		var word, hash string
		var uid store.UID
		fields, _ := fmt.Sscanf(lines.Text(), "%s %d %s", &word, &uid, &hash)
		switch {
		case word == "error":
			t.Errorf("child: %s", lines.Text())
		case word == "try" && fields == 2:
			said.tried[uid] = true
		case word == "gone" && fields == 2:
			said.gone[uid] = true
		case word == "ack" && len(hash) == 2*sha256.Size: // else it was cut off by the kill
			if _, twice := said.acked[uid]; twice {
				t.Errorf("uid %d was given twice", uid)
			}
			said.acked[uid] = hash
			if seen++; seen == n {
				child.Process.Kill()
			}
		}
	}
	child.Wait()
}
