package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

const (
	MaxDepth = 100      // of lists and of what nests in search keys
	MaxSet   = 16 << 10 // elements of a sequence set
	MaxTag   = 256      // bytes of a tag

	keptLine = 16 << 10 // a larger buffer for lines is not kept for the next command
	keptHead = 256      // of a line that is too long
	keptTail = 64
)

// Limits bound what is read of one command.
type Limits struct {
	Line   int   // bytes of its lines, without literals
	String int64 // bytes of a literal that is a string
	Total  int64 // bytes of its lines and such literals together
	Skip   int64 // bytes of a literal that is read only to be thrown away
}

// A SyntaxError says that a command does not follow the grammar.
type SyntaxError struct{ Text string }

func (e *SyntaxError) Error() string { return e.Text }

// A LimitError says that a command is too large; Code is a response code (RFC
// 5530 §3, RFC 7889 §4).
type LimitError struct{ Code, Text string }

func (e *LimitError) Error() string { return e.Text }

// ErrTooMuch says that a literal was announced that is too large to be thrown
// away, and that will come unasked: nothing behind it can be understood.
var ErrTooMuch = errors.New("a literal that is too large follows")

// ErrBound says that more comes than Bound allows. Nothing more is read.
var ErrBound = errors.New("more is sent than may be in all")

// Literal is an announced literal.
type Literal struct {
	Size   int64
	Binary bool // a literal8, which may hold NUL (RFC 9051 §4.3)

	sync  bool // the client waits to be asked
	asked bool
	at    int // where in the line its announcement stands
}

// Decoder reads commands. It is one goroutine's.
type Decoder struct {
	Limits Limits
	UTF8   bool // names of mailboxes are UTF-8 (RFC 6855 §3), else modified UTF-7

	r   *bufio.Reader
	ask func() // asks for a literal

	line  []byte // the line being read, without its end; may lie in r's buffer
	own   []byte // the buffer of lines that do not
	pos   int
	lit   *Literal // announced at the end of line
	lit0  Literal  // what lit points to
	used  int64    // bytes of the command so far
	lines int64    // of them in lines
	rest  int64    // bytes that may be read yet, see Bound
	depth int
	err   error
}

// NewDecoder makes a decoder that reads from r. It calls ask when the client is
// to be asked for a literal.
func NewDecoder(r *bufio.Reader, ask func()) *Decoder {
	return &Decoder{r: r, ask: ask, rest: math.MaxInt64}
}

// Bound has no more than n bytes be read from here on, of all commands
// together, what is thrown away included. A line beyond that is ErrBound; a
// literal is refused like others that are too large.
func (d *Decoder) Bound(n int64) { d.rest = n }

// Unbound takes back what Bound has set.
func (d *Decoder) Unbound() { d.rest = math.MaxInt64 }

// Err is the first error, nil if there was none since Next.
func (d *Decoder) Err() error { return d.err }

// Fail notes a syntax error, unless there is an error already.
func (d *Decoder) Fail(format string, args ...any) {
	d.fail(&SyntaxError{fmt.Sprintf(format, args...)})
}

// Limit notes that the command is too large in a way that its grammar does not
// know of, unless there is an error already.
func (d *Decoder) Limit(code, text string) { d.fail(&LimitError{code, text}) }

func (d *Decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
}

// Next reads the first line of a command. An error that it returns is Err's
// too; after a SyntaxError or LimitError, Tag still finds the tag, and the
// command can be skipped.
func (d *Decoder) Next() error {
	d.err, d.used, d.lines, d.depth = nil, 0, 0, 0
	if cap(d.own) > keptLine {
		d.own = nil
	}
	d.readLine()
	return d.err
}

// Empty tells whether the line that Next read is empty.
func (d *Decoder) Empty() bool { return d.err == nil && len(d.line) == 0 }

// Line returns the whole line that is being read, until something more is
// read.
func (d *Decoder) Line() []byte { return d.line }

// readLine reads a line, whose end may lack the CR. One that is too long or
// is not text is read to its end, so that what it announces is known.
func (d *Decoder) readLine() {
	d.line, d.pos, d.lit = nil, 0, nil
	limit := min(int64(d.Limits.Line)-d.lines, d.Limits.Total-d.used)
	line, err := d.slice()
	var problem error
	if errors.Is(err, bufio.ErrBufferFull) {
		line, problem, err = d.longLine(line, max(limit, 0))
	}
	if err != nil {
		d.fail(err)
		return
	}
	n := len(line)
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	d.line = line
	switch {
	case problem == nil && int64(len(line)) > limit:
		problem = ErrLine
	case problem == nil && (bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0):
		problem = errBytes
	}
	d.lines += int64(n)
	d.used += int64(n)
	d.lit0 = announced(line)
	if d.lit0.at >= 0 {
		d.lit = &d.lit0
	}
	if problem != nil {
		d.fail(problem)
	}
}

// slice reads up to the end of a line, or as much of it as the reader holds.
func (d *Decoder) slice() ([]byte, error) {
	if d.rest < int64(d.r.Size()) && !d.ends() {
		return nil, ErrBound
	}
	b, err := d.r.ReadSlice('\n')
	if d.rest -= int64(len(b)); d.rest < 0 {
		return nil, ErrBound
	}
	return b, err
}

// ends waits until it is known whether the line ends within rest, which is less
// than the reader holds: it does not wait for the reader to be full.
func (d *Decoder) ends() bool {
	for {
		b, _ := d.r.Peek(d.r.Buffered())
		switch i := bytes.IndexByte(b, '\n'); {
		case i >= 0:
			return int64(i) < d.rest
		case int64(len(b)) > d.rest:
			return false
		}
		if _, err := d.r.Peek(len(b) + 1); err != nil {
			return true // reading will tell
		}
	}
}

// ErrLine says that the lines of a command are too long.
var ErrLine = &LimitError{"TOOBIG", "The command is too long"}

var errBytes = &SyntaxError{"Commands are lines of text"}

// longLine reads on where a line does not fit into the reader's buffer. Of one
// that is too long, the beginning and the end remain.
func (d *Decoder) longLine(part []byte, limit int64) (line []byte, problem, err error) {
	d.own = append(d.own[:0], part...)
	limit = max(limit, keptHead+keptTail)
	for {
		part, err = d.slice()
		d.own = append(d.own, part...)
		if int64(len(d.own)) > limit+2 {
			problem, limit = ErrLine, keptHead+keptTail
			tail := d.own[max(keptHead, len(d.own)-keptTail):]
			d.own = append(d.own[:keptHead], tail...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return d.own, problem, err
		}
	}
}

// announced finds the announcement of a literal at the end of a line (RFC 9051
// §9: literal, literal8; RFC 7888 §4); at is negative if there is none. A
// number that is too large for any counts as the largest.
func announced(line []byte) (l Literal) {
	l.at = -1
	s, ok := bytes.CutSuffix(line, []byte("}"))
	i := bytes.LastIndexByte(s, '{')
	if !ok || i < 0 {
		return l
	}
	digits, plus := bytes.CutSuffix(s[i+1:], []byte("+"))
	if len(digits) == 0 || len(digits) > 40 {
		return l
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return l
		}
	}
	n, err := strconv.ParseInt(string(digits), 10, 63)
	if err != nil {
		n = 1<<62 - 1
	}
	l = Literal{Size: n, sync: !plus, at: i}
	if i > 0 && line[i-1] == '~' {
		l.Binary, l.at = true, i-1
	}
	return l
}

// Skip passes over the rest of the command: lines, and literals that come
// unasked. A literal that the client waits to send is not asked for: the tagged
// response tells it not to (RFC 9051 §4.3). ErrTooMuch and errors of reading
// are the end of the connection.
func (d *Decoder) Skip() error {
	for d.lit != nil && (!d.lit.sync || d.lit.asked) {
		if d.lit.Size > min(d.Limits.Skip, d.rest) {
			return ErrTooMuch
		}
		d.rest -= d.lit.Size
		if _, err := io.CopyN(io.Discard, d.r, d.lit.Size); err != nil {
			return err
		}
		d.err = nil
		d.readLine()
		if fatal(d.err) {
			return d.err
		}
	}
	d.line, d.pos, d.lit = nil, 0, nil
	return nil
}

// fatal tells whether err is one of reading.
func fatal(err error) bool {
	switch err.(type) {
	case nil, *SyntaxError, *LimitError:
		return false
	}
	return true
}

// LiteralHeader reads the announcement of a literal that may have up to max
// bytes; Copy then reads the literal itself.
func (d *Decoder) LiteralHeader(max int64) Literal {
	if d.err != nil {
		return Literal{}
	}
	if d.lit == nil || d.pos != d.lit.at || d.lit.asked {
		d.Fail("A literal is missing")
		return Literal{}
	}
	if d.lit.Size > min(max, d.rest) {
		d.fail(&LimitError{"TOOBIG", "The literal is too large"})
		return Literal{}
	}
	return *d.lit
}

// Copy asks for the literal of LiteralHeader, if the client waits to be asked,
// writes it to w and goes on with the line behind it. It returns what writing
// failed with; the whole literal is read in any case. Its bytes count for no
// limit but that of LiteralHeader.
func (d *Decoder) Copy(w io.Writer) error {
	if d.err != nil {
		return nil
	}
	if d.lit == nil || d.pos != d.lit.at {
		d.Fail("A literal is missing")
		return nil
	}
	if d.lit.sync {
		d.ask()
	}
	d.lit.asked = true
	d.rest -= d.lit.Size
	to := &writer{w: w}
	if _, err := io.CopyN(to, d.r, d.lit.Size); err != nil {
		d.lit = nil
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		d.fail(err)
		return to.err
	}
	d.readLine()
	return to.err
}

// writer writes until that fails, and takes all the rest.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err == nil {
		_, w.err = w.w.Write(p)
	}
	return len(p), nil
}

// literal reads a literal that is a string.
func (d *Decoder) literal(binary bool) string {
	l := d.LiteralHeader(min(d.Limits.String, d.Limits.Total-d.used))
	if d.err != nil {
		return ""
	}
	if l.Binary && !binary {
		d.Fail("A literal8 has no place here")
		return ""
	}
	d.used += l.Size
	b := make([]byte, 0, l.Size)
	buf := bytes.NewBuffer(b)
	d.Copy(buf)
	if d.err == nil && !l.Binary && bytes.IndexByte(buf.Bytes(), 0) >= 0 {
		d.Fail("NUL has a place only in a literal8") // RFC 9051 §4.3
	}
	if d.err != nil {
		return ""
	}
	return buf.String()
}

// Continue reads a line that is no command but goes on with one: what
// AUTHENTICATE and IDLE wait for. It announces nothing. A line that is longer
// than limit is a LimitError.
func (d *Decoder) Continue(limit int) string {
	if d.err != nil {
		return ""
	}
	keep := d.Limits
	d.Limits.Line, d.Limits.Total = limit, int64(limit)
	d.used, d.lines = 0, 0
	d.readLine()
	d.Limits = keep
	s := string(d.line)
	d.line, d.pos, d.lit = nil, 0, nil
	if d.err != nil {
		return ""
	}
	return s
}
