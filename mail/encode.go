package mail

import (
	"encoding/binary"
	"errors"
	"slices"
)

// metaVersion is the first byte of an encoded Meta. A change of the format or
// of commonStrings makes a new version; every version stays readable.
//
// Version 1 had no empty content fields (Part.Empty); what it wrote is else the same.
const metaVersion = 2

// errMeta says that bytes are no encoded Meta.
var errMeta = errors.New("mail: damaged or unknown metadata")

// commonStrings are encoded as their place here. Append only.
var commonStrings = [...]string{"text", "plain", "html", "multipart", "mixed", "alternative", "related", "signed", "report",
	"digest", "message", "rfc822", "global", "delivery-status", "image", "jpeg", "png", "gif", "audio", "video",
	"application", "octet-stream", "pdf", "zip", "pgp-signature", "calendar", "csv", "charset", "us-ascii", "utf-8",
	"UTF-8", "iso-8859-1", "ISO-8859-1", "windows-1252", "boundary", "name", "format", "flowed", "delsp", "yes",
	"method", "type", "micalg", "protocol", "report-type", "filename", "size", "7bit", "8bit", "binary", "base64",
	"quoted-printable", "attachment", "inline", "en"}

// maxCommon is the length of the longest of them.
const maxCommon = len("quoted-printable")

// Encode returns m in a compact form that DecodeMeta reads.
func (m *Meta) Encode() []byte {
	e := metaEncoder{b: make([]byte, 0, 512)}
	e.b = append(e.b, metaVersion)
	e.int(m.Size)
	e.info(&m.Envelope)
	e.part(&m.Root)
	return e.b
}

// metaEncoder writes numbers as varints and strings with their length. Offsets
// count from where the part before ended, so that they are small.
type metaEncoder struct {
	b  []byte
	at int64
}

func (e *metaEncoder) int(v int64) { e.b = binary.AppendVarint(e.b, v) }

func (e *metaEncoder) count(n int) { e.b = binary.AppendUvarint(e.b, uint64(n)) }

// string writes the length, doubled, and the bytes; or an odd number for a
// common string.
func (e *metaEncoder) string(s string) {
	if s != "" && len(s) <= maxCommon {
		if i := slices.Index(commonStrings[:], s); i >= 0 {
			e.count(i<<1 | 1)
			return
		}
	}
	e.count(len(s) << 1)
	e.b = append(e.b, s...)
}

func (e *metaEncoder) extent(x Extent) {
	e.int(x.Offset - e.at)
	e.int(x.Size)
	e.at = x.Offset + x.Size
}

func (e *metaEncoder) info(h *HeaderInfo) {
	for _, f := range h.fields() {
		e.string(*f)
	}
	e.b = append(e.b, byte(h.Empty))
}

// fields returns the fields of h in the order in which they are encoded.
func (h *HeaderInfo) fields() []*string {
	return []*string{&h.Date, &h.Subject, &h.From, &h.Sender, &h.ReplyTo, &h.To, &h.Cc, &h.Bcc,
		&h.InReplyTo, &h.MessageID, &h.References}
}

// Bits that tell which of a part's rare members follow.
const (
	hasRare    = 1 << iota // ID, Description, MD5, Location, Language
	hasDisp                // Disposition and DispParams
	hasParts               // Parts
	hasMessage             // Message
	hasEmpty               // Empty, since version 2
)

func (e *metaEncoder) part(p *Part) {
	rare := []string{p.ID, p.Description, p.MD5, p.Location}
	var bits byte
	if slices.ContainsFunc(rare, func(s string) bool { return s != "" }) || len(p.Language) > 0 {
		bits |= hasRare
	}
	if p.Disposition != "" || len(p.DispParams) > 0 {
		bits |= hasDisp
	}
	if len(p.Parts) > 0 {
		bits |= hasParts
	}
	if p.Message != nil {
		bits |= hasMessage
	}
	if p.Empty != 0 {
		bits |= hasEmpty
	}
	e.b = append(e.b, bits)
	e.string(p.Type)
	e.string(p.Subtype)
	e.params(p.Params)
	e.string(p.Encoding)
	if bits&hasRare != 0 {
		for _, s := range rare {
			e.string(s)
		}
		e.count(len(p.Language))
		for _, s := range p.Language {
			e.string(s)
		}
	}
	if bits&hasDisp != 0 {
		e.string(p.Disposition)
		e.params(p.DispParams)
	}
	if bits&hasEmpty != 0 {
		e.b = append(e.b, byte(p.Empty))
	}
	e.extent(p.Header)
	e.extent(p.Body)
	e.int(p.Lines)
	e.inside(p)
}

// inside writes what a part contains.
func (e *metaEncoder) inside(p *Part) {
	end := e.at
	e.at = p.Body.Offset
	if len(p.Parts) > 0 {
		e.count(len(p.Parts))
		for i := range p.Parts {
			e.part(&p.Parts[i])
		}
	}
	if p.Message != nil {
		e.info(&p.Message.Envelope)
		e.part(&p.Message.Root)
	}
	e.at = end
}

func (e *metaEncoder) params(params []Param) {
	e.count(len(params))
	for _, p := range params {
		e.string(p.Name)
		e.string(p.Value)
		e.string(p.Extended)
	}
}

// DecodeMeta reads what Encode wrote.
func DecodeMeta(b []byte) (*Meta, error) {
	if len(b) == 0 || b[0] < 1 || b[0] > metaVersion {
		return nil, errMeta
	}
	// One conversion for all strings; each is a piece of it.
	d := metaDecoder{b: b[1:], s: string(b[1:])}
	m := &Meta{Size: d.int()}
	d.info(&m.Envelope)
	d.part(&m.Root, 0)
	if d.bad || d.pos != len(d.b) {
		return nil, errMeta
	}
	return m, nil
}

// metaDecoder is the reverse of metaEncoder. After the first error it reads
// zeros.
type metaDecoder struct {
	b   []byte
	s   string
	pos int
	at  int64
	bad bool
}

// fail makes everything after it read as zero.
func (d *metaDecoder) fail() {
	d.bad = true
	d.pos = len(d.b)
}

func (d *metaDecoder) byte() byte {
	if d.pos >= len(d.b) {
		d.fail()
		return 0
	}
	d.pos++
	return d.b[d.pos-1]
}

func (d *metaDecoder) int() int64 {
	v, n := binary.Varint(d.b[d.pos:])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.pos += n
	return v
}

func (d *metaDecoder) uint() uint64 {
	v, n := binary.Uvarint(d.b[d.pos:])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.pos += n
	return v
}

// count reads how many things follow, each of at least one byte.
func (d *metaDecoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)-d.pos) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *metaDecoder) string() string {
	v := d.uint()
	n := v >> 1
	if v&1 != 0 {
		if n >= uint64(len(commonStrings)) {
			d.fail()
			return ""
		}
		return commonStrings[n]
	}
	if n > uint64(len(d.b)-d.pos) {
		d.fail()
		return ""
	}
	d.pos += int(n)
	return d.s[d.pos-int(n) : d.pos]
}

func (d *metaDecoder) extent() Extent {
	x := Extent{Offset: d.at + d.int(), Size: d.int()}
	d.at = x.Offset + x.Size
	return x
}

func (d *metaDecoder) info(h *HeaderInfo) {
	for _, f := range h.fields() {
		*f = d.string()
	}
	h.Empty = EmptyFields(d.byte())
}

// maxEncodedDepth is more than Parse makes of any message.
const maxEncodedDepth = 2*maxDepth + 10

func (d *metaDecoder) part(p *Part, depth int) {
	if depth > maxEncodedDepth {
		d.fail()
		return
	}
	bits := d.byte()
	p.Type = d.string()
	p.Subtype = d.string()
	p.Params = d.params()
	p.Encoding = d.string()
	if bits&hasRare != 0 {
		p.ID, p.Description, p.MD5, p.Location = d.string(), d.string(), d.string(), d.string()
		for range d.count() {
			p.Language = append(p.Language, d.string())
		}
	}
	if bits&hasDisp != 0 {
		p.Disposition = d.string()
		p.DispParams = d.params()
	}
	if bits&hasEmpty != 0 {
		p.Empty = EmptyContent(d.byte())
	}
	p.Header = d.extent()
	p.Body = d.extent()
	p.Lines = d.int()
	end := d.at
	d.at = p.Body.Offset
	if bits&hasParts != 0 {
		n := d.count()
		for i := 0; i < n && !d.bad; i++ {
			p.Parts = append(p.Parts, Part{})
			d.part(&p.Parts[i], depth+1)
		}
	}
	if bits&hasMessage != 0 && !d.bad {
		p.Message = &Message{}
		d.info(&p.Message.Envelope)
		d.part(&p.Message.Root, depth+1)
	}
	d.at = end
}

func (d *metaDecoder) params() []Param {
	var params []Param
	for range d.count() {
		params = append(params, Param{Name: d.string(), Value: d.string(), Extended: d.string()})
	}
	return params
}
