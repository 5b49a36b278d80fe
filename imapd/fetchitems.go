package imapd

import (
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

// maxPartPath is more numbers than the section of any part has that mail.Parse
// finds.
const maxPartPath = 256

// fetchItems is what a FETCH asks for.
type fetchItems struct {
	o             imap.FetchOptions
	names         []string // of o.BodySection, where the client used RFC822 and its like (RFC 3501 §6.4.5)
	body, extBody bool     // BODY and BODYSTRUCTURE
	preview       bool     // RFC 8970

	emailID, threadID bool // RFC 8474 §5.3
	saveDate          bool // RFC 8514 §4.2
}

// parseFetchItems reads the items of a FETCH: a macro, one item, or a list of
// them.
func parseFetchItems(d *wire.Decoder) (x fetchItems) {
	if d.Peek() == '(' {
		none := true
		d.List(func() { x.item(d, false); none = false })
		if none {
			d.Fail("FETCH of nothing")
		}
		return x
	}
	x.item(d, true)
	return x
}

// item reads one item; macro tells whether it may be a macro.
func (x *fetchItems) item(d *wire.Decoder, macro bool) {
	name := strings.ToUpper(fetchWord(d))
	switch {
	case macro && (name == "ALL" || name == "FAST" || name == "FULL"):
		x.o.Flags, x.o.InternalDate, x.o.RFC822Size = true, true, true
		x.o.Envelope = name != "FAST"
		x.body = name == "FULL"
	case name == "UID":
		x.o.UID = true
	case name == "FLAGS":
		x.o.Flags = true
	case name == "INTERNALDATE":
		x.o.InternalDate = true
	case name == "RFC822.SIZE":
		x.o.RFC822Size = true
	case name == "MODSEQ":
		x.o.ModSeq = true
	case name == "EMAILID":
		x.emailID = true
	case name == "THREADID":
		x.threadID = true
	case name == "SAVEDATE":
		x.saveDate = true
	case name == "PREVIEW":
		x.preview = true
		previewModifiers(d)
	case name == "ENVELOPE":
		x.o.Envelope = true
	case name == "BODYSTRUCTURE":
		x.extBody = true
	case name == "BODY" && d.Peek() != '[':
		x.body = true
	case name == "BODY" || name == "BODY.PEEK":
		x.section(d, name == "BODY.PEEK")
	case name == "BINARY" || name == "BINARY.PEEK":
		path := binaryPath(d)
		x.o.BinarySection = append(x.o.BinarySection, &imap.FetchItemBinarySection{Part: path, Partial: partial(d), Peek: name == "BINARY.PEEK"})
	case name == "BINARY.SIZE":
		x.o.BinarySectionSize = append(x.o.BinarySectionSize, &imap.FetchItemBinarySectionSize{Part: binaryPath(d)})
	case name == "RFC822":
		x.old(name, imap.FetchItemBodySection{})
	case name == "RFC822.HEADER":
		x.old(name, imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true})
	case name == "RFC822.TEXT":
		x.old(name, imap.FetchItemBodySection{Specifier: imap.PartSpecifierText})
	default:
		d.Fail("No such item")
	}
}

// previewModifiers reads what may stand behind PREVIEW. LAZY leaves the server
// the choice to have none at hand (RFC 8970 §4.1); it takes no longer to make
// one than to tell whether there is one, so that it makes no difference.
func previewModifiers(d *wire.Decoder) {
	if !d.Follows(" (LAZY") { // it may be a modifier of FETCH (RFC 4466 §2.4)
		return
	}
	d.SP()
	d.List(func() {
		if d.Keyword() != "LAZY" {
			d.Fail("No such modifier of PREVIEW")
		}
	})
}

// need tells what has to be read of each message.
func (x *fetchItems) need() store.Need {
	var n store.Need
	if x.o.Envelope || x.body || x.extBody {
		n |= store.NeedMeta
	}
	for _, b := range x.o.BodySection {
		n |= store.NeedBody
		if !isWhole(b) {
			n |= store.NeedMeta
		}
	}
	if x.preview || len(x.o.BinarySection)+len(x.o.BinarySectionSize) > 0 {
		n |= store.NeedMeta | store.NeedBody
	}
	return n
}

// fetchWord reads an item's name, up to its section.
func fetchWord(d *wire.Decoder) string {
	var b []byte
	for {
		c := d.Peek()
		if c < '0' && c != '.' || c == '[' || c == '<' || c == ']' || c > 'z' || len(b) > 30 {
			return string(b)
		}
		d.Special(c)
		b = append(b, c)
	}
}

func (x *fetchItems) add(name string, b imap.FetchItemBodySection) {
	x.names = append(x.names, name)
	x.o.BodySection = append(x.o.BodySection, &b)
}

// old notes an item of the old kind, which is answered by its own name.
func (x *fetchItems) old(name string, b imap.FetchItemBodySection) { x.add(name, b) }

// section reads what stands behind BODY: a section and where to cut it.
func (x *fetchItems) section(d *wire.Decoder, peek bool) {
	b := imap.FetchItemBodySection{Peek: peek}
	d.Special('[')
	var more bool
	b.Part, more = partPath(d)
	if d.Peek() != ']' || more && len(b.Part) > 0 {
		if !more {
			d.Fail("A section is malformed")
		}
		sectionText(d, &b)
	}
	d.Special(']')
	b.Partial = partial(d)
	x.add("", b)
}

// partPath reads the numbers of a section; more tells whether something else
// may follow.
func partPath(d *wire.Decoder) (path []int, more bool) {
	for c := d.Peek(); c >= '0' && c <= '9'; c = d.Peek() {
		path = append(path, int(d.NZNumber()))
		if len(path) > maxPartPath {
			d.Fail("A section is too deep")
		}
		if !d.TrySpecial('.') {
			return path, false
		}
	}
	return path, true
}

// sectionText reads a section-msgtext or MIME.
func sectionText(d *wire.Decoder, b *imap.FetchItemBodySection) {
	fields := func() (names []string) {
		d.SP()
		d.List(func() { names = append(names, d.AString()) })
		if len(names) == 0 {
			d.Fail("A list of fields is empty")
		}
		return names
	}
	switch strings.ToUpper(fetchWord(d)) {
	case "HEADER":
		b.Specifier = imap.PartSpecifierHeader
	case "HEADER.FIELDS":
		b.Specifier, b.HeaderFields = imap.PartSpecifierHeader, fields()
	case "HEADER.FIELDS.NOT":
		b.Specifier, b.HeaderFieldsNot = imap.PartSpecifierHeader, fields()
	case "TEXT":
		b.Specifier = imap.PartSpecifierText
	case "MIME":
		if b.Specifier = imap.PartSpecifierMIME; len(b.Part) == 0 {
			d.Fail("MIME is a part's") // RFC 9051 §9, section-spec
		}
	default:
		d.Fail("No such section")
	}
}

// binaryPath reads a section-binary.
func binaryPath(d *wire.Decoder) []int {
	d.Special('[')
	path, more := partPath(d)
	if more && len(path) > 0 {
		d.Fail("A section is malformed")
	}
	d.Special(']')
	return path
}

// partial reads where to cut, nil if it is not said.
func partial(d *wire.Decoder) *imap.SectionPartial {
	if !d.TrySpecial('<') {
		return nil
	}
	p := &imap.SectionPartial{Offset: d.Number64()}
	d.Special('.')
	if p.Size = d.Number64(); p.Size == 0 {
		d.Fail("A part of no bytes")
	}
	d.Special('>')
	return p
}
