package test

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/lab"
)

// imap is an IMAP session of a user.
func imap(t *testing.T, s *lab.Site, user string) *talk {
	t.Helper()
	c := dialFrom(t, "127.0.0.1", s.Addr["imap"], false)
	c.line()
	if got := c.command(`LOGIN %s "%s"`, user, password); !strings.HasPrefix(got, "a OK") {
		t.Fatal(got)
	}
	return c
}

// command gives an IMAP command and returns all of the answer.
func (c *talk) command(format string, args ...any) string {
	fmt.Fprintf(c, "a "+format+"\r\n", args...)
	var all strings.Builder
	for {
		l, err := c.r.ReadString('\n')
		all.WriteString(l)
		if err != nil || strings.HasPrefix(l, "a ") {
			return all.String()
		}
	}
}

// TestOthersMailIsNotThere gives every command that names a mailbox the name
// of one of Bob's, of one that he has not, and of one of nobody's: Alice, who
// was given no right to any, is answered the same.
func TestOthersMailIsNotThere(t *testing.T) {
	s := newSite(t)
	for i := range 3 {
		submit(t, s, alice, alice, fmt.Sprintf("From: alice@a.test\r\nSubject: %d\r\n\r\nhello\r\n", i))
	}
	waitInbox(t, s, alice, 3)
	his := imap(t, s, bob)
	for _, c := range []string{"CREATE Private", "SUBSCRIBE Private", "APPEND Private {6+}\r\na: b\r\n", `SETMETADATA Private (/private/comment "canary")`} {
		if got := his.command("%s", c); !strings.Contains(got, "a OK") {
			t.Fatalf("%s: %s", c, got)
		}
	}
	all := func() string {
		return his.command(`LIST (SUBSCRIBED) "" "*"`) + his.command(`LIST "" "*" RETURN (STATUS (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ))`) + his.command("GETACL Private")
	}
	before := all()

	c := imap(t, s, alice)
	c.command("CREATE mine")
	for _, template := range []string{
		"STATUS #m (MESSAGES UIDNEXT)", "CREATE #m", "CREATE #m/below", "DELETE #m", "RENAME #m mine2", "RENAME mine #m",
		"SUBSCRIBE #m", `LIST "" #m`, `LIST (SUBSCRIBED) "" #m`, `LIST "" (#m "Other Users/%")`, `LIST "" #m RETURN (STATUS (MESSAGES) MYRIGHTS METADATA (/private/comment))`, `LSUB "" #m`, "UNSUBSCRIBE #m",
		"SETACL #m alice@a.test lrswi", "DELETEACL #m alice@a.test", "GETACL #m", "LISTRIGHTS #m alice@a.test", "MYRIGHTS #m", "GETQUOTAROOT #m",
		"GETMETADATA #m /private/comment", "GETMETADATA #m (/private/comment /shared/comment)", `SETMETADATA #m (/private/comment "x")`,
		"APPEND #m {6+}\r\na: b\r\n", "COPY 1 #m", "UID COPY 1 #m", "MOVE 1 #m", "UID MOVE 1 #m", "REPLACE 1 #m {6+}\r\na: b\r\n", "UID REPLACE 1 #m {6+}\r\na: b\r\n",
		"ESEARCH IN (mailboxes #m) ALL", "ESEARCH IN (subtree #m) RETURN (COUNT) ALL", "NOTIFY SET STATUS (mailboxes #m (MessageNew (UID) MessageExpunge))", "NOTIFY NONE",
		`APPEND mine CATENATE (URL #u)`, "EXAMINE #m", "SELECT #m",
	} {
		want := ""
		for _, name := range []string{"Other Users/bob@a.test/Private", "Other Users/bob@a.test/Missing", "Other Users/ghost@a.test/Private"} {
			c.command("SELECT INBOX") // which a failed SELECT has closed
			url := "/" + strings.ReplaceAll(name, " ", "%20") + "/;UID=1"
			got := c.command("%s", strings.NewReplacer("#m", strconv.Quote(name), "#u", strconv.Quote(url)).Replace(template))
			got = strings.NewReplacer(name, "#m", url, "#u").Replace(got)
			if want == "" {
				want = got
			}
			if got != want || got == "" || strings.Contains(got, "canary") {
				t.Errorf("%s on %s:\n%sand on one of Bob's:\n%s", template, name, got, want)
			}
		}
		if strings.HasPrefix(template, "SELECT #m") || strings.HasPrefix(template, "COPY") {
			if !strings.Contains(want, "a NO ") {
				t.Errorf("%s: %s", template, want)
			}
		}
	}
	if after := all(); after != before {
		t.Errorf("Bob's mailboxes were\n%sand are\n%s", before, after)
	}
	if got := c.command(`LIST "" "*"`); strings.Contains(got, "Private") {
		t.Errorf("alice sees\n%s", got)
	}
}

// oddTexts have a meaning to file systems, SQL, shells or templates.
var oddTexts = []string{
	"..", "../..", "../../../../etc/passwd", "/etc/passwd", "a/../../../b", "a/./b", "INBOX/../x", "..\\..\\x", "C:\\x", "~root", "$HOME", "%2e%2e%2f",
	"'; DROP TABLE mailbox; --", "' OR '1'='1", `" OR "1"="1`, "x') UNION SELECT 1 --", "a\"b", "a'b", "a\\", "a\\\"", "a*", "a%", "a_b", "?1", ":x", "@x",
	"$(id)", "`id`", "|id", ";id", "${run{id}}", "{{7*7}}", "%s%n", "NEAR(a b)", "a NOT b", "a AND", "^a", "col:x", "a-b", "\"", "''",
	"e\u0301", "\u00e9", "\u202eevil", "\u2028", "\U0001F4EC", strings.Repeat("long", 250),
}

// TestOddTexts uses them as names of mailboxes, for which they are names or
// refused, and searches for them, which finds what has them. No file is made.
func TestOddTexts(t *testing.T) {
	s := newSite(t)
	c := imap(t, s, alice)
	c.command("ENABLE UTF8=ACCEPT")
	c.command("SELECT INBOX")
	files := tree(t, s.Dir)
	listed := strings.Count(c.command(`LIST "" "*"`), "* LIST ")
	made := 0
	names := append(slices.Clone(oddTexts), "nul\x00", "a\r\nb", "a\nb", "\x7f", "\x80\xff", "&AC8-", strings.Repeat("x/", 1000)+"x", strings.Repeat("y", 5000), "")
	for _, name := range names {
		parents := strings.Count(c.command(`LIST "" "*"`), "* LIST ")
		got := c.command("CREATE {%d+}\r\n%s", len(name), name)
		if !strings.HasPrefix(got, "a OK") {
			if !strings.HasPrefix(got, "a NO") && !strings.HasPrefix(got, "a BAD") && !strings.HasPrefix(got, "* BAD") {
				t.Errorf("CREATE %.40q: %q", name, got)
			}
			if got == "" || strings.Contains(got, "BYE") {
				c = imap(t, s, alice)
				c.command("ENABLE UTF8=ACCEPT")
				c.command("SELECT INBOX")
			}
			continue
		}
		made++
		if got := c.command("STATUS {%d+}\r\n%s (MESSAGES)", len(name), name); !strings.Contains(got, "a OK") || !strings.Contains(got, "(MESSAGES 0)") {
			t.Errorf("STATUS %.40q: %q", name, got)
		}
		if got := strings.Count(c.command(`LIST "" "*"`), "* LIST "); got <= parents {
			t.Errorf("%.40q is not listed", name)
		}
		if got := c.command("DELETE {%d+}\r\n%s", len(name), name); !strings.HasPrefix(got, "a OK") {
			t.Errorf("DELETE %.40q: %q", name, got)
		}
	}
	t.Logf("%d of %d names were made", made, len(names))
	if made < 20 {
		t.Errorf("only %d names were made", made)
	}
	if got := c.command("STATUS INBOX (MESSAGES)"); !strings.Contains(got, "(MESSAGES 0)") || listed == 0 {
		t.Errorf("INBOX is told as %q", got)
	}
	for i, text := range oddTexts {
		m := fmt.Sprintf("Subject: message %d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<%d %s %d>\r\n", i, i, text, i)
		if got := c.command("APPEND INBOX {%d+}\r\n%s", len(m), m); !strings.Contains(got, "a OK") {
			t.Fatalf("APPEND %q", got)
		}
	}
	for i, text := range oddTexts {
		for _, key := range []string{"BODY", "TEXT"} {
			text := fmt.Sprintf("<%d %s %d>", i, text, i)
			if got := c.command("SEARCH %s {%d+}\r\n%s", key, len(text), text); !strings.Contains(got, fmt.Sprintf("* SEARCH %d\r\n", i+1)) {
				t.Errorf("SEARCH %s %.40q: %q", key, text, got)
			}
		}
		other := imap(t, s, alice)
		other.command("SELECT INBOX")
		for _, command := range []string{"SEARCH SUBJECT", "SEARCH FROM", "SEARCH KEYWORD", "SORT (SUBJECT) UTF-8 HEADER", "SELECT"} {
			if got := other.command("%s {%d+}\r\n%s", command, len(text), text); strings.Contains(strings.ToLower(got), "sql") || strings.Contains(got, "SERVERBUG") || got == "" {
				t.Errorf("%s %.40q: %q", command, text, got)
			}
		}
		other.Close()
		smtp := dialFrom(t, "127.0.0.1", s.Addr["smtp"], false)
		smtp.line()
		smtp.ask("EHLO x")
		smtp.ask("MAIL FROM:<>")
		quoted := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text)
		if got := smtp.ask("RCPT TO:<\"%s\"@a.test>", quoted); !strings.HasPrefix(got, "5") {
			t.Errorf("RCPT %.40q: %q", text, got)
		}
		smtp.Close()
		if got := refusal(t, s, fmt.Sprintf("127.7.%d.1", i), "pop3 PASS", text, text); !strings.Contains(got, "-ERR") {
			t.Errorf("PASS as %.40q: %q", text, got)
		}
	}
	if after := tree(t, s.Dir); !slices.Equal(after, files) {
		t.Errorf("files were %q and are %q", files, after)
	}
}

// tree lists the files below a directory.
func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if !strings.HasPrefix(name, "data/search/") { // the index has files of its own
			all = append(all, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestEndlessLines sends lines that do not end, in every state of every
// protocol: the server keeps none of it, and serves others.
func TestEndlessLines(t *testing.T) {
	const size, allowed = 32 << 20, 24 << 20
	s := newSite(t)
	login := fmt.Sprintf("a LOGIN %s \"%s\"\r\n", alice, password)
	for _, c := range []struct{ listener, said string }{
		{"smtp", ""}, {"smtp", "EHLO x\r\nMAIL FROM:<"}, {"smtp", "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.test>\r\nDATA\r\nSubject: "},
		{"smtp", "EHLO x\r\nBDAT "}, {"submission", "EHLO x\r\nAUTH PLAIN\r\n"}, {"submission", "EHLO x\r\nAUTH PLAIN "}, {"lmtp", "LHLO "},
		{"imap", ""}, {"imap", "a LOGIN "}, {"imap", "a LOGIN {"}, {"imap", "a AUTHENTICATE PLAIN\r\n"}, {"imap", login + "b SELECT "}, {"imap", login + "b APPEND INBOX ("},
		{"pop3", ""}, {"pop3", "USER "}, {"pop3", "AUTH PLAIN\r\n"}, {"pop3", "USER " + alice + "\r\nPASS " + password + "\r\nRETR "},
	} {
		before := resident(t, s, "VmRSS")
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.PID()), []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
		k := dialFrom(t, "127.0.0.1", s.Addr[c.listener], false)
		go io.Copy(io.Discard, k)
		io.WriteString(k, c.said)
		piece := []byte(strings.Repeat("1", 64<<10))
		for sent := 0; sent < size; sent += len(piece) {
			if _, err := k.Write(piece); err != nil {
				break // it had enough
			}
		}
		if grown := resident(t, s, "VmHWM") - before; grown > allowed {
			t.Errorf("%s after %q: memory grew by %d MB", c.listener, c.said, grown>>20)
		}
		k.Close()
	}
	if got := imap(t, s, alice).command("STATUS INBOX (MESSAGES)"); !strings.Contains(got, "(MESSAGES 0)") {
		t.Errorf("half a message: %s", got)
	}
}

// resident reads VmRSS or its peak, VmHWM, in octets (proc_pid_status(5)).
func resident(t *testing.T, s *lab.Site, field string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), field+":")
	var kB int
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB << 10
}
