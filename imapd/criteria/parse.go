package criteria

import (
	"io"
	"strings"

	"postrider/imapd/wire"
	"postrider/mail"
)

// Program is a search-program: keys and the charset of their texts (RFC 9051
// §9).
type Program struct {
	Charset string // as it was given; empty if it was not
	Key     Key
	// Unknown says that the charset is not known: the texts are not decoded.
	Unknown bool
	// Labelled says that the client has told the charset though it need not.
	Labelled bool
}

// ParseProgram reads a search-program, behind its space: CHARSET and a name if
// the client cares to tell, and keys to the end of the command.
func ParseProgram(d *wire.Decoder) Program {
	var p Program
	if d.TryWord("CHARSET") {
		d.SP()
		p.Charset, p.Labelled = d.AString(), true
		d.SP()
	}
	p.keys(d)
	return p
}

// ParseCriteria reads the search-criteria of SORT and THREAD, where the charset
// must be told (RFC 5256 §5).
func ParseCriteria(d *wire.Decoder) Program {
	var p Program
	p.Charset = d.AString()
	d.SP()
	p.keys(d)
	return p
}

func (p *Program) keys(d *wire.Decoder) {
	p.Unknown = p.Charset != "" && !mail.KnownCharset(p.Charset)
	r := keyReader{d: d, charset: p.Charset}
	if p.Unknown {
		r.charset = ""
	}
	p.Key = r.list(func() bool { return d.End() })
}

// keyReader reads search keys.
type keyReader struct {
	d       *wire.Decoder
	charset string
	n       int // keys so far
	texts   int
}

// list reads keys with a space between two, at least one, until end tells that
// there are no more. All of them have to match.
func (r *keyReader) list(end func() bool) Key {
	keys := []Key{r.key()}
	for r.d.Err() == nil && !end() {
		r.d.SP()
		if r.d.End() { // a space at the end of the command is tolerated
			break
		}
		keys = append(keys, r.key())
	}
	if len(keys) == 1 {
		return keys[0]
	}
	return Key{Op: And, Keys: keys}
}

// key reads one search-key.
func (r *keyReader) key() Key {
	d := r.d
	if r.n++; r.n > MaxKeys {
		d.Limit("LIMIT", "There are too many search keys")
		return Key{}
	}
	switch {
	case d.StartsSet():
		return Key{Op: Seq, Set: d.SeqSet()}
	case d.TryListOpen():
		return r.list(d.ListClose)
	}
	word := d.Keyword()
	if read, ok := words[word]; ok {
		return read(r)
	}
	flag, set := flagOf(word)
	switch {
	case flag == "":
		d.Fail("There is no such search key")
	case !set:
		return not(Key{Op: Flag, Name: flag})
	}
	return Key{Op: Flag, Name: flag}
}

func not(k Key) Key { return Key{Op: Not, Keys: []Key{k}} }

// words are the keys that are words, other than those of systemFlags.
var words map[string]func(r *keyReader) Key

func init() { // the table refers to itself
	words = map[string]func(r *keyReader) Key{
		"ALL":               just(Key{Op: All}),
		"NEW":               just(Key{Op: And, Keys: []Key{{Op: Recent}, not(Key{Op: Flag, Name: `\Seen`})}}),
		"OLD":               just(not(Key{Op: Recent})),
		"RECENT":            just(Key{Op: Recent}),
		"SAVEDATESUPPORTED": just(Key{Op: All}), // always

		"KEYWORD":   func(r *keyReader) Key { return Key{Op: Flag, Name: r.atom()} },
		"UNKEYWORD": func(r *keyReader) Key { return not(Key{Op: Flag, Name: r.atom()}) },
		"EMAILID":   func(r *keyReader) Key { return Key{Op: EmailID, Name: r.atom()} },
		"THREADID":  func(r *keyReader) Key { return Key{Op: ThreadID, Name: r.atom()} },

		"BCC":     field("Bcc"),
		"CC":      field("Cc"),
		"FROM":    field("From"),
		"SUBJECT": field("Subject"),
		"TO":      field("To"),
		"HEADER":  (*keyReader).header,
		"BODY":    func(r *keyReader) Key { return Key{Op: Body, Text: r.text()} },
		"TEXT":    func(r *keyReader) Key { return Key{Op: Text, Text: r.text()} },

		"SINCE": date(Since), "BEFORE": date(Before), "ON": date(On),
		"SENTSINCE": date(SentSince), "SENTBEFORE": date(SentBefore), "SENTON": date(SentOn),
		"SAVEDSINCE": date(SavedSince), "SAVEDBEFORE": date(SavedBefore), "SAVEDON": date(SavedOn),

		"LARGER":    number(Larger, (*wire.Decoder).Number64),
		"SMALLER":   number(Smaller, (*wire.Decoder).Number64),
		"OLDER":     number(Older, nzNumber),
		"YOUNGER":   number(Younger, nzNumber),
		"UIDAFTER":  number(UIDAfter, nzNumber),
		"UIDBEFORE": number(UIDBefore, nzNumber),
		"MODSEQ":    (*keyReader).modSeq,
		"UID": func(r *keyReader) Key {
			r.d.SP()
			return Key{Op: UID, Set: r.d.UIDSet()}
		},

		"NOT":   func(r *keyReader) Key { return Key{Op: Not, Keys: r.inside(1)} },
		"OR":    func(r *keyReader) Key { return Key{Op: Or, Keys: r.inside(2)} },
		"FUZZY": func(r *keyReader) Key { return Key{Op: Fuzzy, Keys: r.inside(1)} },
	}
}

func just(k Key) func(*keyReader) Key { return func(*keyReader) Key { return k } }

func field(name string) func(*keyReader) Key {
	return func(r *keyReader) Key { return Key{Op: Header, Name: name, Text: r.text()} }
}

func date(op Op) func(*keyReader) Key {
	return func(r *keyReader) Key {
		r.d.SP()
		return Key{Op: op, Date: r.d.Date()}
	}
}

func number(op Op, read func(*wire.Decoder) int64) func(*keyReader) Key {
	return func(r *keyReader) Key {
		r.d.SP()
		return Key{Op: op, Number: read(r.d)}
	}
}

func nzNumber(d *wire.Decoder) int64 { return int64(d.NZNumber()) }

func (r *keyReader) atom() string {
	r.d.SP()
	return r.d.Atom()
}

// inside reads n keys that are arguments of one.
func (r *keyReader) inside(n int) []Key {
	r.d.Down()
	var keys []Key
	for range n {
		if r.d.Err() != nil {
			return nil
		}
		r.d.SP()
		keys = append(keys, r.key())
	}
	r.d.Up()
	return keys
}

func (r *keyReader) header() Key {
	r.d.SP()
	return Key{Op: Header, Name: r.d.AString(), Text: r.text()}
}

// text reads a text and decodes it to UTF-8.
func (r *keyReader) text() string {
	if r.texts++; r.texts > MaxTexts {
		r.d.Limit("LIMIT", "There are too many texts to search for")
		return ""
	}
	r.d.SP()
	s := r.d.AString()
	if r.charset == "" || s == "" {
		return s
	}
	b, err := io.ReadAll(mail.DecodeCharset(r.charset, strings.NewReader(s)))
	if err != nil {
		r.d.Fail("A text is not in the charset that was given")
	}
	return string(b)
}

// modSeq reads the arguments of MODSEQ (RFC 7162 §3.1.5). There is one
// mod-sequence for all of a message, so that the metadata item that may be
// named makes no difference.
func (r *keyReader) modSeq() Key {
	d := r.d
	d.SP()
	if d.Peek() == '"' {
		d.Quoted()
		d.SP()
		switch d.Keyword() {
		case "PRIV", "SHARED", "ALL":
		default:
			d.Fail("There is no such type of entry")
		}
		d.SP()
	}
	return Key{Op: ModSeq, Number: d.Number64()}
}
