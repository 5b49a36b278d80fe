package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"

	"postrider/mail"
	"postrider/store"
	"postrider/store/blob"
)

// addAccount makes user@a.test and returns it with its INBOX.
func addAccount(t testing.TB, e *Engine, user string) (store.Account, store.MailboxID) {
	t.Helper()
	ctx := context.Background()
	if _, err := e.AddDomain(ctx, "a.test"); err != nil && store.KindOf(err) != store.Exists {
		t.Fatal(err)
	}
	a, err := e.AddAccount(ctx, store.NewAccount{Address: mail.Address{Local: user, Domain: "a.test"}})
	if err != nil {
		t.Fatal(err)
	}
	inbox, err := e.Mailbox(ctx, a.ID, store.Inbox)
	if err != nil {
		t.Fatal(err)
	}
	return a, inbox.ID
}

// text makes a message with a body of n random characters in lines.
func text(seed uint64, n int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: alice@a.test\r\nTo: bob@a.test\r\nSubject: number %d\r\nMessage-ID: <%d@a.test>\r\n\r\n", seed, seed)
	r := rand.New(rand.NewPCG(seed, 7))
	line := make([]byte, 70)
	for n > 0 {
		for i := range line {
			line[i] = byte('a' + r.IntN(26))
		}
		k := min(n, len(line))
		b.Write(line[:k])
		b.WriteString("\r\n")
		n -= k + 2
	}
	return b.Bytes()
}

func acceptance(a store.AccountID, body []byte) *store.Acceptance {
	return &store.Acceptance{ID: "0000000000000001", Body: bytes.NewReader(body),
		Local: []store.LocalRcpt{{Account: a, Mailbox: store.Inbox, Prefix: []byte("Return-Path: <alice@a.test>\r\n")}}}
}

// readBody fetches one message whole.
func readBody(t testing.TB, e *Engine, box store.MailboxID, uid store.UID) (b []byte, err error) {
	t.Helper()
	n := 0
	err = e.Fetch(context.Background(), box, store.UIDSetOf(uid), store.NeedBody|store.NeedMeta, func(c *store.Content) error {
		n++
		b, err = io.ReadAll(io.NewSectionReader(c, 0, c.Size))
		return err
	})
	if err == nil && n != 1 {
		t.Fatalf("uid %d came %d times", uid, n)
	}
	return b, err
}

// clean wants a deep Check to find nothing.
func clean(t testing.TB, e *Engine) {
	t.Helper()
	found, err := e.Check(context.Background(), true)
	if err != nil || len(found) > 0 {
		t.Errorf("check: %v, %v", found, err)
	}
}

func TestBodiesOfEverySize(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{Owner: true})
	a, inbox := addAccount(t, e, "bob")
	prefix := acceptance(a.ID, nil).Local[0].Prefix
	for i, n := range []int{0, 1, 5000, defaultInlineMax - 200, defaultInlineMax + 1, 3 << 20} {
		body := text(uint64(i), n)
		done, err := e.Accept(t.Context(), acceptance(a.ID, body))
		if err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Clone(prefix), body...)
		err = e.Fetch(t.Context(), inbox, store.UIDSetOf(done.Filed[0].UID), store.NeedBody|store.NeedMeta, func(c *store.Content) error {
			if c.Meta.Size != int64(len(body)) || c.Size != int64(len(want)) {
				t.Errorf("%d bytes: size %d, of the body %d", n, c.Size, c.Meta.Size)
			}
			return iotest.TestReader(io.NewSectionReader(c, 0, c.Size), want)
		})
		if err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	clean(t, e)
}

// A message may have no bytes at all, and a file no end of line.
func TestOddBodies(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	_, inbox := addAccount(t, e, "bob")
	for _, body := range []string{"", "\r\n", "x", "\x00\xff", "no header\r\nat all"} {
		f, err := e.Append(t.Context(), "", inbox, strings.NewReader(body), store.Flags{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readBody(t, e, inbox, f.UID); err != nil || string(got) != body {
			t.Errorf("%q: got %q, %v", body, got, err)
		}
	}
	clean(t, e)
}

// What is served is the prefix and then the body without the cuts, and the
// structure describes just that.
func TestCuts(t *testing.T) {
	for _, inlineMax := range []int64{defaultInlineMax, 10} {
		e := openTest(t, t.TempDir(), Options{InlineMax: inlineMax})
		a, inbox := addAccount(t, e, "bob")
		body := []byte("A: 1\r\nAuthentication-Results: forged\r\nSubject: x\r\nB: 2\r\n\r\ntext\r\n")
		cut := int64(strings.Index(string(body), "Auth"))
		m := acceptance(a.ID, body)
		m.Cut = []store.Range{{From: cut, To: cut + int64(len("Authentication-Results: forged\r\n"))}, {From: 48 + 3, To: 48 + 3 + 6}}
		want := "Return-Path: <alice@a.test>\r\nA: 1\r\nSubject: x\r\n\r\ntext\r\n"
		m.Cut[1].From = int64(strings.Index(string(body), "B: 2"))
		m.Cut[1].To = m.Cut[1].From + 6
		done, err := e.Accept(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readBody(t, e, inbox, done.Filed[0].UID)
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v", got, err)
		}
		clean(t, e)
		m.Cut = []store.Range{{From: 5, To: 9}, {From: 8, To: 10}}
		if _, err := e.Accept(t.Context(), m); store.KindOf(err) != store.Invalid {
			t.Errorf("overlapping cuts: %v", err)
		}
	}
}

func TestThreads(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, inbox := addAccount(t, e, "bob")
	ids := map[string]int64{}
	add := func(name, header string) {
		t.Helper()
		done, err := e.Accept(t.Context(), acceptance(a.ID, []byte(header+"\r\ntext\r\n")))
		if err != nil {
			t.Fatal(err)
		}
		d, err := e.Changes(t.Context(), inbox, 0)
		if err != nil {
			t.Fatal(err)
		}
		last := d.Changed.At(d.Changed.Len() - 1)
		if last.UID != done.Filed[0].UID || last.EmailID == 0 || last.ThreadID == 0 {
			t.Fatalf("row %+v", last)
		}
		ids[name] = last.ThreadID
	}
	add("root", "Message-ID: <root@x>\r\n")
	add("reply", "Message-ID: <reply@x>\r\nIn-Reply-To: <root@x>\r\n")
	add("reply2", "Message-ID: <reply2@x>\r\nReferences: <root@x>\r\n <reply@x>\r\n")
	add("other", "Message-ID: <other@x>\r\n")
	add("none", "Subject: nothing\r\n")
	add("orphan1", "Message-ID: <o1@x>\r\nReferences: <missing@x>\r\n")
	add("orphan2", "Message-ID: <o2@x>\r\nReferences: <missing@x>\r\n")
	for _, same := range [][2]string{{"root", "reply"}, {"root", "reply2"}, {"orphan1", "orphan2"}} {
		if ids[same[0]] != ids[same[1]] {
			t.Errorf("%s and %s are in different threads", same[0], same[1])
		}
	}
	for _, differ := range [][2]string{{"root", "other"}, {"other", "none"}, {"none", "orphan1"}} {
		if ids[differ[0]] == ids[differ[1]] {
			t.Errorf("%s and %s are in one thread", differ[0], differ[1])
		}
	}
}

// A message damaged on the disk is an error for itself alone.
func TestDamagedBodyIsNotServed(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{})
	a, inbox := addAccount(t, e, "bob")
	big := text(1, 300000)
	for i, b := range [][]byte{text(0, 2000), big, text(2, 2000)} {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, b)); err != nil {
			t.Fatal(i, err)
		}
	}
	mustExec(t, e, "UPDATE body_data SET data = CAST(replace(data, 'a', 'b') AS BLOB) WHERE id = (SELECT body FROM message WHERE uid = 1)")
	segs, _ := filepath.Glob(filepath.Join(dir, bodiesDir, "*"))
	b, err := os.ReadFile(segs[0])
	if err != nil {
		t.Fatal(err)
	}
	b[200000] ^= 1
	if err := os.WriteFile(segs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	for uid := store.UID(1); uid <= 2; uid++ {
		if got, err := readBody(t, e, inbox, uid); err == nil {
			t.Errorf("uid %d: served %d bytes", uid, len(got))
		}
	}
	if _, err := readBody(t, e, inbox, 3); err != nil {
		t.Error(err)
	}
	found, err := e.Check(t.Context(), true)
	if err != nil || len(found) != 2 {
		t.Errorf("check found %q, %v", found, err)
	}
}

// A structure damaged on the disk is made anew from the body.
func TestDamagedStructureIsMadeAnew(t *testing.T) {
	for _, inlineMax := range []int64{0, 100} {
		e := openTest(t, t.TempDir(), Options{InlineMax: inlineMax})
		a, inbox := addAccount(t, e, "bob")
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(5, 2000))); err != nil {
			t.Fatal(err)
		}
		mustExec(t, e, "UPDATE body SET meta = zeroblob(length(meta))")
		for _, need := range []store.Need{store.NeedMeta, store.NeedMeta | store.NeedBody} {
			err := e.Fetch(t.Context(), inbox, store.AllUIDs(), need, func(c *store.Content) error {
				if c.Meta.Envelope.Subject != "number 5" {
					t.Errorf("subject %q", c.Meta.Envelope.Subject)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
}

// Neither body nor row may be exchanged for another.
func TestExchangedBodyIsNotServed(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, inbox := addAccount(t, e, "bob")
	for i := range 2 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 1000))); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, e, "UPDATE message SET body = (SELECT max(body) FROM message) WHERE uid = 1")
	if _, err := readBody(t, e, inbox, 1); err == nil {
		t.Error("served another message's body")
	}
}

func mustExec(t testing.TB, e *Engine, query string) {
	t.Helper()
	if err := e.write(context.Background(), "test", func(tx *tx) error {
		_, err := tx.exec(query)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// While a large body is being read, its message may go; the reader gets all
// of it, and the space comes back afterwards.
func TestExpungeUnderAReader(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{})
	a, inbox := addAccount(t, e, "bob")
	body := text(1, 1<<20)
	if _, err := e.Accept(t.Context(), acceptance(a.ID, body)); err != nil {
		t.Fatal(err)
	}
	err := e.Fetch(t.Context(), inbox, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
		if _, err := e.Expunge(t.Context(), inbox, store.AllUIDs(), false); err != nil {
			return err
		}
		got, err := io.ReadAll(io.NewSectionReader(c, int64(len(c.Prefix)), c.Size))
		if !bytes.Equal(got, body) {
			t.Errorf("read %d bytes", len(got))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if len(e.undropped) != 1 {
		t.Errorf("%d bodies wait to be dropped", len(e.undropped))
	}
	e.drop(nil)
	if len(e.undropped) != 0 {
		t.Errorf("%d bodies wait to be dropped after the reader has gone", len(e.undropped))
	}
	clean(t, e)
}

// The sweep at start believes a damaged row less than a record that says whose
// it is.
func TestSweepKeepsWhatARowMisplaces(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{})
	a, inbox := addAccount(t, e, "bob")
	for i := range 2 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 1<<20))); err != nil {
			t.Fatal(err)
		}
	}
	mustExec(t, e, "UPDATE body SET off = off + 1 << 30 WHERE off > 0")
	e.Close()
	e = openTest(t, dir, Options{Owner: true})
	if err := e.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, e, "UPDATE body SET off = (off >> 30) - 1 WHERE off > 0")
	if got, err := readBody(t, e, inbox, 2); err != nil || !bytes.HasSuffix(got, text(1, 1<<20)) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	clean(t, e)
}

// An operation that was done before leaves no second body behind, and a
// failed one none at all.
func TestNoGarbage(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{Owner: true})
	a, _ := addAccount(t, e, "bob")
	m := acceptance(a.ID, text(1, 1<<20))
	m.Op = "once"
	first, err := e.Accept(t.Context(), m)
	if err != nil || first.Again {
		t.Fatal(first, err)
	}
	again, err := e.Accept(t.Context(), m)
	if err != nil || !again.Again || again.Filed[0] != first.Filed[0] {
		t.Errorf("again: %+v, %v; first %+v", again, err, first)
	}
	bad := acceptance(a.ID+1000, text(2, 1<<20))
	if _, err := e.Accept(t.Context(), bad); store.KindOf(err) != store.NotFound {
		t.Errorf("account that is not there: %v", err)
	}
	var info unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, bodiesDir, "0000000001.seg"), &info); err != nil || info.Blocks*512 > 1<<20+100<<10 {
		t.Errorf("the segment takes %d bytes, %v", info.Blocks*512, err)
	}
	clean(t, e)
}

// brokenSync is a disk on which nothing can be made durable while it is on.
type brokenSync struct {
	blob.Disk
	on *atomic.Bool
}

type brokenFile struct {
	blob.File
	on *atomic.Bool
}

func (b brokenSync) Create(path string) (blob.File, error) {
	f, err := b.Disk.Create(path)
	return brokenFile{f, b.on}, err
}

func (f brokenFile) Sync() error {
	if f.on.Load() {
		return unix.EIO
	}
	return f.File.Sync()
}

// A body that was not synced is never acknowledged, also not later.
func TestFailedSyncIsNoSuccess(t *testing.T) {
	var on atomic.Bool
	e := openTest(t, t.TempDir(), Options{FS: brokenSync{on: &on}})
	a, inbox := addAccount(t, e, "bob")
	on.Store(true)
	for range 3 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(1, 1<<20))); !errors.Is(err, unix.EIO) || store.KindOf(err) != store.Internal {
			t.Errorf("accepted without a sync: %v", err)
		}
	}
	if _, err := e.Accept(t.Context(), acceptance(a.ID, text(1, 1000))); err != nil {
		t.Errorf("a small one, which needs no segment: %v", err)
	}
	on.Store(false)
	if _, err := e.Accept(t.Context(), acceptance(a.ID, text(2, 1<<20))); err != nil {
		t.Error(err)
	}
	if m, err := e.Mailbox(t.Context(), a.ID, store.Inbox); err != nil || m.Total != 2 || m.ID != inbox {
		t.Errorf("%+v, %v", m, err)
	}
	clean(t, e)
}

// What a crash leaves in segments is dropped by the owner, and only by it.
func TestSweepAtStart(t *testing.T) {
	dir := t.TempDir()
	e := openTest(t, dir, Options{Owner: true})
	a, inbox := addAccount(t, e, "bob")
	body := text(1, 1<<20)
	done, err := e.Accept(t.Context(), acceptance(a.ID, body))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.prepare(t.Context(), acceptance(a.ID, body)); err != nil { // and no commit
		t.Fatal(err)
	}
	e.Close()
	seg := filepath.Join(dir, bodiesDir, "0000000001.seg")
	before, _ := os.Stat(seg)
	openTest(t, dir, Options{}).Close()
	if now, _ := os.Stat(seg); now.Size() != before.Size() {
		t.Error("swept by a handle that does not own the directory")
	}
	e = openTest(t, dir, Options{Owner: true})
	for start := time.Now(); ; time.Sleep(10 * time.Millisecond) { // it is done beside other work
		now, err := os.Stat(seg)
		if err != nil || now.Size() <= before.Size()*2/3 { // or the body was moved, and all of it went
			break
		}
		if time.Since(start) > time.Minute {
			t.Fatalf("segment has %d bytes, had %d", now.Size(), before.Size())
		}
	}
	if got, err := readBody(t, e, inbox, done.Filed[0].UID); err != nil || !bytes.HasSuffix(got, body) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	clean(t, e)
}

// A fetch of many messages holds only some of them at once.
func TestFetchIsBounded(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, inbox := addAccount(t, e, "bob")
	for i := range 40 {
		if _, err := e.Accept(t.Context(), acceptance(a.ID, text(uint64(i), 200000))); err != nil {
			t.Fatal(err)
		}
	}
	f := &fetcher{e: e, box: inbox, left: store.AllUIDs(), need: store.NeedBody}
	b := f.batch(t.Context())
	if b.err != nil {
		t.Fatal(b.err)
	}
	bytes := 0
	for _, s := range b.got {
		bytes += len(s.data)
	}
	if bytes > batchBytes+defaultInlineMax || len(f.left) == 0 {
		t.Errorf("a batch of %d messages holds %d bytes", len(b.got), bytes)
	}
	var uids []store.UID
	err := e.Fetch(t.Context(), inbox, store.UIDSet{{Lo: 2, Hi: 3}, {Lo: 5, Hi: 5}, {Lo: 7, Hi: store.MaxUID}}, store.NeedBody, func(c *store.Content) error {
		uids = append(uids, c.UID)
		if c.UID == 20 { // it may write meanwhile
			_, err := e.Expunge(t.Context(), inbox, store.UIDSetOf(39), false)
			return err
		}
		return nil
	})
	want := append(append([]store.UID{2, 3, 5}, seq(7, 38)...), 40)
	if err != nil || !slices.Equal(uids, want) {
		t.Errorf("fetched %v, %v", uids, err)
	}
	stop := errors.New("stop")
	if err := e.Fetch(t.Context(), inbox, store.AllUIDs(), store.NeedBody, func(*store.Content) error { return stop }); err != stop {
		t.Errorf("error of the callback became %v", err)
	}
}

func seq(from, to store.UID) (s []store.UID) {
	for ; from <= to; from++ {
		s = append(s, from)
	}
	return s
}

func TestOldOperationsAreForgotten(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	e := openTest(t, t.TempDir(), Options{Now: func() time.Time { return now }})
	a, _ := addAccount(t, e, "bob")
	m := acceptance(a.ID, text(1, 100))
	m.Op = "once"
	for _, again := range []bool{false, true} {
		if done, err := e.Accept(t.Context(), m); err != nil || done.Again != again {
			t.Fatal(done, err)
		}
		now = now.Add(keepOps / 2)
		if err := e.forget(); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	if err := e.forget(); err != nil {
		t.Fatal(err)
	}
	if done, err := e.Accept(t.Context(), m); err != nil || done.Again {
		t.Errorf("after 7 days: %+v, %v", done, err)
	}
}

func TestHashIsOfWhatCame(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	a, _ := addAccount(t, e, "bob")
	body := text(9, 5000)
	if _, err := e.Accept(t.Context(), acceptance(a.ID, body)); err != nil {
		t.Fatal(err)
	}
	var hash []byte
	if err := e.read(t.Context(), "test", func(tx *tx) error { return tx.get("SELECT hash FROM body", nil, &hash) }); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(body); !bytes.Equal(hash, want[:]) {
		t.Errorf("hash %x, want %x", hash, want)
	}
}
