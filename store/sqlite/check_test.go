package sqlite

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/mail"
	"postrider/store"
)

// checkStore makes a store that has something of everything.
func checkStore(t *testing.T) *Engine {
	t.Helper()
	e := openTest(t, t.TempDir(), Options{InlineMax: 4000})
	a, inbox := addAccount(t, e, "bob")
	for i := range 6 {
		m := acceptance(a.ID, text(uint64(i), 1000+i%2*8000))
		m.Op = store.OpID(rune('a' + i))
		if i < 2 {
			m.Outgoing = []store.NewOutgoing{{Account: a.ID, Expires: e.now().Add(time.Hour), Envelope: mail.Envelope{
				Rcpts: []mail.Recipient{{Addr: mail.Address{Local: "x", Domain: "b.test"}}, {Addr: mail.Address{Local: "y", Domain: "c.test"}}}}}}
		}
		if _, err := e.Accept(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	trash, err := e.Mailbox(t.Context(), a.ID, "Trash")
	if err != nil {
		t.Fatal(err)
	}
	deleted := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Deleted}}
	if _, err := e.SetFlags(t.Context(), inbox, store.UIDSetOf(1, 2), deleted, store.Unconditional); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Expunge(t.Context(), inbox, store.UIDSetOf(2), true); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Copy(t.Context(), "", inbox, store.UIDSetOf(3, 4), trash.ID, false); err != nil {
		t.Fatal(err)
	}
	clean(t, e)
	return e
}

// Every kind of damage is found and told of in words that name it.
func TestCheckFinds(t *testing.T) {
	for _, c := range []struct{ name, damage, want string }{
		{"account's bytes", "UPDATE acct SET bytes = bytes + 1", "account 1 counts"},
		{"account's count", "UPDATE acct SET count = count - 1", "account 1 counts"},
		{"account's modseq", "UPDATE acct SET modseq = 1", "account 1 is at change 1"},
		{"account's row", "DELETE FROM acct", "has no mail row"},
		{"account", "INSERT INTO acct (id) VALUES (77)", "mail row 77 has no account"},
		{"next mailbox", "UPDATE acct SET next_mbox = 2", "number or UIDVALIDITY"},
		{"last UIDVALIDITY", "UPDATE acct SET last_uidvalidity = 1", "number or UIDVALIDITY"},
		{"UIDVALIDITY", "UPDATE mailbox SET uidvalidity = 4294967296 WHERE id = 2", "has UIDVALIDITY"},
		{"INBOX", "UPDATE mailbox SET name = 'Inbox' WHERE name = 'INBOX'", "no INBOX"},
		{"mailbox name", "UPDATE mailbox SET name = 'a//b' WHERE id = 3", "cannot be"},
		{"total", "UPDATE mailbox SET total = total + 1", "mailbox 1/1 counts"},
		{"unseen", "UPDATE mailbox SET unseen = 0", "mailbox 1/1 counts"},
		{"deleted", "UPDATE mailbox SET deleted = 0", "mailbox 1/1 counts"},
		{"bytes", "UPDATE mailbox SET bytes = 0", "mailbox 1/1 counts"},
		{"deleted bytes", "UPDATE mailbox SET deleted_bytes = 5", "counts 0 messages"},
		{"uidnext", "UPDATE mailbox SET uidnext = 3", "would give UID 6 again"},
		{"uidnext after an expunge", "UPDATE gone SET uid_lo = 9, uid_hi = 9", "expunged UID 9 again"},
		{"mailbox's modseq", "UPDATE mailbox SET modseq = 1", "its messages are at"},
		{"gone's modseq", "UPDATE gone SET modseq = modseq + 100", "its expunges are at"},
		{"gone and there", "UPDATE gone SET uid_lo = 1", "counts as expunged"},
		{"gone upside down", "UPDATE gone SET uid_hi = 1", "upside down"},
		{"gone twice", "INSERT INTO gone VALUES (1, 1, 3, 2, 2, 0)", "overlaps"},
		{"order", "UPDATE message SET created_modseq = 2 WHERE uid = 6", "came after the next one"},
		{"UID", "UPDATE message SET uid = 0 WHERE uid = 6", "impossible"},
		{"page's data", "UPDATE message_page SET data = zeroblob(length(data)) WHERE mbox = 1", "page from UID 1 is damaged"},
		{"page's modseq", "UPDATE message_page SET modseq = modseq - 1 WHERE mbox = 1", "and says"},
		{"page's place", "UPDATE message_page SET lo = 2 WHERE mbox = 1", "has UIDs from 1"},
		{"page of no mailbox", "UPDATE message_page SET mbox = 99 WHERE mbox = 1", "page from UID 1 of mailbox 1/99 is in no mailbox"},
		{"page of another mailbox", "UPDATE message_page SET mbox = 2 WHERE mbox = 1", "mailbox 1/2: the page from UID 1 is damaged"},
		{"page gone", "DELETE FROM message_page WHERE mbox = 1", "mailbox 1/1: message 4 is in no page"},
		{"row of a page gone", "DELETE FROM message WHERE mbox = 1 AND uid = 6", "mailbox 1/1: message 6 is in a page and has no row"},
		{"received", "UPDATE message SET received = received + 1 WHERE uid = 4", "message 4 has other times"},
		{"created", "UPDATE message SET created_modseq = 1000 WHERE uid = 6", "message 6 came at change 1000"},
		{"no mailbox", "UPDATE message SET mbox = 99 WHERE uid = 6", "is in no mailbox"},
		{"no body", "DELETE FROM body WHERE id = (SELECT body FROM message WHERE uid = 3)", "has no body"},
		{"refs", "UPDATE body_ref SET refs = refs + 1", "references"},
		{"refs of one", "DELETE FROM body_ref", "references"},
		{"refs of nobody", "INSERT INTO body_ref VALUES (5, 2)", "is not there"},
		{"refs after a copy", "DELETE FROM message WHERE mbox <> 1 AND uid = 1", "references"},
		{"place", "UPDATE body SET place = 7", "no known place"},
		{"no data", "DELETE FROM body_data", "is to be in the database"},
		{"places", "UPDATE body SET place = 1, seg = 9, off = (id - (SELECT min(id) FROM body)) % 2", "stands over the next one"},
		{"data of nobody", "INSERT INTO body_data VALUES (5, x'00')", "belongs to nothing"},
		{"other data", "UPDATE body_data SET data = zeroblob(length(data))", "it is not what was written; it is message 1 of INBOX of bob@a.test"},
		{"meta", "UPDATE body SET meta = CAST(meta || 'x' AS BLOB)", "structure"},
		{"hash", "UPDATE body SET hash = zeroblob(32)", "not what was written"},
		{"short hash", "UPDATE body SET hash = x'00'", "a hash of 1 bytes"},
		{"offset", "UPDATE body SET off = off + 4096 WHERE place = 1", "record"},
		{"segment", "UPDATE body SET seg = 99 WHERE place = 1", "segment 99"},
		{"prefix", "UPDATE message SET prefix = x'41' WHERE uid = 1", "does not fit its body"},
		{"size", "UPDATE message SET size = size + 1 WHERE uid = 1", "does not fit its body"},
		{"cut", "UPDATE message SET cut = x'ff' WHERE uid = 1", "does not fit its body"},
		{"exchanged body", "UPDATE message SET body = (SELECT max(body) FROM message) WHERE uid = 1", "does not fit its body"},
		{"out's prefix", "UPDATE out SET prefix = x'41'", "does not fit its body"},
		{"out without a recipient", "DELETE FROM out_rcpt", "has no recipient"},
		{"destination late", "UPDATE dest SET due = due + 1", "destination b.test is due"},
		{"destination missing", "DELETE FROM dest WHERE name = 'c.test'", "destination c.test is due"},
		{"state", "UPDATE out_rcpt SET state = 5 WHERE dest = 'c.test'", "has state 5"},
		{"rights of nobody", "INSERT INTO acl (acct, mbox, who, negative, rights) VALUES (1, 1, 99, 0, 1)", "what account 99 may do"},
		{"rights of the owner", "INSERT INTO acl (acct, mbox, who, negative, rights) VALUES (1, 1, 1, 0, 1)", "what account 1 may do"},
		{"rights in no mailbox", "INSERT INTO acl (acct, mbox, who, negative, rights) VALUES (1, 99, 0, 0, 1)", "mailbox 1/99"},
		{"rights that are none", "INSERT INTO acl (acct, mbox, who, negative, rights) VALUES (1, 1, 0, 0, 4096)", "cannot be: 4096"},
		{"annotation of no mailbox", "INSERT INTO annotation (acct, mbox, who, name, value) VALUES (1, 99, 0, '/x', x'00')", "annotation /x"},
		{"annotation of nobody", "INSERT INTO annotation (acct, mbox, who, name, value) VALUES (0, 0, 99, '/x', x'00')", "annotation /x"},
		{"subscription", "UPDATE subscription SET acct = 9", "subscription"},
		{"msgref", "UPDATE msgref SET acct = 9", "thread reference"},
		{"op", "UPDATE op SET acct = 9", "operation a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := checkStore(t)
			mustExec(t, e, c.damage)
			found, err := e.Check(t.Context(), true)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(found, "\n"), c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func TestCheckFindsDamagedFiles(t *testing.T) {
	e := checkStore(t)
	segs, err := filepath.Glob(filepath.Join(e.dir, bodiesDir, "*.seg"))
	if err != nil || len(segs) != 1 {
		t.Fatal(segs, err)
	}
	b, err := os.ReadFile(segs[0])
	if err != nil {
		t.Fatal(err)
	}
	b[5000] ^= 0x80
	if err := os.WriteFile(segs[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := e.Check(t.Context(), false); err != nil || len(found) != 0 {
		t.Errorf("not deep: %q, %v", found, err)
	}
	if found, err := e.Check(t.Context(), true); err != nil || len(found) != 1 {
		t.Errorf("flipped bit: %q, %v", found, err)
	}
	if err := os.Remove(segs[0]); err != nil {
		t.Fatal(err)
	}
	if found, err := e.Check(t.Context(), false); err != nil || len(found) == 0 {
		t.Errorf("segment gone: %q, %v", found, err)
	}
}
