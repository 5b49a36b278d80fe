package wiretest

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"
)

// Env is the world of one dialogue.
type Env struct {
	Dial func(name string) net.Conn // opens a connection; name is the first word of its first line
	TLS  *tls.Config                // the client's, for TLS lines
	Vars map[string]string          // names that count as taken already
}

// Dir runs every dialogue in the files dir/*.txt, several files at once. open
// makes a fresh Env for each dialogue; it ends what it started with t.Cleanup.
func Dir(t *testing.T, dir string, open func(t *testing.T) *Env) {
	t.Helper()
	DirIn(t, dir, Variant{Rewrite: func(l []Line) []Line { return l }}, open)
}

// Variant is another way to speak to the same server: the dialogues of a folder
// are played in it too, as far as it changes them.
type Variant struct {
	Name string
	Of   []string // the names of all variants that there are
	// Rewrite changes a dialogue from which the lines of other variants are
	// gone. It returns nil for one that is the same in this variant.
	Rewrite func([]Line) []Line
}

// Line is a line of a dialogue, as the package's comment has it. The text of
// raw verbs is unquoted.
type Line struct {
	Conn, Verb, Text string

	line int
	src  string
}

// DirIn runs the dialogues in dir/*.txt as Dir does, in a variant.
func DirIn(t *testing.T, dir string, v Variant, open func(t *testing.T) *Env) {
	t.Helper()
	for _, f := range load(t, dir) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			for _, d := range f.dialogues {
				if err := v.check(d); err != nil {
					t.Fatal(err)
				}
				if d.only != "" && d.only != v.Name {
					continue
				}
				if d.steps = v.rewrite(d.steps); d.steps != nil {
					t.Run(d.name, func(t *testing.T) {
						t.Parallel() // a dialogue waits for most of its time
						play(t, d, open(t))
					})
				}
			}
		})
	}
}

// check finds names of variants that there are not.
func (v Variant) check(d dialogue) error {
	unknown := func(name string) bool { return name != "" && !slices.Contains(v.Of, name) }
	if unknown(d.only) {
		return fmt.Errorf("%s: %s: no variant %q", d.path, d.name, d.only)
	}
	for _, s := range d.steps {
		if unknown(s.only) {
			return fmt.Errorf("%s:%d: no variant %q: %s", d.path, s.line, s.only, s.src)
		}
	}
	return nil
}

// rewrite returns the steps of a dialogue in the variant, nil if they are the
// same.
func (v Variant) rewrite(steps []step) []step {
	words := map[verb]string{}
	for w, k := range verbs {
		words[k] = w
	}
	var in []Line
	only := false
	for _, s := range steps {
		only = only || s.only != ""
		if s.only == "" || s.only == v.Name {
			in = append(in, Line{Conn: s.conn, Verb: words[s.verb], Text: s.text, line: s.line, src: s.src})
		}
	}
	out := v.Rewrite(in)
	if out == nil && !only {
		return nil
	}
	if out == nil {
		out = in
	}
	var all []step
	for i, l := range out {
		if l.line == 0 { // it was put in
			l.line, l.src = all[i-1].line, l.Conn+" "+l.Verb+" "+l.Text+" (put in)"
		}
		all = append(all, step{line: l.line, conn: l.Conn, verb: verbs[l.Verb], text: l.Text, src: l.src})
	}
	return all
}

// Inputs returns what the clients of all dialogues in dir send in clear, one
// byte string for each dialogue: seeds for fuzzing a whole session. Names
// that only a server's answer would fill stay as they are written.
func Inputs(t testing.TB, dir string) [][]byte {
	t.Helper()
	var all [][]byte
	for _, f := range load(t, dir) {
		for _, d := range f.dialogues {
			var in []byte
			for _, s := range d.steps {
				switch s.verb {
				case sendLine:
					in = append(in, s.text+"\r\n"...)
				case sendRaw:
					in = append(in, s.text...)
				}
			}
			all = append(all, in)
		}
	}
	return all
}

type file struct {
	name      string
	dialogues []dialogue
}

type dialogue struct {
	path, name string
	only       string // the variant in which alone it is played, empty for all
	steps      []step
}

// load reads the dialogues of a folder; one without any is an error, because
// a test that runs nothing proves nothing.
func load(t testing.TB, dir string) []file {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no dialogues in %s (%v)", dir, err)
	}
	var all []file
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFile(path, b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func parseFile(path string, b []byte) (file, error) {
	f := file{name: strings.TrimSuffix(filepath.Base(path), ".txt")}
	ar := txtar.Parse(b)
	line := 1
	if len(ar.Files) == 0 {
		ar.Files = []txtar.File{{Name: "dialogue", Data: ar.Comment}}
	} else {
		line += strings.Count(string(ar.Comment), "\n") + 1
	}
	for _, part := range ar.Files {
		only, text := "", string(part.Data)
		if first, rest, ok := strings.Cut(text, "\n"); ok {
			if variant, ok := strings.CutPrefix(first, "ONLY "); ok {
				only, text = strings.TrimSpace(variant), "\n"+rest
			}
		}
		steps, err := parse(path, line, text)
		if err != nil {
			return file{}, err
		}
		f.dialogues = append(f.dialogues, dialogue{path: path, name: part.Name, only: only, steps: steps})
		line += strings.Count(string(part.Data), "\n") + 1
	}
	return f, nil
}

// play runs one dialogue.
func play(t *testing.T, d dialogue, env *Env) {
	t.Helper()
	p := &player{d: d, env: env, conns: map[string]*conn{}, vars: maps.Clone(env.Vars)}
	if p.vars == nil {
		p.vars = map[string]string{}
	}
	defer p.close()
	for i := 0; i < len(d.steps); {
		n, err := p.step(i)
		if err != nil {
			t.Fatalf("%s:%d: %v\n%s", d.path, d.steps[i].line, err, p.transcript(i))
		}
		i += n
	}
}

// Listen serves each connection to a listener on loopback with serve, in a
// goroutine of its own, and returns an Env.Dial that connects to it. At the
// end of the test it cancels serve's context, closes the connections and
// waits for all to return.
func Listen(t testing.TB, serve func(ctx context.Context, c net.Conn)) func(name string) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Add(1)
			wg.Go(func() {
				defer serving.Add(-1)
				defer c.Close()
				stop := context.AfterFunc(ctx, func() { c.Close() })
				defer stop()
				serve(ctx, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		cancel()
		wg.Wait()
	})
	return func(string) net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}
