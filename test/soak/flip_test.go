package soak

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/lab"
)

// name is a message's for ever.
type name struct {
	box box
	uid uint32
}

// sample is a store with what is in it.
type sample struct {
	files  map[string][]byte // by path in the data directory
	bodies map[name][]byte   // as IMAP serves them
	ids    map[name]string   // as check names them: "body 17" and "message 1/1/3"
}

// makeSample fills a store with bodies in both places, copied and moved about.
func makeSample(t *testing.T, seed uint64) *sample {
	t.Helper()
	conf, l := siteConfig(t.TempDir()), newLedger(seed)
	s, err := lab.Start(t.Context(), conf)
	if err != nil {
		t.Fatal(err)
	}
	d := &load{t: t, l: l, addr: s.Addr, ctx: t.Context(), perSession: 8}
	for _, session := range []func(*load) error{(*load).smtp, (*load).lmtp, (*load).append, (*load).shuffle, (*load).submission} {
		if err := session(d); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{300_000, 400_000, 70_000, 80_000} {
		if err := ways["SMTP"](s, n); err != nil {
			t.Fatal(err)
		}
	}
	sam := &sample{files: map[string][]byte{}, bodies: readAll(t, s, nil), ids: map[name]string{}}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	sam.number(t, conf)
	err = filepath.WalkDir(conf.DataDir(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, _ := filepath.Rel(conf.DataDir(), path)
		sam.files[rel], err = os.ReadFile(path)
		return err
	})
	if err != nil || len(sam.bodies) < 50 {
		t.Fatalf("%d messages, %v", len(sam.bodies), err)
	}
	return sam
}

// number notes how check names each message.
func (sam *sample) number(t *testing.T, conf lab.Config) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(conf.DataDir(), "mail.db")+"?mode=ro&immutable=1")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT a.address, b.name, m.uid, printf('body %d:|message %d/%d/%d ', m.body, m.acct, m.mbox, m.uid)
		FROM message m JOIN mailbox b ON b.acct = m.acct AND b.id = m.mbox JOIN account a ON a.id = m.acct`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n name
		var id string
		if err := rows.Scan(&n.box.user, &n.box.name, &n.uid, &id); err != nil {
			t.Fatal(err)
		}
		sam.ids[n] = id
	}
	if err := rows.Err(); err != nil || len(sam.ids) != len(sam.bodies) {
		t.Fatalf("%d rows for %d messages, %v", len(sam.ids), len(sam.bodies), err)
	}
}

// put writes the store to a directory with some bytes changed, in the
// database, in segments, or in both.
func (sam *sample) put(t *testing.T, dir string, r *rand.Rand) (where string) {
	t.Helper()
	where = []string{"database", "segments", "both"}[r.IntN(3)]
	for rel, b := range sam.files {
		isDB, isSeg := rel == "mail.db", strings.HasSuffix(rel, ".seg")
		if isDB && where != "segments" || isSeg && where != "database" {
			b = bytes.Clone(b)
			for range 1 << r.IntN(13) {
				b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
			}
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, rel)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, rel), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return where
}

// readAll reads each message by itself, of every mailbox that opens. What
// cannot be read is told to refused, if that is not nil; else it fails the
// test.
func readAll(t *testing.T, s *lab.Site, refused func(n name, err error)) map[name][]byte {
	t.Helper()
	got := map[name][]byte{}
	for _, b := range mailboxes {
		readEach(s, b, got, func(n name, err error) {
			if refused == nil {
				t.Fatalf("%v: %v", n, err)
			}
			refused(n, err)
		})
	}
	return got
}

func readEach(s *lab.Site, b box, got map[name][]byte, refused func(name, error)) {
	var w *wire
	defer func() {
		if w != nil {
			w.Close()
		}
	}()
	open := func() (a answer, err error) {
		if w != nil {
			w.Close()
		}
		if w, err = login(s.Addr["imap"], b.user); err == nil {
			_, err = w.imap("SELECT %s", b.name)
		}
		if err == nil {
			a, err = w.imap("UID FETCH 1:* (UID)")
		}
		return a, err
	}
	list, err := open()
	if err != nil {
		refused(name{b, 0}, err)
		return
	}
	for _, u := range list.lines {
		uid, ok := number(uidOf, u.text)
		if !ok {
			continue
		}
		n := name{b, uint32(uid)}
		a, err := w.imap("UID FETCH %d (BODY.PEEK[])", n.uid)
		for _, u := range a.lines {
			if u.literal != nil && err == nil {
				got[n] = u.literal
			}
		}
		if err != nil {
			refused(n, err)
			if _, err := open(); err != nil {
				return
			}
		}
	}
}

// checked is what postrider check --json says.
type checked struct {
	OK       bool
	Messages int
	Findings []string
}

func check(s *lab.Site, args ...string) (checked, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := s.Run(ctx, "", append([]string{"check", "--json"}, args...)...)
	var c checked
	if jerr := json.Unmarshal([]byte(out), &c); jerr != nil {
		return c, fmt.Errorf("check: %w, %w", err, jerr)
	}
	return c, nil
}

// names tells whether findings tell of a message.
func (c *checked) names(id string) bool {
	for _, f := range c.Findings {
		for _, part := range strings.Split(id, "|") {
			if strings.Contains(f+" ", part) {
				return true
			}
		}
	}
	return false
}

// structural tells of damage to the database itself, which keeps check from
// looking at each message.
func (c *checked) structural() bool {
	for _, f := range c.Findings {
		if !strings.HasPrefix(f, "body ") && !strings.HasPrefix(f, "message ") {
			return true
		}
	}
	return false
}

// TestFlippedBytes changes random bytes of the store: no message is ever
// served with other bytes or under another UID, and check finds every message
// that is not served as it was.
func TestFlippedBytes(t *testing.T) {
	random, seed := seeded(t)
	begin := time.Now()
	sam := makeSample(t, seed)
	runs := pick("flip", 6, 200)
	refused, damaged, hidden, kept, hopeless := 0, 0, 0, 0, 0
	for run := range runs {
		conf := siteConfig(t.TempDir())
		where := sam.put(t, conf.DataDir(), random)
		s, err := lab.Start(t.Context(), conf)
		if err != nil {
			if !strings.Contains(err.Error(), "damaged") && !strings.Contains(err.Error(), "malformed") && !strings.Contains(err.Error(), "schema version") {
				t.Errorf("run %d, %s: it does not start, and does not say why: %v", run, where, err)
			}
			refused++
			n, ok := sam.repaired(t, conf, nil)
			if kept += n; !ok {
				hopeless++
			}
			continue
		}
		why := map[name]error{}
		got := readAll(t, s, func(n name, err error) { why[n] = err })
		lost := sam.compare(t, got)
		// A login that was damaged keeps whole messages from being read.
		lost = slices.DeleteFunc(lost, func(n name) bool { return why[name{n.box, 0}] != nil })
		damaged += len(lost)
		c, err := check(s)
		switch {
		case err != nil && len(lost) > 0:
			hidden++ // it ends with the database's own error, which says enough
		case len(lost) > 0 && c.OK:
			t.Errorf("run %d, %s: %d messages are not served, and check finds nothing", run, where, len(lost))
		case !c.structural():
			for _, n := range lost {
				if !c.names(sam.ids[n]) {
					t.Errorf("run %d, %s: %v is not served, and check does not tell of %s: %q; %v", run, where, n, sam.ids[n], c.Findings, why[n])
				}
			}
		}
		s.Kill()
		n, ok := sam.repaired(t, conf, got)
		if kept += n; !ok {
			t.Error("a store that opens is not repaired")
		}
		if t.Failed() {
			t.Fatalf("run %d, bytes changed in %s", run, where)
		}
	}
	report(t, "bytes flipped in database and segments", begin,
		"%d stores, %d refused, %d messages not served and found by check, 0 served wrong; %d stores repaired with %d of %d messages",
		runs, refused, damaged, runs-hopeless, kept, runs*len(sam.bodies))
	t.Logf("%d times check could not read the database", hidden)
}

// repaired has postrider repair a store that no server runs on: check is
// content then, and every message that could be read before is there, under
// its old UID if that is still given. It returns how many messages there are,
// and whether the store could be repaired at all.
func (sam *sample) repaired(t *testing.T, conf lab.Config, before map[name][]byte) (kept int, ok bool) {
	t.Helper()
	// Accounts that lost their names come back by configuration, empty.
	site := &lab.Site{Config: conf}
	c, err := check(site, "--repair")
	if err != nil {
		return 0, false
	}
	if !c.OK {
		t.Errorf("after the repair: %q", c.Findings)
	}
	s, err := lab.Start(t.Context(), conf)
	if err != nil {
		t.Fatalf("a repaired store does not open: %v", err)
	}
	defer s.Kill()
	after := readAll(t, s, func(n name, err error) {
		if n.uid > 0 {
			t.Errorf("after the repair %v: %v", n, err)
		}
	})
	bodies := map[string]bool{}
	for n, b := range after {
		bodies[string(b)] = true
		if was, ok := sam.bodies[n]; ok && !bytes.Equal(was, b) {
			t.Errorf("after the repair %v has other bytes", n)
		}
	}
	for n, b := range before {
		if !bodies[string(b)] {
			t.Errorf("%v could be read, and the repair has not kept it", n)
		}
	}
	return len(after), true
}

// compare returns the messages that are not there, and complains of those
// that are not what they were.
func (sam *sample) compare(t *testing.T, got map[name][]byte) (lost []name) {
	t.Helper()
	for n, b := range got {
		if !bytes.Equal(b, sam.bodies[n]) {
			t.Errorf("%v is served with other bytes: %q, and was %q", n, b[:min(len(b), 200)], sam.bodies[n][:min(len(sam.bodies[n]), 200)])
		}
	}
	for n := range sam.bodies {
		if _, there := got[n]; !there {
			lost = append(lost, n)
		}
	}
	return lost
}
