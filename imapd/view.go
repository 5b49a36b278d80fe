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
	mute     bool         // changes of flags are not told
	enabled  *enabled     // the session's: they say in which form news are told
	rights   store.Rights // of the client, in the mailbox; all in one of her own

	// told is what sequence numbers mean: message i has number i+1. It is
	// older than cur only while an EXPUNGE waits for a command in which it
	// may be told; new messages wait with it.
	told *store.View
	// cur is the newest snapshot. The flags of all messages of told that
	// are still there were told as they are in cur.
	cur *store.View
	// lost are messages of told that are not in cur any more, as the client
	// was last told of them.
	lost map[store.UID]store.Row
	// ahead are messages whose flags the client knows newer than in cur,
	// because a response to FETCH or STORE had them.
	ahead map[store.UID]store.ModSeq

	keywords map[string]imap.Flag // that FLAGS announced, by their lower case
	known    string               // the last set of keywords that learn found to have nothing new

	contexts []*updating // searches whose results the client keeps
}

func newMailboxView(v *store.View, readOnly bool, on *enabled, rights store.Rights) *mailboxView {
	return &mailboxView{
		id: v.Mailbox().ID, readOnly: readOnly, enabled: on, rights: rights,
		told: v, cur: v, ahead: map[store.UID]store.ModSeq{}, keywords: map[string]imap.Flag{},
	}
}

// row returns the newest that is known of the message at index i of told;
// there is false if it was expunged meanwhile.
func (v *mailboxView) row(i int) (r store.Row, there bool) {
	if v.told == v.cur {
		return v.told.At(i), true
	}
	uid := v.told.UID(i)
	if j, ok := v.cur.Index(uid); ok {
		return v.cur.At(j), true
	}
	if r, ok := v.lost[uid]; ok {
		return r, false
	}
	return v.told.At(i), false
}

// flags are the newest flags that are known of the message at index i of told,
// with their mod-sequence. It is row for those who go through all messages.
func (v *mailboxView) flags(i int) (store.Flags, store.ModSeq) {
	if v.told == v.cur {
		return v.cur.Flags(i), v.cur.ModSeqOf(i)
	}
	if j, ok := indexNear(v.cur, i, v.told.UID(i)); ok {
		return v.cur.Flags(j), v.cur.ModSeqOf(j)
	}
	r, _ := v.row(i)
	return r.Flags, r.ModSeq
}

// keepLost remembers messages at indices of cur that are not in the next
// snapshot.
func (v *mailboxView) keepLost(indices []int) {
	for _, i := range indices {
		if v.lost == nil {
			v.lost = map[store.UID]store.Row{}
		}
		r := v.cur.At(i)
		v.lost[r.UID] = r
	}
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
		v.tellExpunged(e, &c)
		if c.Added > 0 {
			e.Text("* ")
			e.Number(int64(newest.Len()))
			e.Text(" EXISTS")
			e.CRLF()
		}
		v.told, v.lost = newest, nil
	} else {
		v.keepLost(flags.Expunged)
	}
	for _, i := range flags.Updated {
		r := newest.At(i)
		if _, known := old.Index(r.UID); !known || v.mute || v.ahead[r.UID] == r.ModSeq {
			continue
		}
		if at, ok := v.told.Index(r.UID); ok {
			v.writeFlags(e, at, r)
		}
	}
	v.cur = newest
	clear(v.ahead)
}

// advance makes newest the snapshot whose flags the client knows: those of the
// messages at the indices except, which ascend, it has been told; others that
// changed are told now.
func (v *mailboxView) advance(newest *store.View, except []int, e *encoder) {
	c := store.Diff(v.cur, newest)
	for _, j := range c.Updated {
		uid := newest.UID(j)
		i, ok := indexNear(v.told, j, uid)
		if !ok {
			continue
		}
		for len(except) > 0 && except[0] < i {
			except = except[1:]
		}
		if (len(except) == 0 || except[0] != i) && !v.mute {
			v.writeFlags(e, i, newest.At(j))
		}
	}
	v.keepLost(c.Expunged)
	v.cur = newest
}

// has tells whether the client has turned on one of bits.
func (v *mailboxView) has(bits enabled) bool { return *v.enabled&bits != 0 }

// highest is the mod-sequence up to which the client knows everything.
func (v *mailboxView) highest() store.ModSeq { return max(v.told.ModSeq(), 1) }

// tellExpunged tells which messages have gone: by UID to those who want it
// (RFC 7162 §3.2.10, RFC 9586 §3.4).
func (v *mailboxView) tellExpunged(e *encoder, c *store.Changes) {
	if v.has(qresync | uidOnly) {
		if len(c.Gone) > 0 {
			e.Text("* VANISHED ")
			e.uidSet(c.Gone)
			e.CRLF()
		}
		return
	}
	for _, i := range c.Expunged {
		e.Text("* ")
		e.Number(int64(i) + 1)
		e.Text(" EXPUNGE")
		e.CRLF()
	}
}

// begin writes the beginning of a response that tells of the message at index
// i of told. With RFC 9586 it is named by its UID, and the item UID is there
// only if it was asked for.
func (v *mailboxView) begin(e *encoder, i int, uid store.UID, asked bool) {
	e.Text("* ")
	if v.has(uidOnly) {
		e.Number(int64(uid))
		e.Text(" UIDFETCH (")
	} else {
		e.Number(int64(i) + 1)
		e.Text(" FETCH (")
	}
	if asked {
		e.Text("UID ")
		e.Number(int64(uid))
	}
}

// modSeq writes a message's mod-sequence.
func (e *encoder) modSeq(m store.ModSeq) {
	e.ListSP()
	e.Text("MODSEQ (")
	e.Number(int64(m))
	e.Special(')')
}

// writeFlags tells the flags of the message at index i of told, and keywords
// that are new to the client before them (RFC 9051 §7.3.5).
func (v *mailboxView) writeFlags(e *encoder, i int, r store.Row) {
	v.announce(e, r.Flags)
	v.begin(e, i, r.UID, !v.has(uidOnly))
	e.ListSP()
	e.Text("FLAGS ")
	e.messageFlags(r.Flags)
	if v.has(condstore) {
		e.modSeq(r.ModSeq)
	}
	e.Special(')')
	e.CRLF()
}

// writeModSeq tells only the mod-sequence of a message whose flags the client
// knows.
func (v *mailboxView) writeModSeq(e *encoder, i int, r store.Row) {
	v.announce(e, r.Flags)
	v.begin(e, i, r.UID, !v.has(uidOnly))
	e.modSeq(r.ModSeq)
	e.Special(')')
	e.CRLF()
}

// announce tells FLAGS anew if f has a keyword that was not announced.
func (v *mailboxView) announce(e *encoder, f store.Flags) {
	if v.learn(f.Keywords) {
		v.tellFlags(e)
	}
}

// tellFlags tells which flags there are, and which the client can change.
func (v *mailboxView) tellFlags(e *encoder) {
	all := v.flagList()
	e.Text("* FLAGS ")
	e.flagList(all)
	e.CRLF()
	if !v.readOnly {
		v.writePermanent(e, all)
	}
}

// writePermanent tells which of all flags the client can change (RFC 9051
// §7.1, RFC 4314 §5.1.1).
func (v *mailboxView) writePermanent(e *encoder, all []imap.Flag) {
	var can []imap.Flag
	keep := flagMask(v.rights)
	if !v.readOnly {
		for _, s := range systemFlags {
			if keep.System&s.bit == 0 {
				can = append(can, s.flag)
			}
		}
		if !keep.Keywords {
			can = append(append(can, all[len(systemFlags):]...), imap.FlagWildcard)
		}
	}
	e.Text("* OK [PERMANENTFLAGS ")
	e.flagList(can)
	e.Text("] Permanent flags")
	e.CRLF()
}

// learn notes keywords and tells whether one of them is new.
func (v *mailboxView) learn(keywords string) bool {
	if keywords == v.known {
		return false
	}
	v.known = keywords
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
