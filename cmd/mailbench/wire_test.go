package main

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
)

// script starts a server that sends replies, all at once, to whoever
// connects, and returns what it was sent when the client has closed.
func script(t *testing.T, replies string) (addr string, sent func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		defer l.Close()
		c, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		io.WriteString(c, replies)
		b, _ := io.ReadAll(c)
		got <- string(b)
	}()
	return l.Addr().String(), func() string { return <-got }
}

func TestSMTPConn(t *testing.T) {
	addr, sent := script(t, "220 hello\r\n250-me\r\n250-PIPELINING\r\n250 AUTH LOGIN PLAIN\r\n235 in\r\n"+
		"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 2.0.0 taken\r\n250 ok\r\n550 5.1.1 who?\r\n")
	c, err := dialSMTP(t.Context(), addr, false)
	if err != nil {
		t.Fatal(err)
	}
	if !c.pipeline || !c.auth {
		t.Errorf("pipeline %v, auth %v", c.pipeline, c.auth)
	}
	if err := c.login("u", "p"); err != nil {
		t.Error(err)
	}
	if err := c.send("a@a.test", []string{"b@b.test", "c@b.test"}, []byte("x\r\n")); err != nil {
		t.Error(err)
	}
	if err := c.send("a@a.test", []string{"b@b.test"}, nil); err == nil || err.Error() != "550 5.1.1 who?" {
		t.Errorf("refusal: %v", err)
	}
	c.close()
	const want = "EHLO client.mailbench.example\r\nAUTH PLAIN AHUAcA==\r\n" +
		"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nRCPT TO:<c@b.test>\r\nDATA\r\nx\r\n.\r\n" +
		"MAIL FROM:<a@a.test>\r\nRCPT TO:<b@b.test>\r\nDATA\r\n"
	if got := sent(); got != want {
		t.Errorf("sent %q\nwant %q", got, want)
	}
}

func TestLMTPConnWantsEachReply(t *testing.T) {
	addr, _ := script(t, "220 hello\r\n250-me\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 first\r\n452 second\r\n")
	c, err := dialSMTP(t.Context(), addr, true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.send("", []string{"b@b.test", "c@b.test"}, []byte("x\r\n")); err == nil || err.Error() != "452 second" {
		t.Errorf("got %v", err)
	}
}

func TestIMAPConn(t *testing.T) {
	body := strings.Repeat("0123456789", 20000) // more than the buffer holds
	long := "* FLAGS (" + strings.Repeat("k ", 40000) + ")"
	addr, sent := script(t, "* OK [CAPABILITY IMAP4rev1 LITERAL+] hello\r\na1 OK [CAPABILITY IMAP4rev1 LITERAL+ IDLE] in\r\n"+
		"* STATUS {5}\r\nINBOX (MESSAGES 42)\r\na2 OK done\r\n"+
		"* 1 FETCH (BODY[] {200000}\r\n"+body+" UID 7 BODY[2] {3}\r\nabc)\r\n"+long+"\r\na3 OK done\r\n"+
		"a4 OK [APPENDUID 1 2] done\r\na5 NO [NONEXISTENT] no\r\n* BYE bye\r\na6 OK bye\r\n")
	c, err := loginIMAP(t.Context(), addr, `u"\`, "p")
	if err != nil {
		t.Fatal(err)
	}
	if !c.caps["IDLE"] || !c.literalPlus(1<<20) {
		t.Errorf("capabilities %v", c.caps)
	}
	if n, err := c.messages("INBOX"); err != nil || n != 42 {
		t.Errorf("STATUS: %d, %v", n, err)
	}
	var lines []string
	if err := c.do("FETCH 1 BODY[]", func(l []byte) { lines = append(lines, string(l)) }); err != nil {
		t.Error(err)
	}
	want := []string{"* 1 FETCH (BODY[] {200000} UID 7 BODY[2] {3})", long, "a3 OK done"}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("lines %.200q", lines)
	}
	if c.octets != 200008 {
		t.Errorf("%d octets of literals", c.octets)
	}
	if err := c.append("Box", []byte("x\r\n")); err != nil {
		t.Error(err)
	}
	if err := c.do("SELECT none", nil); err == nil || err.Error() != "NO [NONEXISTENT] no" {
		t.Errorf("refusal: %v", err)
	}
	if err := c.logout(); err != nil {
		t.Error(err)
	}
	if got, want := sent(), "a1 LOGIN \"u\\\"\\\\\" \"p\"\r\n"; !strings.HasPrefix(got, want) || !strings.Contains(got, "a4 APPEND \"Box\" {3+}\r\nx\r\n\r\n") {
		t.Errorf("sent %q", got)
	}
}

func TestIMAPAppendWaitsForTheServer(t *testing.T) {
	addr, sent := script(t, "* OK hello\r\na1 OK in\r\n+ go\r\na2 OK done\r\na3 NO [TOOBIG] no\r\n")
	c, err := loginIMAP(t.Context(), addr, "u", "p")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.append("Box", []byte("x\r\n")); err != nil {
		t.Error(err)
	}
	if err := c.append("Box", []byte("y\r\n")); err == nil || err.Error() != "NO [TOOBIG] no" {
		t.Errorf("refusal: %v", err)
	}
	c.close()
	if got := sent(); !strings.HasSuffix(got, "a2 APPEND \"Box\" {3}\r\nx\r\n\r\na3 APPEND \"Box\" {3}\r\n") {
		t.Errorf("sent %q", got)
	}
}

func TestPOP3Conn(t *testing.T) {
	addr, sent := script(t, "+OK hello\r\n+OK user\r\n+OK in\r\n+OK 3 420\r\n+OK list\r\n1 a\r\n2 b\r\n3 c\r\n.\r\n"+
		"+OK message\r\nA: b\r\n\r\n..dot\r\n.\r\n-ERR [IN-USE] no\r\n")
	c, err := dialPOP3(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.login("u", "p"); err != nil {
		t.Error(err)
	}
	if n, err := c.stat(); n != 3 || err != nil {
		t.Errorf("STAT: %d, %v", n, err)
	}
	if n, err := c.uidl(); n != 3 || err != nil {
		t.Errorf("UIDL: %d, %v", n, err)
	}
	c.beginRetr(2)
	c.flush()
	if err := c.finishRetr(); err != nil {
		t.Error(err)
	}
	if _, err := c.do("NOOP"); err == nil || err.Error() != "-ERR [IN-USE] no" {
		t.Errorf("refusal: %v", err)
	}
	c.close()
	if got, want := sent(), "USER u\r\nPASS p\r\nSTAT\r\nUIDL\r\nRETR 2\r\nNOOP\r\n"; got != want {
		t.Errorf("sent %q", got)
	}
}

func TestConnectionEndsWithContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	w, err := dialWire(ctx, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := w.line(); err == nil {
		t.Error("a line was read from a server that says nothing")
	}
}

// TestAppendMany fills in each of the ways that a server may know.
func TestAppendMany(t *testing.T) {
	g := Generator{Seed: 1, Size: 2000}
	one, two := string(g.Message(0)), string(g.Message(1))
	size := func(m string) string { return strconv.Itoa(len(m)) }
	for _, c := range []struct{ caps, replies, want string }{
		{"MULTIAPPEND LITERAL+", "a2 OK done\r\n",
			"a2 APPEND \"Box\" {" + size(one) + "+}\r\n" + one + " {" + size(two) + "+}\r\n" + two + "\r\n"},
		{"LITERAL+", "a2 OK done\r\na3 OK done\r\n",
			"a2 APPEND \"Box\" {" + size(one) + "+}\r\n" + one + "\r\na3 APPEND \"Box\" {" + size(two) + "+}\r\n" + two + "\r\n"},
		{"MULTIAPPEND", "+ go\r\na2 OK done\r\n+ go\r\na3 OK done\r\n",
			"a2 APPEND \"Box\" {" + size(one) + "}\r\n" + one + "\r\na3 APPEND \"Box\" {" + size(two) + "}\r\n" + two + "\r\n"},
	} {
		addr, sent := script(t, "* OK hello\r\na1 OK [CAPABILITY IMAP4rev1 "+c.caps+"] in\r\n"+c.replies)
		conn, err := loginIMAP(t.Context(), addr, "u", "p")
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.appendMany("Box", g, 0, 2); err != nil {
			t.Errorf("%s: %v", c.caps, err)
		}
		conn.close()
		if got := sent(); !strings.HasSuffix(got, c.want) {
			t.Errorf("%s: sent %q", c.caps, got)
		}
	}
}
