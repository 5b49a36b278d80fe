package wiretest

import (
	"context"
	"crypto/tls"
	"maps"
	"net"
	"os"
	"path/filepath"
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

// Dir runs every dialogue in the files dir/*.txt. open makes a fresh Env for
// each; it ends what it started with t.Cleanup.
func Dir(t *testing.T, dir string, open func(t *testing.T) *Env) {
	t.Helper()
	for _, f := range load(t, dir) {
		t.Run(f.name, func(t *testing.T) {
			for _, d := range f.dialogues {
				t.Run(d.name, func(t *testing.T) { play(t, d, open(t)) })
			}
		})
	}
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
		steps, err := parse(path, line, string(part.Data))
		if err != nil {
			return file{}, err
		}
		f.dialogues = append(f.dialogues, dialogue{path: path, name: part.Name, steps: steps})
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
			wg.Go(func() {
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
