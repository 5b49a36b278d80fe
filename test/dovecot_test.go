package test

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/oddmail"
)

// dovecotIMAP is Dovecot's IMAP process, which speaks on its own standard
// input and output to whoever starts it, without any daemon around it.
const dovecotIMAP = "/usr/lib/dovecot/imap"

// docFidelity lists where our answers differ from Dovecot's, and why.
const docFidelity = "../docs/fidelity.md"

// TestDovecotFetch appends odd mail to Dovecot and to us and compares all that
// FETCH tells of it.
func TestDovecotFetch(t *testing.T) {
	t.Parallel()
	dovecot := newDovecot(t)
	d := readDifferences(t)
	d.dovecot = dovecot
	d.ours, d.theirs = imapAt(t, "Postrider", newSite(t).Addr["imap"], bob, password), dovecot.start()
	all := []*rawIMAP{d.ours, d.theirs}
	if addr := os.Getenv("CYRUS"); addr != "" {
		d.others = imapAt(t, "Cyrus", addr, "bob", password)
		d.others.cmd("DELETE odd")
		all = append(all, d.others)
	}
	for _, c := range all {
		c.ok("CREATE odd")
	}
	mail := oddmail.Messages()
	for _, m := range mail {
		d.append(m, all)
	}
	for _, c := range all {
		c.ok("EXAMINE odd")
	}
	for i, m := range mail {
		d.message = m.Name
		d.compare(i + 1)
	}
	d.end()
}

// TestGlobalMessage: message/global is a message in IMAP4rev2 alone (RFC 9051
// §9, media-message); Dovecot's client takes it for a syntax error otherwise.
func TestGlobalMessage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	old, rev2 := imapOf(t, s, bob), imapOf(t, s, bob)
	if tagged, ok := old.append("INBOX", []byte("Content-Type: message/global\r\n\r\nSubject: inner\r\n\r\nbody\r\n")); !ok {
		t.Fatal(tagged)
	}
	rev2.ok("ENABLE IMAP4rev2")
	for _, c := range []*rawIMAP{old, rev2, old, rev2} {
		c.ok("EXAMINE INBOX")
		got, _ := c.fetch(1, "BODYSTRUCTURE")
		want := `("message" "global" NIL NIL NIL "7bit" 24 NIL NIL NIL NIL)`
		if c == rev2 {
			want = `("message" "global" NIL NIL NIL "7bit" 24 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ` +
				`("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)`
		}
		if got := got["BODYSTRUCTURE"].String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func imapAt(t *testing.T, name, addr, user, password string) *rawIMAP {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := newRawIMAP(t, name, conn, conn)
	c.ok("LOGIN %s %q", user, password)
	return c
}

// dovecot is a Dovecot with a mail store of its own. It does not serve root,
// as whom it becomes nobody.
type dovecot struct {
	t         *testing.T
	dir, conf string
	stop      func() // ends the session before
}

func newDovecot(t *testing.T) *dovecot {
	t.Helper()
	if _, err := os.Stat(dovecotIMAP); err != nil {
		t.Fatalf("%v: run scripts/install-test-tools", err)
	}
	dir := dovecotDir(t)
	d := &dovecot{t, dir, filepath.Join(dir, "dovecot.conf"), func() {}}
	t.Cleanup(func() { d.stop() })
	text := fmt.Sprintf("base_dir = %s/run\nssl = no\nprotocols = imap\nmail_location = sdbox:%s/mail\nfirst_valid_uid = 0\nfirst_valid_gid = 0\n", dir, dir)
	if err := os.WriteFile(d.conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return d
}

// dovecotDir makes a directory that Dovecot may use; t.TempDir is closed to
// others.
func dovecotDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "dovecot-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const nobody = 65534

// start begins a session.
func (d *dovecot) start() *rawIMAP {
	t := d.t
	t.Helper()
	d.stop()
	cmd := exec.Command(dovecotIMAP, "-c", d.conf)
	cmd.Env = []string{"USER=bob", "HOME=" + d.dir, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.stop = func() { w.Close(); cmd.Wait() }
	return newRawIMAP(t, "Dovecot", r, w)
}

// differences are what was found to differ and what is known to.
type differences struct {
	t       *testing.T
	message string

	dovecot      *dovecot
	ours, theirs *rawIMAP
	others       *rawIMAP // Cyrus, which is asked about what differs; may be nil

	known []*knownDifference
	items int
	odd   int
}

// knownDifference is a row of the document: of which messages and items, and
// how often it was met.
type knownDifference struct {
	row             string
	messages, items *regexp.Regexp
	met             int
}

// readDifferences reads the table of the document. Its first two columns are
// expressions for whole names of messages and items.
func readDifferences(t *testing.T) *differences {
	t.Helper()
	text, err := os.ReadFile(docFidelity)
	if err != nil {
		t.Fatal(err)
	}
	d := &differences{t: t}
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|.*$").FindAllStringSubmatch(string(text), -1) {
		whole := func(s string) *regexp.Regexp {
			return regexp.MustCompile("^(?:" + strings.ReplaceAll(s, `\|`, "|") + ")$")
		}
		d.known = append(d.known, &knownDifference{row: row[0], messages: whole(row[1]), items: whole(row[2])})
	}
	return d
}

// append adds a message to all servers.
func (d *differences) append(m oddmail.Message, all []*rawIMAP) {
	d.message = m.Name
	var answers [3]string
	var taken [3]bool
	for i, c := range all {
		answers[i], taken[i] = c.append("odd", m.Raw)
		if !taken[i] { // the numbers must go on together
			c.append("odd", []byte("Subject: instead\r\n\r\n"))
		}
	}
	if taken[0] != taken[1] {
		d.found("APPEND", answers[0], answers[1], answers[2])
	}
}

// found takes a difference.
func (d *differences) found(item, ours, theirs, others string) {
	d.odd++
	for _, k := range d.known {
		if k.messages.MatchString(d.message) && k.items.MatchString(item) {
			k.met++
			return
		}
	}
	d.t.Errorf("%s %s\n ours    %s\n Dovecot %s\n Cyrus   %s", d.message, item, short(ours), short(theirs), short(others))
}

func (d *differences) end() {
	for _, k := range d.known {
		if k.met == 0 {
			d.t.Errorf("%s has a row for what does not differ: %s", docFidelity, k.row)
		}
	}
	d.t.Logf("%d items compared, %d differ", d.items, d.odd)
}

// wholeItems are what is asked of every message; S stands for its size.
const wholeItems = "(RFC822.SIZE ENVELOPE BODY BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] RFC822.HEADER " +
	"BODY.PEEK[]<0.1> BODY.PEEK[]<5.20> BODY.PEEK[]<1.1000000000> BODY.PEEK[]<100000.5> BODY.PEEK[]<4294967295.1> " +
	"BODY.PEEK[TEXT]<0.1> BODY.PEEK[TEXT]<3.4> BODY.PEEK[TEXT]<100000.5> BODY.PEEK[HEADER]<0.1> BODY.PEEK[HEADER]<7.9> " +
	"BODY.PEEK[HEADER.FIELDS (Subject TO x-odd Content-Type)] BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT to)] BODY.PEEK[HEADER.FIELDS (X-None)] " +
	"BODY.PEEK[HEADER.FIELDS (DATE FROM)]<0.1> BODY.PEEK[HEADER.FIELDS (DATE FROM)]<2.10> BODY.PEEK[HEADER.FIELDS.NOT (DATE FROM)]<1.7> " +
	"BODY.PEEK[HEADER.FIELDS (DATE FROM)]<100000.1>)"

// partItems are what is asked of every part p.
var partItems = []string{
	"[p]", "[p.MIME]", "[p.HEADER]", "[p.TEXT]", "[p.HEADER.FIELDS (Subject)]", "[p.HEADER.FIELDS.NOT (Subject)]", "[p.9]",
	"[p]<0.1>", "[p]<1.3>", "[p]<100000.1>", "[p.MIME]<0.1>", "[p.MIME]<4.300>", "[p.HEADER]<0.1>", "[p.HEADER]<3.7>", "[p.TEXT]<0.1>", "[p.TEXT]<2.5>",
	"[p.HEADER.FIELDS (Subject)]<0.5>", "[p.HEADER.FIELDS.NOT (Subject)]<1.5>",
}

// compare compares all items of one message.
func (d *differences) compare(n int) {
	a, b := d.both(n, wholeItems)
	size, _ := strconv.Atoi(a["RFC822.SIZE"].text)
	d.both(n, fmt.Sprintf("(BODY.PEEK[]<%d.7> BODY.PEEK[]<%d.7>)", max(size-1, 0), size))
	d.binary(n, "", value{}, false, a["BODY[]"].text)
	parts := partsOf(a["BODYSTRUCTURE"])
	paths := slices.Concat(slices.Collect(maps.Keys(parts)), slices.Collect(maps.Keys(partsOf(b["BODYSTRUCTURE"]))), []string{"9"})
	slices.SortFunc(paths, comparePaths)
	paths = slices.Compact(paths)
	if len(paths) > 16 {
		paths = slices.Concat(paths[:12], paths[len(paths)-4:])
	}
	for _, p := range paths {
		var items []string
		for _, item := range partItems {
			items = append(items, "BODY.PEEK"+strings.Replace(item, "p", p, 1))
		}
		x, _ := d.both(n, "("+strings.Join(items, " ")+")")
		part, ok := parts[p]
		d.binary(n, p, part, ok, x["BODY["+p+"]"].text)
	}
}

// comparePaths has sections in the order of their numbers.
func comparePaths(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y))
	})
}

// binary compares BINARY of one part, and checks ours by decoding the bytes of
// the part, of which both servers were asked.
func (d *differences) binary(n int, p string, part value, found bool, raw string) {
	items := strings.ReplaceAll("(BINARY.PEEK[p] BINARY.SIZE[p] BINARY.PEEK[p]<0.1> BINARY.PEEK[p]<1.3> BINARY.PEEK[p]<100000.1>)", "[p]", "["+p+"]")
	got, _ := d.both(n, items)
	want, known := raw, true
	if found && !isMultipart(part) && messageIn(part) == nil {
		want, known = undo(part.list[5].text, raw)
	}
	if !known {
		if len(got) > 0 {
			d.t.Errorf("%s %s: an encoding that nobody knows is undone: %v", d.message, p, got)
		}
		return
	}
	for item, want := range map[string]string{
		"BINARY[" + p + "]":         strconv.Quote(want),
		"BINARY.SIZE[" + p + "]":    strconv.Itoa(len(want)),
		"BINARY[" + p + "]<0>":      strconv.Quote(want[:min(1, len(want))]),
		"BINARY[" + p + "]<1>":      strconv.Quote(want[min(1, len(want)):min(4, len(want))]),
		"BINARY[" + p + "]<100000>": strconv.Quote(want[min(100000, len(want)):min(100001, len(want))]),
	} {
		if got := got[item].String(); got != want {
			d.t.Errorf("%s %s: %s, want %s", d.message, item, short(got), short(want))
		}
	}
}

// undo decodes a body as docs/fidelity.md says that a damaged one is read;
// known is false if nobody knows the encoding.
func undo(encoding, raw string) (body string, known bool) {
	switch encoding {
	case "7bit", "8bit", "binary":
		return raw, true
	case "base64":
		return undoBase64(raw), true
	case "quoted-printable":
		return undoQuoted(raw), true
	}
	return "", false
}

// undoBase64 passes over what is not of the alphabet; padding, and the end,
// finish a group.
func undoBase64(raw string) string {
	var out []byte
	for group := range strings.SplitSeq(raw, "=") {
		group = regexp.MustCompile("[^A-Za-z0-9+/]").ReplaceAllString(group, "")
		if len(group)%4 == 1 {
			group = group[:len(group)-1]
		}
		b, err := base64.RawStdEncoding.DecodeString(group)
		if err != nil {
			return err.Error()
		}
		out = append(out, b...)
	}
	return string(out)
}

// undoQuoted leaves alone what is no quoted-printable. White space at the end
// of a line was added on the way (RFC 2045 §6.7, rule 3).
func undoQuoted(raw string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(raw, "\n") {
		parts := lineParts.FindStringSubmatch(line)
		text, end := strings.TrimRight(parts[1], " \t"), parts[2]
		if soft, ok := strings.CutSuffix(text, "="); ok {
			text, end = soft, ""
		}
		b.WriteString(quotedByte.ReplaceAllStringFunc(text, func(s string) string {
			n, _ := strconv.ParseUint(s[1:], 16, 8)
			return string([]byte{byte(n)})
		}))
		b.WriteString(end)
	}
	return b.String()
}

var lineParts = regexp.MustCompile(`^((?s:.*?))(\r?\n)?$`)

var quotedByte = regexp.MustCompile("=[0-9A-Fa-f]{2}")

// both fetches items from both and compares them.
func (d *differences) both(n int, items string) (a, b map[string]value) {
	if d.theirs.refused { // after some refusals, and one of bad base64, Dovecot hangs up
		d.theirs = d.dovecot.start()
		d.theirs.ok("EXAMINE odd")
	}
	a, statusA := d.ours.fetch(n, items)
	d.checkPartials(a)
	b, statusB := d.theirs.fetch(n, items)
	if statusA != statusB {
		d.found(items, statusA+fmt.Sprint(a), statusB+fmt.Sprint(b), d.ask(n, items))
	}
	delete(b, "UID")                     // which Dovecot adds to a refusal
	names := slices.Sorted(maps.Keys(b)) // of what it answers all the same
	if statusA == statusB {
		names = slices.AppendSeq(names, maps.Keys(a))
		slices.Sort(names)
	}
	for _, name := range slices.Compact(names) {
		d.items++
		x, y := "nothing", "nothing"
		if v, ok := a[name]; ok {
			x = d.folded(name, v).String()
		}
		if v, ok := b[name]; ok {
			y = d.folded(name, v).String()
		}
		if x != y {
			d.found(name, x, y, d.ask(n, name))
		}
	}
	return a, b
}

// checkPartials checks that what we cut out of an item is what stands there.
func (d *differences) checkPartials(got map[string]value) {
	for name, v := range got {
		whole, rest, ok := strings.Cut(name, "<")
		w, both := got[whole]
		if !ok || !both {
			continue
		}
		from, _ := strconv.Atoi(strings.TrimSuffix(rest, ">"))
		if want := w.text[min(from, len(w.text)):]; !strings.HasPrefix(want, v.text) || v.text == "" && want != "" {
			d.t.Errorf("%s %s: %q of %q", d.message, name, short(v.text), short(w.text))
		}
	}
}

// ask asks the third server for an item.
func (d *differences) ask(n int, item string) string {
	if d.others == nil {
		return ""
	}
	item = strings.NewReplacer("BODY[", "BODY.PEEK[", "BINARY[", "BINARY.PEEK[").Replace(item)
	item = regexp.MustCompile(`<(\d+)>$`).ReplaceAllString(item, "<$1.10>")
	got, status := d.others.fetch(n, item)
	if status != "OK" || len(got) != 1 {
		return status + fmt.Sprint(got)
	}
	return d.folded(item, slices.Collect(maps.Values(got))[0]).String()
}

// folded returns a value of FETCH with what has no case in MIME in lower case
// (RFC 2045 §5.1, §6.1, RFC 2183 §2): types, encodings, names of parameters. Of
// messages whose line ends are odd the texts are without any CR.
func (d *differences) folded(item string, v value) value {
	if item == "BODY" || item == "BODYSTRUCTURE" {
		return foldedPart(v)
	}
	if strings.HasPrefix(d.message, "lf/") || strings.HasPrefix(d.message, "cr/") {
		v.text = strings.ReplaceAll(v.text, "\r", "")
	}
	return v
}

func foldedPart(v value) value {
	if v.kind != 'l' {
		return v
	}
	list := slices.Clone(v.list)
	lower := func(i int) {
		if i < len(list) {
			list[i].text = strings.ToLower(list[i].text)
		}
	}
	params := func(i int) {
		if i < len(list) && list[i].kind == 'l' {
			list[i].list = slices.Clone(list[i].list)
			for k := 0; k < len(list[i].list); k += 2 {
				list[i].list[k].text = strings.ToLower(list[i].list[k].text)
			}
		}
	}
	disposition := func(i int) {
		if i < len(list) && list[i].kind == 'l' && len(list[i].list) == 2 {
			list[i] = foldedPart(value{kind: 'l', list: []value{list[i].list[0], {kind: 'n'}, list[i].list[1]}})
		}
	}
	if isMultipart(v) {
		n := 0
		for ; n < len(list) && list[n].kind == 'l'; n++ {
			list[n] = foldedPart(list[n])
		}
		lower(n)
		params(n + 1)
		disposition(n + 2)
		return value{kind: 'l', list: list}
	}
	lower(0)
	lower(1)
	params(2)
	lower(5)
	rest := 7 // the extension fields
	if inner := messageIn(v); inner != nil {
		list[8] = foldedPart(*inner)
		rest = 10
	} else if len(list) > 0 && list[0].text == "text" {
		rest = 8
	}
	disposition(rest + 1)
	return value{kind: 'l', list: list}
}

// partsOf returns the parts of a BODYSTRUCTURE by their section numbers.
func partsOf(v value) map[string]value {
	out := map[string]value{}
	if v.kind == 'l' {
		addParts(out, v, "")
	}
	return out
}

// addParts adds what is in a message: the parts of its multipart, or the one
// that it is (RFC 9051 §6.4.5.1).
func addParts(out map[string]value, v value, prefix string) {
	parts := []value{v}
	if isMultipart(v) {
		parts = v.list
	}
	for i, part := range parts {
		if part.kind != 'l' {
			break
		}
		path := fmt.Sprintf("%s%d", prefix, i+1)
		out[path] = part
		if inner := messageIn(part); inner != nil {
			addParts(out, *inner, path+".")
		} else if isMultipart(part) {
			addParts(out, part, path+".")
		}
	}
}

func isMultipart(v value) bool { return v.kind == 'l' && len(v.list) > 0 && v.list[0].kind == 'l' }

// messageIn returns the structure of the message that a part is, its ninth
// element then.
func messageIn(v value) *value {
	if v.kind != 'l' || len(v.list) < 10 || v.list[7].kind != 'l' || v.list[8].kind != 'l' {
		return nil
	}
	return &v.list[8]
}
