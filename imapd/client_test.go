package imapd_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"

	"postrider/imapd"
	"postrider/internal/wiretest"
)

// dialClient logs go-imap's client in.
func dialClient(t *testing.T, w *world, o *imapclient.Options) *imapclient.Client {
	t.Helper()
	c := imapclient.New(w.dial("x"), o)
	t.Cleanup(func() { c.Close() })
	if err := c.Authenticate(sasl.NewPlainClient("", "alice@a.test", password)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestClientReadsMessage(t *testing.T) {
	w := newWorld(t)
	if err := w.deliver("nested", "INBOX"); err != nil {
		t.Fatal(err)
	}
	c := dialClient(t, w, nil)
	if _, err := c.Enable(imap.CapIMAP4rev2).Wait(); err != nil {
		t.Fatal(err)
	}
	sel, err := c.Select("INBOX", nil).Wait()
	if err != nil || sel.NumMessages != 1 {
		t.Fatalf("SELECT: %+v, %v", sel, err)
	}
	found, err := c.UIDSearch(&imap.SearchCriteria{Body: []string{"boxkämpfer"}}, &imap.SearchOptions{ReturnAll: true}).Wait()
	if err != nil || found.All.String() != "1" {
		t.Fatalf("SEARCH: %+v, %v", found, err)
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	part := &imap.FetchItemBinarySection{Part: []int{2, 1}, Peek: true}
	msgs, err := c.Fetch(imap.UIDSetNum(1), &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true}, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{whole}, BinarySection: []*imap.FetchItemBinarySection{part},
	}).Collect()
	if err != nil || len(msgs) != 1 {
		t.Fatalf("FETCH: %d messages, %v", len(msgs), err)
	}
	m := msgs[0]
	if m.Envelope.Subject != "nested" || m.Envelope.Sender[0].Mailbox != "secretary" || m.Envelope.ReplyTo[0].Mailbox != "list" {
		t.Errorf("ENVELOPE: %+v", m.Envelope)
	}
	if got := m.BodyStructure.MediaType(); got != "multipart/mixed" {
		t.Errorf("BODYSTRUCTURE: %s", got)
	}
	if got := string(m.FindBinarySection(part)); got != "Zwölf Boxkämpfer\r\n" {
		t.Errorf("BINARY: %q", got)
	}
	body := m.FindBodySection(whole)
	if int64(len(body)) != m.RFC822Size || !bytes.HasPrefix(body, []byte(prefix)) {
		t.Errorf("BODY[] has %d bytes, RFC822.SIZE is %d", len(body), m.RFC822Size)
	}
}

func TestClientIdle(t *testing.T) {
	w := newWorld(t)
	exists := make(chan uint32, 10)
	c := dialClient(t, w, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				exists <- *d.NumMessages
			}
		},
	}})
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.deliver("plain", "INBOX"); err != nil {
		t.Fatal(err)
	}
	select {
	case n := <-exists:
		if n != 1 {
			t.Errorf("%d EXISTS", n)
		}
	case <-time.After(30 * time.Second):
		t.Error("IDLE told nothing")
	}
	if err := idle.Close(); err != nil {
		t.Error(err)
	}
	if err := idle.Wait(); err != nil {
		t.Error(err)
	}
}

func TestClientMailboxes(t *testing.T) {
	w := newWorld(t)
	c := dialClient(t, w, nil)
	if err := c.Create("Räume/Küche", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	list, err := c.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}, ReturnSpecialUse: true}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range list {
		names = append(names, l.Mailbox)
		if l.Status == nil && !slices.Contains(l.Attrs, imap.MailboxAttrNonExistent) {
			t.Errorf("%s has no STATUS", l.Mailbox)
		}
	}
	if want := "INBOX Archive Drafts Junk Räume Räume/Küche Sent Trash"; strings.Join(names, " ") != want {
		t.Errorf("LIST: %q", names)
	}
	append := c.Append("Räume/Küche", 5, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	io.WriteString(append, "a: b\n")
	if err := append.Close(); err != nil {
		t.Fatal(err)
	}
	if data, err := append.Wait(); err != nil || data.UID != 1 {
		t.Errorf("APPEND: %+v, %v", data, err)
	}
	if _, err := c.Select("Räume/Küche", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if data, err := c.Move(imap.SeqSetNum(1), "Trash").Wait(); err != nil || data.DestUIDs.String() != "1" {
		t.Errorf("MOVE: %+v, %v", data, err)
	}
}

// TestFetchStreams reads many messages at once and sees that they are never
// all in memory: those here are more than what may be added.
func TestFetchStreams(t *testing.T) {
	const messages, size, allowed = 60, 1 << 20, 24 << 20
	w := newWorld(t)
	body := fmt.Sprintf("Subject: large\r\n\r\n%s\r\n", strings.Repeat(strings.Repeat("x", 76)+"\r\n", size/78))
	for range messages {
		if err := w.accept([]byte(body), "INBOX"); err != nil {
			t.Fatal(err)
		}
	}
	nc := w.dial("x")
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(60 * time.Second))
	c := newClient(t, nc)
	c.line()
	c.send(`a LOGIN alice@a.test "correct horse"`)
	c.line()
	c.send("b EXAMINE INBOX")
	for !strings.HasPrefix(c.line(), "b OK") {
	}
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	c.send("c FETCH 1:* BODY.PEEK[]")
	var highest uint64
	for n := 0; ; n++ {
		l := c.line()
		if strings.HasPrefix(l, "c ") {
			if !strings.HasPrefix(l, "c OK") {
				t.Error(l)
			}
			break
		}
		if n%2000 == 0 {
			runtime.ReadMemStats(&now)
			highest = max(highest, now.HeapAlloc)
		}
	}
	if highest > before.HeapAlloc+allowed {
		t.Errorf("the heap grew by %d MiB", (highest-before.HeapAlloc)>>20)
	}
}

// TestAppendStreams stores a message that is larger than what may be added to
// memory for it.
func TestAppendStreams(t *testing.T) {
	const size, allowed, piece = 20 << 20, 12 << 20, 78 << 10
	w := newWorld(t)
	o := w.options(nil, "127.0.0.0/8")
	o.MaxMessageBytes = size
	nc := wiretest.Listen(t, imapd.New(o).Serve)("x")
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Minute))
	c := newClient(t, nc)
	c.line()
	c.send(`a LOGIN alice@a.test "correct horse"`)
	c.line()
	body := []byte(strings.Repeat(strings.Repeat("x", 76)+"\r\n", piece/78))
	var before, now runtime.MemStats
	var highest uint64
	for _, literal := range []string{"", "+"} { // asked for, and not
		runtime.GC()
		runtime.ReadMemStats(&before)
		pieces := size / piece
		c.send(fmt.Sprintf("b APPEND INBOX {%d%s}", pieces*piece, literal))
		if literal == "" && c.line() != "+ OK" {
			t.Fatal("not asked for the literal")
		}
		for i := range pieces {
			if _, err := nc.Write(body); err != nil {
				t.Fatal(err)
			}
			if i%50 == 0 {
				runtime.ReadMemStats(&now)
				highest = max(highest, now.HeapAlloc)
			}
		}
		c.send("")
		if l := c.line(); !strings.HasPrefix(l, "b OK [APPENDUID ") {
			t.Error(l)
		}
		if highest > before.HeapAlloc+allowed {
			t.Errorf("the heap grew by %d MiB", (highest-before.HeapAlloc)>>20)
		}
	}
}

// TestFetchAllocates holds a FETCH to the same few allocations, however many
// messages it is of: rows and what is remembered of messages go to the
// connection without anything made for them.
func TestFetchAllocates(t *testing.T) {
	const messages, allowed = 2000, 400
	w := newWorld(t)
	nc := w.dial("x")
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReaderSize(nc, 1<<20)
	read := func(tag string) {
		t.Helper()
		for {
			l, err := r.ReadSlice('\n')
			if err != nil {
				t.Fatal(err)
			}
			if bytes.HasPrefix(l, []byte(tag+" ")) {
				if !bytes.HasPrefix(l[2:], []byte("OK")) {
					t.Fatalf("%s", l)
				}
				return
			}
		}
	}
	fmt.Fprint(nc, "a LOGIN alice@a.test \"correct horse\"\r\n")
	read("a")
	fmt.Fprint(nc, "b APPEND INBOX", strings.Repeat(" (\\Seen $Junk) {25+}\r\nFrom: a@b.test\r\nDate: x\r\n", messages), "\r\n")
	read("b")
	fmt.Fprint(nc, "c EXAMINE INBOX\r\n")
	read("c")
	for _, items := range []string{"(UID FLAGS INTERNALDATE RFC822.SIZE MODSEQ)", "(FLAGS ENVELOPE BODYSTRUCTURE)", "BODY.PEEK[HEADER.FIELDS (FROM)]"} {
		least := uint64(math.MaxUint64)
		for range 5 { // what else runs may make something meanwhile
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			fmt.Fprint(nc, "d FETCH 1:* "+items+"\r\n")
			read("d")
			runtime.ReadMemStats(&after)
			least = min(least, after.Mallocs-before.Mallocs)
		}
		t.Logf("%s: %d", items, least)
		if least > allowed {
			t.Errorf("FETCH %s of %d messages makes %d allocations, want %d at most", items, messages, least, allowed)
		}
	}
}
