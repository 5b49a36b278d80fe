package imapd

import (
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/store"
)

// mailboxView is the selected mailbox as the client knows it. It talks no
// protocol but for the updates that sync writes.
type mailboxView struct {
	id       store.MailboxID
	readOnly bool

	// told is what sequence numbers mean: message i has number i+1. It is
	// older than cur only while an EXPUNGE waits for a command in which it
	// may be told; new messages wait with it.
	told *store.View
	// cur is the newest snapshot. The flags of all messages of told that
	// are still there were told as they are in cur.
	cur *store.View
	// ahead are messages whose flags the client knows newer than in cur,
	// because a response to FETCH or STORE had them.
	ahead map[store.UID]store.ModSeq

	keywords map[string]imap.Flag // that FLAGS announced, by their lower case
}

func newMailboxView(v *store.View, readOnly bool) *mailboxView {
	return &mailboxView{
		id: v.Mailbox().ID, readOnly: readOnly,
		told: v, cur: v, ahead: map[store.UID]store.ModSeq{}, keywords: map[string]imap.Flag{},
	}
}

// row returns the newest that is known of the message at index i of told;
// there is false if it was expunged meanwhile.
func (v *mailboxView) row(i int) (r store.Row, there bool) {
	if v.told == v.cur {
		return v.told.At(i), true
	}
	if j, ok := v.cur.Index(v.told.UID(i)); ok {
		return v.cur.At(j), true
	}
	return v.told.At(i), false
}

// uids returns the UIDs of messages at indices of told, which ascend.
func (v *mailboxView) uids(indices []int) store.UIDSet {
	var set store.UIDSet
	for _, i := range indices {
		u := v.told.UID(i)
		if n := len(set); n > 0 && set[n-1].Hi+1 == u {
			set[n-1].Hi = u
		} else {
			set = append(set, store.UIDRange{Lo: u, Hi: u})
		}
	}
	return set
}

// replaced tells whether newest is not a later state of the mailbox but
// another history, as after a restore: nothing that the client knows holds.
func (v *mailboxView) replaced(newest *store.View) bool {
	return newest.Mailbox().UIDValidity != v.told.Mailbox().UIDValidity
}

// sync tells the client what is new in newest. Where EXPUNGE may not be told,
// expunged messages keep their place, and new ones wait.
func (v *mailboxView) sync(newest *store.View, expunge bool, e *encoder) {
	c := store.Diff(v.told, newest)
	flags := c
	if v.cur != v.told {
		flags = store.Diff(v.cur, newest)
	}
	old := v.told
	if expunge || len(c.Expunged) == 0 {
		for _, i := range c.Expunged {
			e.atom("* ")
			e.num(int64(i) + 1)
			e.atom(" EXPUNGE")
			e.end()
		}
		if c.Added > 0 {
			e.atom("* ")
			e.num(int64(newest.Len()))
			e.atom(" EXISTS")
			e.end()
		}
		v.told = newest
	}
	for _, i := range flags.Updated {
		r := newest.At(i)
		if _, known := old.Index(r.UID); !known || v.ahead[r.UID] == r.ModSeq {
			continue
		}
		if at, ok := v.told.Index(r.UID); ok {
			v.writeFlags(e, at, r)
		}
	}
	v.cur = newest
	clear(v.ahead)
}

// writeFlags tells the flags of the message at index i of told, and keywords
// that are new to the client before them (RFC 9051 §7.3.5).
func (v *mailboxView) writeFlags(e *encoder, i int, r store.Row) {
	v.announce(e, r.Flags)
	e.atom("* ")
	e.num(int64(i) + 1)
	e.atom(" FETCH (UID ")
	e.num(int64(r.UID))
	e.atom(" FLAGS ")
	e.messageFlags(r.Flags)
	e.atom(")")
	e.end()
}

// announce tells FLAGS anew if f has a keyword that was not announced.
func (v *mailboxView) announce(e *encoder, f store.Flags) {
	if !v.learn(f.Keywords) {
		return
	}
	all := v.flagList()
	e.atom("* FLAGS ")
	e.flags(all)
	e.end()
	if !v.readOnly {
		e.atom("* OK [PERMANENTFLAGS ")
		e.flags(append(all, imap.FlagWildcard))
		e.atom("] Flags permitted")
		e.end()
	}
}

// learn notes keywords and tells whether one of them is new.
func (v *mailboxView) learn(keywords string) bool {
	isNew := false
	for k := range strings.FieldsSeq(keywords) {
		if l := strings.ToLower(k); v.keywords[l] == "" {
			v.keywords[l], isNew = imap.Flag(k), true
		}
	}
	return isNew
}

// flagList is what FLAGS announces.
func (v *mailboxView) flagList() []imap.Flag {
	var out []imap.Flag
	for _, s := range systemFlags {
		out = append(out, s.flag)
	}
	return append(out, slices.Sorted(maps.Values(v.keywords))...)
}
