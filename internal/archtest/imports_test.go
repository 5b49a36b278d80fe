// Package archtest holds the shape of the module to its design.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// arrows says which folders a folder's packages may import, beside internal
// and itself. There are no others: daemons never import each other, and what
// all end at is mail.
var arrows = map[string][]string{
	"auth":     {"store", "mail"},
	"delivery": {"store", "mail", "mailauth", "sieve"},
	"httpd":    {"auth", "store", "delivery", "smtpc", "mail"},
	"imapd":    {"auth", "search", "store", "mail"},
	"internal": {},
	"mail":     {},
	"mailauth": {"mail"},
	"pop3d":    {"auth", "store", "mail"},
	"queue":    {"store", "delivery", "smtpc", "mailauth", "mail"},
	"search":   {"store", "mail"},
	"sieve":    {"mail"},
	"smtpc":    {"mail"},
	"smtpd":    {"auth", "mailauth", "delivery", "store", "mail"},
	"store":    {"mail"},
	"dmarcrpt": {"delivery", "store", "mailauth", "mail"},
	"tlsrpt":   {"smtpc", "delivery", "store", "mail"},
	"test":     {},

	"cmd/mailbench": {},
}

// confined says where alone a library may be imported.
var confined = map[string][]string{
	"database/sql":                              {"store"},
	"github.com/mattn/go-sqlite3":               {"store"},
	"github.com/BurntSushi/toml":                {"cmd/postrider"},
	"github.com/emersion/go-imap":               {"imapd"},
	"github.com/emersion/go-imap/v2/imapserver": {}, // ours speaks the protocol itself
	"github.com/emersion/go-smtp":               {"smtpd", "smtpc", "cmd/mailbench"},
	"github.com/emersion/go-sasl":               {"auth", "imapd", "pop3d", "smtpd", "smtpc"},
	"blitiri.com.ar/go/spf":                     {"mailauth"},
	"os/exec":                                   {"internal/lab", "internal/needs", "cmd/mailbench"}, // no server starts a program
	"github.com/miekg/dns":                      {"internal/resolve", "internal/labdns", "internal/certs"},
}

// leaves is what mail may import beside the standard library.
var leaves = []string{"github.com/emersion/go-message", "golang.org/x/"}

const module = "postrider/"

type pkg struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		var e *exec.ExitError
		if errors.As(err, &e) {
			t.Fatalf("go list: %s", e.Stderr)
		}
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// folder is the part of the module that a package belongs to: its first path
// element, for commands the first two.
func folder(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, module), "/")
	if parts[0] == "cmd" {
		return strings.Join(parts[:min(2, len(parts))], "/")
	}
	return parts[0]
}

func within(path string, list []string) bool {
	return slices.ContainsFunc(list, func(p string) bool { return path == p || strings.HasPrefix(path, strings.TrimSuffix(p, "/")+"/") })
}

func TestArrows(t *testing.T) {
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("only %d packages are listed", len(all))
	}
	for _, p := range all {
		from := folder(p.ImportPath)
		allowed, known := arrows[from]
		if from == "cmd/postrider" {
			continue // it puts everything together
		}
		if from == "cmd/mailbench" && slices.ContainsFunc(p.Imports, func(i string) bool { return strings.HasPrefix(i, module) }) {
			t.Errorf("%s imports %v; it must know nothing of what it measures", p.ImportPath, p.Imports)
		}
		if !known {
			t.Errorf("%s: no rule says what %s may import", p.ImportPath, from)
		}
		for _, i := range p.Imports {
			if !strings.HasPrefix(i, module) {
				continue
			}
			if to := folder(i); to != from && to != "internal" && !slices.Contains(allowed, to) {
				t.Errorf("%s imports %s; %s may import %v", p.ImportPath, i, from, allowed)
			}
		}
	}
}

func TestConfined(t *testing.T) {
	for _, p := range packages(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, i := range p.Imports {
			for lib, homes := range confined {
				if within(i, []string{lib}) && !within(path, homes) {
					t.Errorf("%s imports %s, which belongs to %v alone", path, i, homes)
				}
			}
			if first, _, _ := strings.Cut(i, "/"); path == "mail" && strings.Contains(first, ".") && !within(i, leaves) {
				t.Errorf("mail imports %s; only %v are its", i, leaves)
			}
		}
	}
}
