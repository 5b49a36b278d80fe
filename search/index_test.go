package search_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/search"
	"postrider/store"
	"postrider/store/sqlite/sqlitetest"
)

// world is an account with mail and its index.
type world struct {
	*testing.T
	ctx   context.Context
	rnd   *rand.Rand
	store *store.Store
	acc   store.Account
	boxes []store.MailboxID
	dir   string
	index *search.Index
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{T: t, ctx: context.Background(), rnd: rand.New(rand.NewPCG(seed, 1)), store: sqlitetest.New(t), dir: t.TempDir()}
	_, err := w.store.AddDomain(w.ctx, "a.test")
	w.ok(err)
	w.acc, err = w.store.AddAccount(w.ctx, store.NewAccount{Address: mail.Address{Local: "alice", Domain: "a.test"}})
	w.ok(err)
	for _, name := range []string{store.Inbox, "Archive"} {
		m, err := w.store.Mailbox(w.ctx, w.acc.ID, name)
		w.ok(err)
		w.boxes = append(w.boxes, m.ID)
	}
	w.open()
	t.Cleanup(func() { w.index.Close() })
	return w
}

func (w *world) ok(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) open() {
	w.Helper()
	var err error
	w.index, err = search.Open(w.dir, w.store, search.Options{Idle: true})
	w.ok(err)
}

func (w *world) reopen() {
	w.Helper()
	w.ok(w.index.Close())
	w.open()
}

func (w *world) update() {
	w.Helper()
	w.ok(w.index.Update(w.ctx, w.acc.ID))
}

var syllables = strings.Fields("ab an ba be da de en er ge in ka lo na ne no or re ta te un Über groß ΣΊΣ мир 漢字 é e\u0301 X-1 .. ﬁ")

func (w *world) word() string {
	var b strings.Builder
	for range 1 + w.rnd.IntN(4) {
		b.WriteString(syllables[w.rnd.IntN(len(syllables))])
	}
	return b.String()
}

func (w *world) words(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = w.word()
	}
	return strings.Join(list, " ")
}

// message makes mail of all kinds: encoded and not, with fields that repeat or
// are missing, parts within parts, and text without end.
func (w *world) message() string {
	var b strings.Builder
	for _, f := range []string{"From", "To", "Cc", "Subject", "Subject", "X-Other", "Message-ID"} {
		switch w.rnd.IntN(5) {
		case 0:
		case 1:
			fmt.Fprintf(&b, "%s: %s\r\n", f, mail.EncodeWord(w.words(3)))
		case 2:
			fmt.Fprintf(&b, "%s: %s\r\n\t%s\r\n", strings.ToUpper(f), w.words(2), w.words(2))
		default:
			fmt.Fprintf(&b, "%s: %s\r\n", f, w.words(3))
		}
	}
	if w.rnd.IntN(40) == 0 {
		fmt.Fprintf(&b, "Subject: %s\r\n", w.words(600))
	}
	text := w.words(w.rnd.IntN(60))
	switch w.rnd.IntN(6) {
	case 0:
		fmt.Fprintf(&b, "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
			base64.StdEncoding.EncodeToString([]byte(text)))
	case 1:
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=x\r\n\r\npreamble %s\r\n--x\r\n\r\n%s\r\n--x\r\n"+
			"Content-Type: message/rfc822\r\n\r\nSubject: %s\r\n\r\n%s\r\n--x\r\nContent-Type: application/pdf\r\n\r\n%s\r\n--x--\r\n",
			w.word(), text, w.words(2), w.words(5), w.words(3))
	case 2:
		fmt.Fprintf(&b, "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\ngr=FC=DFe %s=\r\nx\r\n", w.word())
	case 3:
		fmt.Fprintf(&b, "Content-Type: text/plain; charset=utf-8\r\n\r\n%s\xff\r\n", text)
	default:
		fmt.Fprintf(&b, "\r\n%s\r\n", text)
	}
	return b.String()
}

// fill appends messages, all at once, so that they share their syncs.
func (w *world) fill(box store.MailboxID, n int) {
	w.Helper()
	errs := make(chan error, n)
	for range n {
		text := w.message()
		go func() {
			_, err := w.store.Append(w.ctx, "", box, strings.NewReader(text), store.Flags{}, time.Unix(1e9, 0))
			errs <- err
		}()
	}
	for range n {
		w.ok(<-errs)
	}
}

// change does something to the mail.
func (w *world) change() {
	w.Helper()
	from := w.boxes[w.rnd.IntN(2)]
	v, err := w.store.View(w.ctx, from)
	w.ok(err)
	var some store.UIDSet
	if n := v.Len(); n > 0 {
		lo := w.rnd.IntN(n)
		some = store.UIDSet{{Lo: v.UID(lo), Hi: v.UID(min(n-1, lo+w.rnd.IntN(60)))}}
	}
	switch op := w.rnd.IntN(8); {
	case op < 5 || some == nil:
		w.fill(from, w.rnd.IntN(150))
	case op == 5:
		_, err := w.store.Expunge(w.ctx, from, some, false)
		w.ok(err)
	default:
		_, err := w.store.Copy(w.ctx, "", from, some, w.boxes[w.rnd.IntN(2)], op == 6)
		w.ok(err)
	}
}

// term makes something to look for: a piece of a text that is there, or of
// one that may not be.
func (w *world) term(texts []string) search.Term {
	text := w.words(2)
	if len(texts) > 0 && w.rnd.IntN(3) > 0 {
		text = texts[w.rnd.IntN(len(texts))]
	}
	r := []rune(text)
	from := w.rnd.IntN(len(r))
	t := search.Term{Text: search.Fold(string(r[from:min(len(r), from+w.rnd.IntN(9))]))}
	switch w.rnd.IntN(3) {
	case 0:
		t.In = search.InBody
	case 1:
		t.In = search.InText
	case 2:
		t.Field = []string{"subject", "From", "To", "cc", "bcc", "X-Other", "Message-ID", "nö"}[w.rnd.IntN(8)]
	}
	return t
}

// compare holds what the index says to what reading says, and returns how much
// the index was certain of.
func (w *world) compare() (certain float64) {
	w.Helper()
	all, sure := 0, 0
	for _, box := range w.boxes {
		v, err := w.store.View(w.ctx, box)
		w.ok(err)
		var texts []string
		w.ok(w.store.Fetch(w.ctx, box, store.AllUIDs(), store.NeedBody, func(c *store.Content) error {
			if w.rnd.IntN(20) == 0 {
				b := make([]byte, c.Size)
				if _, err := c.ReadAt(b, 0); err != nil {
					return err
				}
				texts = append(texts, string(b))
			}
			return nil
		}))
		var terms []search.Term
		for range 40 {
			terms = append(terms, w.term(texts))
		}
		known := w.index.Narrow(w.ctx, w.acc.ID, v.EmailIDs(), terms)
		if known == nil {
			continue
		}
		i := 0
		var r search.Reader
		w.ok(w.store.Fetch(w.ctx, box, store.AllUIDs(), store.NeedMeta|store.NeedBody, func(c *store.Content) error {
			r.Message(c)
			for n, t := range terms {
				all++
				if known[n][i] == search.Maybe {
					continue
				}
				sure++
				if got := known[n][i] == search.Yes; got != truth(w.T, &r, t) {
					w.Fatalf("message %d, %+q: the index says %v", c.UID, t, got)
				}
			}
			i++
			return nil
		}))
	}
	return float64(sure) / float64(max(all, 1))
}

// truth reads the message.
func truth(t *testing.T, r *search.Reader, x search.Term) bool {
	t.Helper()
	var has bool
	var err error
	switch x.In {
	case search.InField:
		has, err = r.HasField(x.Field, x.Text)
	case search.InBody:
		has, err = r.HasTexts([][]byte{x.Text}, nil)
	case search.InText:
		has, err = r.HasTexts(nil, [][]byte{x.Text})
	}
	if err != nil {
		t.Fatal(err)
	}
	return has
}

// TestIndexIsExact changes mail at random, indexes it at random moments, and
// holds every answer to what reading the messages says.
func TestIndexIsExact(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			for range 14 {
				w.change()
				switch w.rnd.IntN(4) {
				case 0:
					w.update()
				case 1:
					w.reopen()
				}
				w.compare()
			}
			for range 3 { // at the end enough that it must be certain of most
				w.change()
			}
			w.update()
			if c := w.compare(); c < 0.6 {
				t.Errorf("the index is certain of %.2f", c)
			}
		})
	}
}

func (w *world) files() []string {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, fmt.Sprint(w.acc.ID), "*"))
	w.ok(err)
	return files
}

// TestDamage flips bytes of the index, cuts it and fills it with zeros: it
// says less, never anything wrong, and is whole again after an update.
func TestDamage(t *testing.T) {
	w := newWorld(t, 9)
	for len(w.files()) < 2 {
		w.change()
		w.update()
	}
	for range 40 {
		files := w.files()
		if len(files) > 0 {
			path := files[w.rnd.IntN(len(files))]
			raw, err := os.ReadFile(path)
			w.ok(err)
			at := w.rnd.IntN(len(raw))
			switch w.rnd.IntN(6) {
			case 0:
				raw = raw[:at]
			case 1:
				clear(raw[at:min(len(raw), at+4096)])
			default:
				raw[at] ^= 1 << w.rnd.IntN(8)
			}
			w.ok(os.WriteFile(path, raw, 0o600)) // the same file: under an open index, too
		}
		if w.rnd.IntN(2) == 0 {
			w.reopen()
		}
		w.compare()
		if w.rnd.IntN(3) == 0 {
			w.update()
		}
	}
	w.update()
	w.reopen()
	if c := w.compare(); c < 0.5 {
		t.Errorf("the index is certain of %.2f", c)
	}
}
