package maillog

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"testing"
)

type far struct{ net.Conn }

func (far) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 4242} }

func TestConn(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	one, two := Conn(log, "imap", far{}), Conn(log, "imap", far{})
	one.Info(Connected)
	End(one.With("user", "bob@b.test"), nil, "seconds", 3)
	End(two, errors.New("reset"))
	var lines []map[string]any
	for d := json.NewDecoder(&out); d.More(); {
		var l map[string]any
		if err := d.Decode(&l); err != nil {
			t.Fatal(err)
		}
		if l["proto"] != "imap" || l["remote"] != "192.0.2.1:4242" || l["conn"] == "" {
			t.Errorf("line %v", l)
		}
		lines = append(lines, l)
	}
	if lines[0]["conn"] != lines[1]["conn"] || lines[1]["conn"] == lines[2]["conn"] {
		t.Errorf("a connection's lines have its name, and only they: %v", lines)
	}
	if _, ok := lines[1]["err"]; ok || lines[1]["seconds"] != 3.0 || lines[2]["err"] != "reset" {
		t.Errorf("ends: %v", lines)
	}
}
