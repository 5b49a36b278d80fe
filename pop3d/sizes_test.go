package pop3d

import (
	"fmt"
	"strings"
	"testing"
)

// text reads to the end of an answer of several lines and returns how many
// bytes they were without the dot-stuffing.
func (c *client) text() int {
	c.t.Helper()
	for n := 0; ; {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		if line == ".\r\n" {
			return n
		}
		n += len(strings.TrimPrefix(line, "."))
	}
}

// TestSizes holds LIST and STAT to what RETR sends, for messages that cannot
// be sent as they are stored too: which do not end in CRLF (BDAT and IMAP's
// APPEND bring them), and which get a surrogate.
func TestSizes(t *testing.T) {
	w := newWorld(t)
	ann := w.account("ann", "secret")
	for _, text := range []string{
		"Subject: plain\r\n\r\ntext\r\n", "Subject: open\r\n\r\ntext", "Subject: open", "Subject: x\r\n", "text",
		"", "x", "\n", "\r", "\r\n", "\r\n.", "Subject: x\r\n\r\ntext\r", "Subject: x\r\n\r\ntext\n",
		"Subject: ü\r\n\r\ntext\r\n", "Subject: ü\r\n\r\ntext", "Subject: ü", "Subject: ü\r\n", "X-ü: ü\r\nX-Y: ü\r\n\r\n",
		"Subject: x\r\n\r\nü", "Subject: \xff\r\n\r\ntext", "From: ü@ü.test\r\nTo: " + strings.Repeat("ö, ", 20000) + "\r\n\r\n.\r\n",
	} {
		w.accept(ann, "", text)
		w.accept(ann, "Return-Path: <a@a.test>\r\n", text)
		w.accept(ann, "Return-Path: <ä@ä.test>\r\n", text)
	}
	s := w.server(false, false)
	for _, utf8 := range []bool{false, true, false} { // the third time from memory
		c := dial(t, s.Serve)
		c.want("", "+OK")
		if utf8 {
			c.want("UTF8", "+OK")
		}
		c.want("USER ann@example.org", "+OK")
		c.want("PASS secret", "+OK")
		var n, total, sum int
		fmt.Sscanf(c.cmd("STAT"), "+OK %d %d", &n, &total)
		if n != 63 {
			t.Fatalf("%d messages", n)
		}
		for i := 1; i <= n; i++ {
			var size, said int
			fmt.Sscanf(c.cmd(fmt.Sprintf("LIST %d", i)), fmt.Sprintf("+OK %d %%d", i), &size)
			fmt.Sscanf(c.cmd(fmt.Sprintf("RETR %d", i)), "+OK %d octets", &said)
			got := c.text()
			if got != size || said != size {
				t.Errorf("utf8 %v, message %d: LIST has %d, RETR says %d and sends %d", utf8, i, size, said, got)
			}
			sum += size
		}
		if sum != total {
			t.Errorf("utf8 %v: LIST has %d octets, STAT %d", utf8, sum, total)
		}
		c.want("QUIT", "+OK")
	}
}

// TestUnmeasurable: one damaged message does not close the maildrop.
func TestUnmeasurable(t *testing.T) {
	w := newWorld(t)
	s, f := faultyServer(w, nil)
	f.unreadable = true
	c := dial(t, s.Serve)
	c.want("", "+OK")
	c.want("USER jim@example.org", "+OK")
	c.want("PASS secret", "+OK 1 messages")
	c.want("RETR 1", "-ERR [SYS/TEMP]")
	f.unreadable = false
	c.want("RETR 1", "+OK")
}
