package imapd

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/internal/maillog"
	"postrider/store"
)

// fetchBatch is how many messages are marked as seen by one transaction. A client that leaves in the middle of a FETCH has at most
// so many marked that it did not get.
const fetchBatch = 64

// copyBuffer is how much of a message is copied at a time.
const copyBuffer = 32 << 10

// fetching is one FETCH command.
type fetching struct {
	s       *session
	e       *encoder
	o       *imap.FetchOptions
	names   []string // of o.BodySection, where the client used RFC822 and its like
	body    bool     // BODY was asked for, beside or instead of BODYSTRUCTURE
	extBody bool     // BODYSTRUCTURE was
	marks   bool     // sets \Seen
	missing bool     // a message is gone whose content was wanted

	lasting []lasting // what was asked for, if it is nothing else
	keys    []string  // of lasting, in blocks
	fresh   []freshTexts

	buf []byte // for literals
}

// fetch answers FETCH (RFC 9051 §6.4.5).
func (s *session) fetch(set imap.NumSet, o *imap.FetchOptions) error {
	// New flags and messages come first, so that "*" means them too; no
	// EXPUNGE is told, so that sequence numbers mean what they did.
	if err := s.refresh(false); err != nil {
		return err
	}
	indices, err := s.resolve(set)
	if err != nil {
		return err
	}
	if asksNothing(o) {
		return badCommand("FETCH of nothing")
	}
	if slices.ContainsFunc(o.BodySection, func(b *imap.FetchItemBodySection) bool {
		return b.Specifier == imap.PartSpecifierMIME && len(b.Part) == 0
	}) {
		return badCommand("MIME is a part's") // RFC 9051 §9, section-spec
	}
	f := &fetching{s: s, e: newEncoder(s.c), o: o}
	f.names, f.body, f.extBody = bodyItems(s.c.req.text.String())
	f.marks = marksSeen(o) && !s.box.readOnly
	f.findLasting()
	for len(indices) > 0 && err == nil {
		var n int
		n, err = f.batch(indices)
		indices = indices[n:]
	}
	f.e.flush()
	switch {
	case err != nil:
		return s.wireError(err, "fetch")
	case f.missing:
		return errExpunged
	}
	return nil
}

// asksNothing tells whether a FETCH had an empty list of items, which is no
// command (RFC 9051 §9, fetch).
func asksNothing(o *imap.FetchOptions) bool {
	return need(o) == 0 && !o.UID && !o.Flags && !o.InternalDate && !o.RFC822Size
}

// marksSeen tells whether a FETCH sets \Seen.
func marksSeen(o *imap.FetchOptions) bool {
	for _, b := range o.BodySection {
		if !b.Peek {
			return true
		}
	}
	for _, b := range o.BinarySection {
		if !b.Peek {
			return true
		}
	}
	return false
}

// need tells what has to be read of each message.
func need(o *imap.FetchOptions) store.Need {
	var n store.Need
	if o.Envelope || o.BodyStructure != nil {
		n |= store.NeedMeta
	}
	for _, b := range o.BodySection {
		n |= store.NeedBody
		if !isWhole(b) {
			n |= store.NeedMeta
		}
	}
	if len(o.BinarySection)+len(o.BinarySectionSize) > 0 {
		n |= store.NeedMeta | store.NeedBody
	}
	return n
}

// batch writes the responses for the first of some messages, and returns for
// how many.
func (f *fetching) batch(indices []int) (n int, err error) {
	box := f.s.box
	switch {
	case len(f.lasting) > 0:
		n = box.inBlock(indices)
	case need(f.o) == 0:
		n = len(indices)
	case f.marks:
		n = min(len(indices), fetchBatch)
	default:
		n = len(indices)
	}
	indices = indices[:n]
	var marked map[int]store.Row // that are seen only now
	if f.marks {
		if marked, err = f.mark(indices); err != nil {
			return n, err
		}
	}
	switch {
	case len(f.lasting) > 0:
		return f.block(indices, marked)
	case need(f.o) == 0:
		f.fromView(indices)
		return n, nil
	}
	return n, f.fromStore(indices, marked)
}

// fromView writes the responses for messages of which only what the view knows
// is wanted.
func (f *fetching) fromView(indices []int) {
	for _, i := range indices {
		r, _ := f.s.box.row(i)
		f.begin(i, r, f.o.Flags)
		f.e.atom(")")
		f.e.end()
	}
}

// fromStore writes the responses for messages whose content is read.
func (f *fetching) fromStore(indices []int, marked map[int]store.Row) error {
	box := f.s.box
	got := 0
	err := f.s.srv.o.Store.Fetch(f.s.c.ctx, box.id, box.uids(indices), need(f.o), func(c *store.Content) error {
		i, ok := box.told.Index(c.UID)
		if !ok {
			return nil
		}
		got++
		r, isMarked := marked[i]
		if !isMarked {
			r, _ = box.row(i)
		}
		return f.message(i, r, c, isMarked)
	})
	f.missing = f.missing || got < len(indices)
	return err
}

// mark sets \Seen on those of the messages that lack it, and returns them as
// they are then. The client learns of it in the response for each.
func (f *fetching) mark(indices []int) (map[int]store.Row, error) {
	box := f.s.box
	var unseen []int
	for _, i := range indices {
		if r, there := box.row(i); there && r.Flags.System&store.Seen == 0 {
			unseen = append(unseen, i)
		}
	}
	marked := map[int]store.Row{}
	if len(unseen) == 0 {
		return marked, nil
	}
	change := store.FlagChange{Mode: store.FlagsAdd, Flags: store.Flags{System: store.Seen}}
	_, err := f.s.srv.o.Store.SetFlags(f.s.c.ctx, box.id, box.uids(unseen), change, store.Unconditional)
	if err != nil {
		if store.KindOf(err) == store.Full {
			return marked, nil // reading goes on when the disk is full
		}
		return nil, err
	}
	v, err := f.s.newest()
	if err != nil {
		return nil, err
	}
	for _, i := range unseen {
		if j, ok := v.Index(box.told.UID(i)); ok {
			marked[i] = v.At(j)
		}
	}
	return marked, nil
}

// begin writes the beginning of a response and the items that the view knows.
func (f *fetching) begin(i int, r store.Row, flags bool) {
	e := f.e
	if flags {
		f.s.box.announce(e, r.Flags)
	}
	e.atom("* ")
	e.num(int64(i) + 1)
	e.atom(" FETCH (")
	if f.o.UID {
		e.atom("UID ")
		e.num(int64(r.UID))
	}
	if flags {
		e.space()
		e.atom("FLAGS ")
		e.messageFlags(r.Flags)
	}
	if f.o.InternalDate {
		e.space()
		e.atom("INTERNALDATE ")
		e.dateTime(r.Received)
	}
	if f.o.RFC822Size {
		e.space()
		e.atom("RFC822.SIZE ")
		e.num(r.Size)
	}
}

// message writes the response for a message whose content is at hand. An
// error is the connection's, or UNKNOWN-CTE, which is known before anything
// is written.
func (f *fetching) message(i int, r store.Row, c *store.Content, marked bool) error {
	parts, err := f.prepare(c)
	if err != nil {
		return err
	}
	e := f.e
	f.begin(i, r, f.o.Flags || marked)
	if marked {
		f.s.box.ahead[r.UID] = r.ModSeq
	}
	if f.o.Envelope {
		f.item("ENVELOPE")
		h := envelopeOf(c)
		e.envelope(&h)
	}
	if f.body {
		f.item("BODY")
		e.structure(&c.Meta.Root, false)
	}
	if f.extBody {
		f.item("BODYSTRUCTURE")
		e.structure(&c.Meta.Root, true)
	}
	for _, p := range parts {
		f.item(p.name)
		if err := f.literal(p); err != nil {
			return err
		}
	}
	e.atom(")")
	e.end()
	return nil
}

// item writes an item's name behind what is there.
func (f *fetching) item(name string) {
	f.e.space()
	f.e.atom(name)
	f.e.atom(" ")
}

// content is one item whose value is bytes of the message.
type content struct {
	name string
	open func() (io.Reader, int64, error)
	nul  bool
	num  bool // its value is its size: BINARY.SIZE
}

// prepare finds all sections that were asked for.
func (f *fetching) prepare(c *store.Content) ([]content, error) {
	var out []content
	for n, item := range f.o.BodySection {
		s, err := section(c, item)
		if err != nil {
			return nil, err
		}
		s = s.cut(item.Partial)
		name := f.sectionName(item)
		if n < len(f.names) && f.names[n] != "" {
			name = f.names[n]
		}
		out = append(out, content{name: name, open: func() (io.Reader, int64, error) { return s.reader(), s.length(), nil }})
	}
	for _, item := range f.o.BinarySection {
		d, err := decodedPart(c, item.Part)
		if err != nil {
			return nil, err
		}
		out = append(out, content{
			name: "BINARY[" + partName(item.Part) + "]" + originName(item.Partial), nul: d.nul,
			open: func() (io.Reader, int64, error) { return d.cut(item.Partial) },
		})
	}
	for _, item := range f.o.BinarySectionSize {
		d, err := decodedPart(c, item.Part)
		if err != nil {
			return nil, err
		}
		out = append(out, content{
			name: "BINARY.SIZE[" + partName(item.Part) + "]", num: true,
			open: func() (io.Reader, int64, error) { return nil, d.size, nil },
		})
	}
	return out, nil
}

// literal writes an item's bytes. Once their number is written, bytes that
// cannot be read end the connection: there is no other way to say so.
func (f *fetching) literal(p content) error {
	r, n, err := p.open()
	e := f.e
	switch {
	case err != nil:
		return f.broken(err)
	case p.num:
		e.num(n)
		return nil
	case p.nul:
		e.atom("~")
	}
	e.atom("{")
	e.num(n)
	e.atom("}\r\n")
	e.flush()
	if f.buf == nil {
		f.buf = make([]byte, copyBuffer)
	}
	for n > 0 {
		b := f.buf[:min(n, copyBuffer)]
		if _, err := io.ReadFull(r, b); err != nil {
			return f.broken(err)
		}
		if _, err := (rawWriter{f.s.c}).Write(b); err != nil {
			f.s.c.end("", err) // the client has gone
			return errGone
		}
		n -= int64(len(b))
	}
	return nil
}

func (f *fetching) broken(err error) error {
	f.s.c.log.Error(maillog.Failed, "doing", "fetch: reading a message", "err", err)
	f.s.c.end("", err)
	return errGone
}

// sectionName is the name of a section in a response.
func (f *fetching) sectionName(item *imap.FetchItemBodySection) string {
	var b strings.Builder
	b.WriteString("BODY[" + partName(item.Part))
	if len(item.Part) > 0 && item.Specifier != "" {
		b.WriteByte('.')
	}
	b.WriteString(string(item.Specifier))
	names := item.HeaderFields
	if len(names) > 0 {
		b.WriteString(".FIELDS")
	} else if names = item.HeaderFieldsNot; len(names) > 0 {
		b.WriteString(".FIELDS.NOT")
	}
	if len(names) > 0 {
		list := encoder{utf8: f.e.utf8}
		for i, n := range names {
			if i > 0 {
				list.atom(" ")
			}
			list.astring(n)
		}
		b.WriteString(" (" + string(list.b) + ")")
	}
	b.WriteString("]" + originName(item.Partial))
	return b.String()
}

func partName(path []int) string {
	var list []string
	for _, n := range path {
		list = append(list, strconv.Itoa(n))
	}
	return strings.Join(list, ".")
}

// originName is where a partial begins.
func originName(p *imap.SectionPartial) string {
	if p == nil {
		return ""
	}
	return "<" + strconv.FormatInt(p.Offset, 10) + ">"
}
