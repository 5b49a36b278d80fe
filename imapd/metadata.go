package imapd

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"postrider/imapd/wire"
	"postrider/store"
)

const maxEntries = 100 // of one GETMETADATA or SETMETADATA

// entry is the name of an annotation as it stands on the wire: in lower case,
// since case does not count (RFC 5464 §3.2).
type entry struct {
	private bool
	name    string // behind /private or /shared
}

func (e entry) String() string {
	if e.private {
		return "/private" + e.name
	}
	return "/shared" + e.name
}

// parseEntry reads the name of an entry, or /private or /shared, below which
// all are.
func parseEntry(d *wire.Decoder) (e entry) {
	name := lowerASCII(d.AString())
	switch {
	case d.Err() != nil:
	case name == "/private", strings.HasPrefix(name, "/private/"):
		e = entry{true, strings.TrimPrefix(name, "/private")}
	case name == "/shared", strings.HasPrefix(name, "/shared/"):
		e = entry{false, strings.TrimPrefix(name, "/shared")}
	default:
		d.Fail("Entries begin with /private/ or /shared/")
	}
	if strings.ContainsAny(name, "*%") || strings.Contains(name, "//") || strings.HasSuffix(name, "/") {
		d.Fail("No entry can have this name")
	}
	return e
}

// lowerASCII is s with its ASCII letters in lower case.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// parseEntries reads one entry or a list of them.
func parseEntries(d *wire.Decoder) (list []entry) {
	if d.Peek() != '(' {
		return []entry{parseEntry(d)}
	}
	d.List(func() {
		if list = append(list, parseEntry(d)); len(list) > maxEntries {
			d.Limit("LIMIT", "Too many entries")
		}
	})
	if len(list) == 0 {
		d.Fail("An entry is missing")
	}
	return list
}

// getMetadata is the arguments of GETMETADATA.
type getMetadata struct {
	mailbox string
	entries []entry
	maxSize int64 // -1 is no limit
	depth   int   // levels below an entry
}

// parseGetMetadata reads the arguments of GETMETADATA. The grammar of RFC 5464
// §5 has the options before the mailbox, its examples behind it, and clients
// follow either.
func parseGetMetadata(d *wire.Decoder) getMetadata {
	g := getMetadata{maxSize: -1}
	d.SP()
	if d.TryListOpen() {
		g.options(d)
		d.SP()
	}
	g.mailbox = d.Mailbox()
	d.SP()
	if !d.TryListOpen() {
		g.entries = []entry{parseEntry(d)}
		return g
	}
	if c := d.Peek(); c != '/' && c != '"' && c != '{' {
		g.options(d)
		d.SP()
		g.entries = parseEntries(d)
		return g
	}
	for first := true; d.Err() == nil && !d.ListClose(); first = false {
		if !first {
			d.SP()
		}
		if g.entries = append(g.entries, parseEntry(d)); len(g.entries) > maxEntries {
			d.Limit("LIMIT", "Too many entries")
		}
	}
	return g
}

// options reads the options behind the parenthesis that opens their list.
func (g *getMetadata) options(d *wire.Decoder) {
	for first := true; d.Err() == nil && !d.ListClose(); first = false {
		if !first {
			d.SP()
		}
		switch d.Keyword() {
		case "MAXSIZE":
			d.SP()
			g.maxSize = int64(d.Number())
		case "DEPTH":
			d.SP()
			switch d.Keyword() {
			case "0":
				g.depth = 0
			case "1":
				g.depth = 1
			case "INFINITY":
				g.depth = store.MaxAnnotationName
			default:
				d.Fail("No such depth")
			}
		default:
			d.Fail("No such option")
		}
	}
}

// matches tells whether an annotation is one that is asked for with e.
func (g *getMetadata) matches(e entry, a store.Annotation) bool {
	if e.private != (a.Who != 0) {
		return false
	}
	below, ok := strings.CutPrefix(a.Name, e.name)
	return ok && (below == "" || below[0] == '/' && strings.Count(below, "/") <= g.depth)
}

// cmdGetMetadata answers GETMETADATA (RFC 5464 §4.2).
func (s *session) cmdGetMetadata(d *wire.Decoder) error {
	g := parseGetMetadata(d)
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	var p place
	if g.mailbox != "" {
		var err error
		if p, err = s.annotated(g.mailbox); err != nil {
			return err
		}
	}
	e := newEncoder(s.c)
	longest, err := s.writeMetadata(e, &p, &g)
	if err != nil {
		return s.wireError(err, "metadata")
	}
	e.Flush()
	if longest > 0 {
		s.ok("METADATA LONGENTRIES "+strconv.Itoa(longest), "")
	}
	return nil
}

// annotated finds a mailbox whose annotations the client may know: RFC 5464
// §3.3.
func (s *session) annotated(name string) (place, error) {
	p, err := s.permitted(name, store.RightLookup, "metadata")
	if err == nil && p.rights&annotating == 0 {
		err = errNoRight
	}
	return p, err
}

// annotating are the rights of which one is needed beside "l".
const annotating = store.RightRead | store.RightSeen | store.RightWrite | store.RightInsert | store.RightPost

// writeMetadata writes the annotations that are asked for; one that is not
// there is NIL. It returns the size of the largest that is too large.
func (s *session) writeMetadata(e *encoder, p *place, g *getMetadata) (longest int, err error) {
	all, err := s.srv.o.Store.Annotations(s.ctx(), p.ID, s.account())
	if err != nil {
		return 0, err
	}
	all = append(all, s.computed(p)...)
	wrote := false
	value := func(name entry, value []byte) {
		if !wrote {
			e.Text("* METADATA ")
			e.Mailbox(p.Name)
			e.Text(" (")
		}
		wrote = true
		e.ListSP()
		e.AString(name.String())
		e.SP()
		e.value(value)
	}
	told := make([]bool, len(all)) // each once, however often it is asked for
	for _, want := range g.entries {
		found := false
		for i, a := range all {
			if !g.matches(want, a) {
				continue
			}
			found = true
			if told[i] {
				continue
			}
			told[i] = true
			if g.maxSize >= 0 && int64(len(a.Value)) > g.maxSize {
				longest = max(longest, len(a.Value))
				continue
			}
			value(entry{a.Who != 0, a.Name}, a.Value)
		}
		if !found {
			value(want, nil)
		}
	}
	if wrote {
		e.Special(')')
		e.CRLF()
	}
	return longest, nil
}

// computed are the annotations that nobody sets as such: the special use of a
// mailbox (RFC 6154 §5.4) and who runs the server (RFC 5464 §6.2.2).
func (s *session) computed(p *place) []store.Annotation {
	if p.ID == (store.MailboxID{}) {
		admin := "mailto:postmaster@" + s.c.account.Address.Domain
		return []store.Annotation{{Name: adminEntry, Value: []byte(admin)}}
	}
	if p.Use == store.UseNone {
		return nil
	}
	return []store.Annotation{{Who: s.account(), Name: store.UseAnnotation, Value: []byte(attrOf(p.Use))}}
}

const adminEntry = "/admin"

// value writes the value of an annotation, NIL if it is nil.
func (e *encoder) value(v []byte) {
	switch {
	case v == nil:
		e.NIL()
	case slices.Contains(v, 0):
		e.Special('~')
		e.Literal(v)
	default:
		e.String(string(v))
	}
}

// cmdSetMetadata answers SETMETADATA (RFC 5464 §4.3).
func (s *session) cmdSetMetadata(d *wire.Decoder) error {
	d.SP()
	name := d.Mailbox()
	d.SP()
	var changes []store.Annotation
	d.List(func() {
		e := parseEntry(d)
		if e.name == "" {
			d.Fail("This is above all entries")
		}
		d.SP()
		a := store.Annotation{Name: e.name}
		if e.private {
			a.Who = s.account()
		}
		if text, ok := d.NString8(); ok {
			a.Value = []byte(text)
		}
		if changes = append(changes, a); len(changes) > maxEntries {
			d.Limit("LIMIT", "Too many entries")
		}
	})
	if len(changes) == 0 {
		d.Fail("An entry is missing")
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		if l := (*wire.LimitError)(nil); errors.As(err, &l) && l.Code == string(imap.ResponseCodeTooBig) {
			return errLargeValue // the literal was refused
		}
		return err
	}
	if name == "" {
		return s.annotateServer(changes)
	}
	p, err := s.annotated(name)
	if err != nil {
		return err
	}
	for _, a := range changes {
		switch {
		case a.Who != 0 && a.Name == store.UseAnnotation:
			return s.setUse(&p, changes)
		case a.Who == 0 && p.rights&store.RightWrite == 0:
			return errNoRight // what all see is not for those who may only read
		}
	}
	return s.annotate(p.ID, changes)
}

// annotateServer changes annotations of the server: what all see is the
// administrators' to change.
func (s *session) annotateServer(changes []store.Annotation) error {
	for _, a := range changes {
		switch {
		case a.Who == 0 && a.Name == adminEntry:
			return no(imap.ResponseCodeCannot, "This entry is read-only")
		case a.Who == 0 && !s.c.account.Admin:
			return errNoRight
		}
	}
	return s.annotate(store.MailboxID{}, changes)
}

var errLargeValue = no(imap.ResponseCode("METADATA MAXSIZE "+strconv.Itoa(store.MaxAnnotation)), "The value is too large")

func (s *session) annotate(box store.MailboxID, changes []store.Annotation) error {
	err := s.ownNotes(box, changes, func() error { return s.srv.o.Store.Annotate(s.ctx(), box, changes) })
	if err == nil {
		return nil
	}
	switch store.KindOf(err) {
	case store.TooBig:
		return errLargeValue
	case store.Quota:
		return no("METADATA TOOMANY", "There are too many annotations")
	case store.Invalid:
		return badCommand("No entry can have this name")
	}
	return s.wireError(err, "metadata")
}

// setUse changes the special use of a mailbox (RFC 6154 §5.4).
func (s *session) setUse(p *place, changes []store.Annotation) error {
	refused := no("USEATTR", "This special use cannot be given to the mailbox")
	if len(changes) > 1 {
		return no(imap.ResponseCodeCannot, "The special use is changed by a command of its own")
	}
	use := store.UseNone
	if v := changes[0].Value; v != nil {
		if use = useOf(string(v)); use == store.UseNone || use == store.UseAll || use == store.UseFlagged {
			return refused
		}
	}
	if p.ID.Account != s.account() || p.own == store.Inbox {
		return refused
	}
	err := s.ownNotes(p.ID, changes, func() error { return s.srv.o.Store.SetUse(s.ctx(), s.account(), p.own, use) })
	if err != nil && store.KindOf(err) == store.Exists {
		return refused
	}
	return s.wireError(err, "special use")
}
