package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/store/sqlite/sqlitetest"
)

// controlled returns what an operator's end of the control socket is.
func controlled(t *testing.T, log io.Writer) func() net.Conn {
	t.Helper()
	cfg := DefaultConfig()
	cfg.Hostname, cfg.DataDir = "mail.a.test", t.TempDir()
	a, err := newAdmin(cfg, sqlitetest.New(t), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return func() net.Conn {
		mine, its := net.Pipe()
		mine.SetDeadline(time.Now().Add(patience))
		t.Cleanup(func() { mine.Close() })
		go func() {
			defer its.Close()
			a.serveControl(t.Context(), its)
		}()
		return mine
	}
}

func TestControl(t *testing.T) {
	var log bytes.Buffer
	dial := controlled(t, &log)
	for _, c := range []struct{ send, want string }{
		{`{"do":"domain.add","args":{"name":"a.test"}}`, `{"result":{}}`},
		{`{"do":"domain.add","args":{"name":"a.test"}}`, `{"error":"the domain a.test is here already"}`},
		{`{"do":"domain.list"}`, `{"result":[{"name":"a.test",`},
		{`{"do":"make coffee"}`, `{"error":"the server does not know \"make coffee\"`},
		{`{"do":"account.add","args":7}`, `{"error":"control: invalid: arguments`},
		{`hello`, `{"error":"the request is no JSON"}`},
		{`{}`, `{"error":"the server does not know \"\"`},
	} {
		conn := dial()
		fmt.Fprintln(conn, c.send)
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.send, got, err, c.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: no JSON: %q", c.send, got)
		}
	}
	if got := log.String(); strings.Count(got, "domain added") != 1 || strings.Contains(got, "ERROR") {
		t.Errorf("log: %s", got)
	}
}

// A line without an end is given up, and nothing answers it.
func TestControlLineLimit(t *testing.T) {
	conn := controlled(t, io.Discard)()
	_, err := io.Copy(conn, io.LimitReader(zeros{}, 10*maxRequest))
	if err == nil {
		t.Error("the server reads without limit")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
