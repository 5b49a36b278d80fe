package imapd

import (
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/internal/maillog"
	"postrider/store"
)

// fetchBatch is how many messages are marked as seen by one transaction. A client that leaves in the middle of a FETCH has at most
// so many marked that it did not get.
const fetchBatch = 64

// copyBuffer is how much of a message is copied at a time.
const copyBuffer = 32 << 10

// A literal of more bytes than largeLiteral is copied in larger pieces, which
// takes fewer calls of the system.
const (
	largeLiteral = 1 << 20
	largeBuffer  = 256 << 10
)

// fetching is one FETCH command.
type fetching struct {
	s       *session
	e       *encoder
	o       *imap.FetchOptions
	x       *fetchItems
	need    store.Need
	marks   bool // sets \Seen
	missing bool // a message is gone whose content was wanted

	lasting []lasting // what was asked for, if it is nothing else
	keys    []string  // of lasting, in blocks
	fresh   []freshTexts

	buf []byte // for literals
}

// cmdFetch answers FETCH (RFC 9051 §6.4.5).
func (s *session) cmdFetch(d *wire.Decoder) error {
	d.SP()
	set := d.SeqSet()
	d.SP()
	items := parseFetchItems(d)
	mods := s.parseFetchModifiers(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	if mods.changed {
		items.o.ModSeq = true
	}
	if items.o.ModSeq {
		s.knowsModSeq()
	}
	items.o.UID = items.o.UID || s.byUID() && s.enabled&uidOnly == 0
	// New flags and messages come first, so that "*" means them too; no
	// EXPUNGE is told, so that sequence numbers mean what they did.
	if err := s.refresh(false); err != nil {
		return err
	}
	indices, err := s.resolve(set, s.byUID())
	if err != nil {
		return err
	}
	indices = s.withinLimit(indices)
	if indices, err = s.modify(indices, set, mods); err != nil {
		return err
	}
	err = s.fetch(indices, items)
	if err == errExpunged {
		return s.expunged()
	}
	return err
}

// fetch tells the items of the messages at some indices, which ascend.
func (s *session) fetch(indices []int, items fetchItems) (err error) {
	f := &fetching{s: s, e: newEncoder(s.c), o: &items.o, x: &items, need: items.need()}
	f.marks = marksSeen(f.o) && !s.box.readOnly && s.may(store.RightSeen) == nil
	f.findLasting()
	for len(indices) > 0 && err == nil {
		var n int
		n, err = f.batch(indices)
		if err == nil && readsText(f.o) {
			s.srv.o.Store.WasRead(s.box.id, s.box.uids(indices[:n]), "imap")
		}
		indices = indices[n:]
	}
	f.e.Flush()
	switch {
	case err != nil:
		return s.wireError(err, "fetch")
	case f.missing:
		return errExpunged
	}
	return nil
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

// readsText tells whether a FETCH gives a message to be read: more than its
// header.
func readsText(o *imap.FetchOptions) bool {
	return len(o.BinarySection) > 0 || slices.ContainsFunc(o.BodySection, func(b *imap.FetchItemBodySection) bool {
		return b.Specifier == imap.PartSpecifierNone || b.Specifier == imap.PartSpecifierText
	})
}

// batch writes the responses for the first of some messages, and returns for
// how many.
func (f *fetching) batch(indices []int) (n int, err error) {
	box := f.s.box
	switch {
	case len(f.lasting) > 0:
		n = box.inBlock(indices)
	case f.need == 0:
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
	case f.need == 0:
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
		f.e.Special(')')
		f.e.CRLF()
	}
}

// fromStore writes the responses for messages whose content is read.
func (f *fetching) fromStore(indices []int, marked map[int]store.Row) error {
	box := f.s.box
	got := 0
	err := f.s.srv.o.Store.Fetch(f.s.c.ctx, box.id, box.uids(indices), f.need, func(c *store.Content) error {
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
	f.s.box.begin(e, i, r.UID, f.o.UID)
	if flags {
		e.ListSP()
		e.Text("FLAGS ")
		e.messageFlags(r.Flags)
	}
	if f.o.ModSeq || flags && f.s.box.has(condstore) {
		e.modSeq(r.ModSeq)
	}
	if f.o.InternalDate {
		e.ListSP()
		e.Text("INTERNALDATE ")
		e.DateTime(r.Received)
	}
	if f.o.RFC822Size {
		e.ListSP()
		e.Text("RFC822.SIZE ")
		e.Number(r.Size)
	}
	if f.x.emailID {
		e.objectID("EMAILID", 'M', r.EmailID)
	}
	if f.x.threadID {
		e.objectID("THREADID", 'T', r.ThreadID)
	}
	if f.x.saveDate {
		e.ListSP()
		e.Text("SAVEDATE ")
		e.DateTime(r.Saved)
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
	preview := ""
	if f.x.preview {
		if preview, err = previewOf(c); err != nil {
			return err
		}
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
	if f.x.body {
		f.item("BODY")
		e.structure(&c.Meta.Root, false)
	}
	if f.x.extBody {
		f.item("BODYSTRUCTURE")
		e.structure(&c.Meta.Root, true)
	}
	if f.x.preview {
		f.item("PREVIEW")
		e.String(preview)
	}
	for _, p := range parts {
		f.item(p.name)
		if err := f.literal(p); err != nil {
			return err
		}
	}
	e.Special(')')
	e.CRLF()
	return nil
}

// item writes an item's name behind what is there.
func (f *fetching) item(name string) {
	f.e.ListSP()
	f.e.Text(name)
	f.e.SP()
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
		if n < len(f.x.names) && f.x.names[n] != "" {
			name = f.x.names[n]
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
		e.Number(n)
		return nil
	}
	e.LiteralHeader(n, p.nul)
	e.Flush()
	if len(f.buf) < copyBuffer || n > largeLiteral && len(f.buf) < largeBuffer {
		f.buf = make([]byte, copyBuffer)
		if n > largeLiteral {
			f.buf = make([]byte, largeBuffer)
		}
	}
	for n > 0 {
		b := f.buf[:min(n, int64(len(f.buf)))]
		if _, err := io.ReadFull(r, b); err != nil {
			return f.broken(err)
		}
		if _, err := f.s.c.Write(b); err != nil {
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
		list := wire.Encoder{UTF8: f.e.UTF8}
		list.List(len(names), func(i int) { list.AString(names[i]) })
		b.WriteString(" " + string(list.Bytes()))
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
