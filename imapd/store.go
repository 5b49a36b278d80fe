package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

// storing is what a STORE asks for.
type storing struct {
	change    store.FlagChange
	silent    bool
	ifSince   bool // UNCHANGEDSINCE was given (RFC 7162 §3.1.3)
	unchanged store.ModSeq
	flags     []string
}

// cmdStore answers STORE (RFC 9051 §6.4.6).
func (s *session) cmdStore(d *wire.Decoder) error {
	d.SP()
	set := d.SeqSet()
	d.SP()
	x := parseStore(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	flags, err := parseFlags(x.flags)
	if err != nil {
		return err
	}
	x.change.Flags = flags
	allowed, err := s.mayStore(x.change)
	if err != nil {
		return err
	}
	if x.ifSince {
		s.knowsModSeq()
	}
	indices, err := s.resolve(set, s.byUID())
	if err != nil || len(indices) == 0 {
		return err
	}
	indices = s.withinLimit(indices)
	if x.change.Mode == store.FlagsAdd && s.box.overflows(indices, flags.Keywords) {
		return errManyFlags
	}
	res, err := s.srv.o.Store.SetFlags(s.ctx(), s.box.id, s.box.uids(indices), allowed, x.unchanged)
	if err != nil {
		return s.wireError(err, "store")
	}
	return s.tellStored(indices, &x, res.Modified)
}

// mayStore is a change that leaves alone what the client may not change. It is
// refused if nothing is left of it (RFC 4314 §4).
func (s *session) mayStore(c store.FlagChange) (store.FlagChange, error) {
	if err := s.may(0); err != nil {
		return c, err
	}
	c.Keep = flagMask(s.box.rights)
	all := store.Seen | store.Answered | store.Flagged | store.Deleted | store.Draft
	named := c.Flags.System &^ c.Keep.System
	keywords := c.Flags.Keywords != "" && !c.Keep.Keywords
	switch {
	case c.Mode == store.FlagsSet && (c.Keep.System != all || !c.Keep.Keywords):
		return c, nil
	case c.Mode != store.FlagsSet && (named != 0 || keywords || c.Flags == (store.Flags{})):
		return c, nil
	}
	return c, errNoRight
}

// parseStore reads the modifiers and store-att-flags. The flags may stand
// without parentheses.
func parseStore(d *wire.Decoder) (x storing) {
	x.unchanged = store.Unconditional
	if d.Peek() == '(' {
		d.List(func() {
			if d.Keyword() != "UNCHANGEDSINCE" {
				d.Fail("No such modifier")
			}
			d.SP()
			x.ifSince, x.unchanged = true, store.ModSeq(d.Number64())
		})
		d.SP()
	}
	x.change.Mode = store.FlagsSet
	switch {
	case d.TrySpecial('+'):
		x.change.Mode = store.FlagsAdd
	case d.TrySpecial('-'):
		x.change.Mode = store.FlagsRemove
	}
	item, silent := strings.CutSuffix(d.Keyword(), ".SILENT")
	if x.silent = silent; item != "FLAGS" {
		d.Fail("Only FLAGS can be stored")
	}
	d.SP()
	if d.Peek() == '(' {
		x.flags = d.FlagList()
		return x
	}
	for !d.End() {
		x.flags = append(x.flags, d.Flag())
		if !d.TrySP() {
			break
		}
	}
	return x
}

// overflows tells whether a message at one of the indices would have too many
// keywords with these.
func (v *mailboxView) overflows(indices []int, keywords string) bool {
	if keywords == "" {
		return false
	}
	for _, i := range indices {
		if r, _ := v.row(i); len(r.Flags.Keywords)+len(keywords) > maxKeywordBytes {
			return true
		}
	}
	return false
}

// tellStored tells the flags of the messages that a STORE named; if silent,
// only of those where the client cannot know the result, because somebody else
// has changed them too. modified are those that were left alone.
func (s *session) tellStored(indices []int, x *storing, modified store.UIDSet) error {
	newest, err := s.newest()
	if err != nil {
		return err
	}
	box, e := s.box, newEncoder(s.c)
	var last applied
	var left []int // of modified
	gone := false
	for _, i := range indices {
		uid := box.told.UID(i)
		j, ok := indexNear(newest, i, uid)
		if !ok {
			gone = true
			continue
		}
		flags, modseq := newest.Flags(j), newest.ModSeqOf(j)
		before, since := box.flags(i)
		switch isLeft := len(modified) > 0 && modified.Contains(uid); {
		case isLeft:
			left = append(left, i)
			if modseq != since {
				box.writeFlags(e, i, newest.At(j))
			}
		case !x.silent || last.of(before, &x.change) != flags:
			box.writeFlags(e, i, newest.At(j))
		case x.ifSince || box.has(condstore) && modseq != since:
			box.writeModSeq(e, i, newest.At(j))
		default:
			box.announce(e, flags)
		}
	}
	box.advance(newest, indices, e)
	e.Flush()
	failed := ""
	if len(left) > 0 {
		failed = "MODIFIED " + string(s.appendNumbers(nil, left))
	}
	switch {
	case gone && failed != "" && !s.byUID(): // RFC 7162 §3.1.3
		return no(imap.ResponseCode(failed), expungedText)
	case failed != "":
		s.ok(failed, "Conditional STORE failed")
	case gone:
		return s.expunged()
	}
	return nil
}

// applied remembers what flags were before and after a change: most messages
// have the same ones.
type applied struct {
	before, after store.Flags
	valid         bool
}

func (a *applied) of(f store.Flags, change *store.FlagChange) store.Flags {
	if !a.valid || f != a.before {
		a.before, a.after, a.valid = f, apply(f, *change), true
	}
	return a.after
}

// indexNear is Index for a message that most likely is at i.
func indexNear(v *store.View, i int, uid store.UID) (int, bool) {
	if i < v.Len() && v.UID(i) == uid {
		return i, true
	}
	return v.Index(uid)
}
