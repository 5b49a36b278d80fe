package imapd_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/wiretest"
)

// Every dialogue is played in both revisions of the protocol. As it is written
// it is one of IMAP4rev1; rev2 says what changes after ENABLE IMAP4rev2, and
// lines such as "S:rev2" what it cannot know.
const inRev1, inRev2 = "rev1", "rev2"

var revisions = []string{inRev1, inRev2}

func TestDialogues(t *testing.T) {
	rev1 := func(l []wiretest.Line) []wiretest.Line { return l }
	wiretest.DirIn(t, "testdata", wiretest.Variant{Name: inRev1, Of: revisions, Rewrite: rev1}, openWorld)
}

func TestDialoguesRev2(t *testing.T) {
	wiretest.DirIn(t, "testdata", wiretest.Variant{Name: inRev2, Of: revisions, Rewrite: rev2}, openWorld)
}

func openWorld(t *testing.T) *wiretest.Env {
	w := newWorld(t)
	return &wiretest.Env{Dial: w.dial, TLS: w.tls}
}

// rev2 turns a dialogue of IMAP4rev1 into one of IMAP4rev2, nil if no client
// logs in: each client enables the revision behind its login. What follows from
// that is RFC 9051 §E: nothing is recent, SELECT tells of no unseen message, but of
// the mailbox's name in LIST, RENAME of the old name, and SEARCH is answered by
// ESEARCH.
func rev2(lines []wiretest.Line) []wiretest.Line {
	r := &rewriting{commands: map[string]string{}}
	for i, l := range lines {
		switch l.Verb {
		case "C:", "C|":
			r.sent(l)
			r.out = append(r.out, l)
		case "S:", "S~":
			r.told(l, lines[i+1:])
		default:
			r.out = append(r.out, l)
		}
	}
	if !r.enabled {
		return nil
	}
	return r.out
}

type rewriting struct {
	commands map[string]string // by connection, space, and tag: what was sent, in capitals
	enabled  bool
	out      []wiretest.Line
}

// connection is the name of a line's connection without its kind.
func connection(l wiretest.Line) string {
	name, _, _ := strings.Cut(l.Conn, ":")
	return name
}

// sent notes commands.
func (r *rewriting) sent(l wiretest.Line) {
	for line := range strings.SplitSeq(l.Text, "\r\n") {
		if tag, command, ok := strings.Cut(line, " "); ok {
			r.commands[connection(l)+" "+tag] = strings.ToUpper(command)
		}
	}
}

// told writes a line of the server's, before those that are left.
func (r *rewriting) told(l wiretest.Line, left []wiretest.Line) {
	tag, rest, _ := strings.Cut(l.Text, " ")
	command := r.commands[connection(l)+" "+tag]
	verb, _, _ := strings.Cut(command, " ")
	ok := strings.HasPrefix(rest, "OK")
	switch {
	case strings.HasPrefix(l.Text, "* 0 RECENT"), strings.HasPrefix(l.Text, "* OK [UNSEEN "):
		return
	case strings.HasPrefix(l.Text, "* ENABLED"):
		l.Text = strings.Replace(l.Text, " IMAP4rev2", "", 1)
	case l.Text == "* SEARCH" || strings.HasPrefix(l.Text, "* SEARCH "):
		l.Text = r.esearch(l, left)
	case ok && verb == "RENAME" && !r.last(l, "* LIST "):
		r.put(l, "S:", `* LIST () "/" * ("OLDNAME" (*))`)
	}
	r.out = append(r.out, l)
	if strings.HasPrefix(l.Text, "* OK [MAILBOXID ") && !begins(left, l, "* LIST ") {
		r.put(l, "S:", `* LIST () "/" *`)
	}
	if ok && (verb == "LOGIN" || verb == "AUTHENTICATE") {
		r.put(l, "C:", "rev2 ENABLE IMAP4rev2")
		r.put(l, "S:", "* ENABLED IMAP4rev2")
		r.put(l, "S:", "rev2 OK ENABLE completed")
		r.enabled = true
	}
}

// last tells whether the last line of a connection begins with text.
func (r *rewriting) last(at wiretest.Line, text string) bool {
	for _, l := range slices.Backward(r.out) {
		if connection(l) == connection(at) {
			return strings.HasPrefix(l.Text, text)
		}
	}
	return false
}

// begins tells whether the next line of a connection begins with text.
func begins(left []wiretest.Line, at wiretest.Line, text string) bool {
	for _, l := range left {
		if connection(l) == connection(at) {
			return strings.HasPrefix(l.Text, text)
		}
	}
	return false
}

func (r *rewriting) put(at wiretest.Line, verb, text string) {
	r.out = append(r.out, wiretest.Line{Conn: connection(at), Verb: verb, Text: text})
}

// esearch is what stands for a SEARCH response: its tag is that of the next
// tagged response.
func (r *rewriting) esearch(l wiretest.Line, left []wiretest.Line) string {
	numbers, modSeq, _ := strings.Cut(strings.TrimPrefix(l.Text, "* SEARCH"), "(MODSEQ ")
	out := "* ESEARCH (TAG "
	for _, next := range left {
		tag, _, _ := strings.Cut(next.Text, " ")
		command, ok := r.commands[connection(next)+" "+tag]
		if connection(next) != connection(l) || !ok || next.Verb == "C:" {
			continue
		}
		out += strconv.Quote(tag) + ")"
		if strings.HasPrefix(command, "UID ") {
			out += " UID"
		}
		break
	}
	if set := joined(strings.Fields(numbers)); set != "" {
		out += " ALL " + set
	}
	if modSeq != "" {
		out += " MODSEQ " + strings.TrimSuffix(modSeq, ")")
	}
	return out
}

// joined makes a sequence-set of numbers that ascend; what is no number stays.
func joined(words []string) string {
	var set []string
	for i := 0; i < len(words); i++ {
		from, err := strconv.Atoi(words[i])
		to := from
		for ; err == nil && i+1 < len(words) && words[i+1] == strconv.Itoa(to+1); i++ {
			to++
		}
		switch {
		case to > from:
			set = append(set, strconv.Itoa(from)+":"+strconv.Itoa(to))
		default:
			set = append(set, words[i])
		}
	}
	return strings.Join(set, ",")
}
