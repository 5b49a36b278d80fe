package imapd

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// The engine writes and reads mailbox names with "&-" for "&", as in modified
// UTF-7, also after ENABLE of IMAP4rev2 or UTF8=ACCEPT, when names are plain
// UTF-8 (RFC 9051 §5.1, RFC 6855 §3). These functions stand between; they can
// go with the engine.

// takesNames tells whether "&" in a command stands only in names of mailboxes.
func takesNames(command string) bool {
	switch command {
	case "SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE", "STATUS", "LIST", "LSUB",
		"COPY", "UID COPY", "MOVE", "UID MOVE":
		return true
	}
	return false
}

// mendNames prepares a line of a command for the engine.
func mendNames(req *request, line []byte) []byte {
	switch {
	case takesNames(req.name):
		return []byte(strings.ReplaceAll(string(line), "&", "&-"))
	case req.name == "APPEND":
		if req.text.Len() > 0 {
			return line // flags may have "&", the mailbox is behind
		}
		in := string(line)
		n := 0
		for range 5 { // tag, space, APPEND, space, mailbox
			if n < len(in) {
				n += tokenLen(in[n:])
			}
		}
		return []byte(strings.ReplaceAll(in[:n], "&", "&-") + in[n:])
	}
	return line
}

// mendLiteral reads a literal that is a name and prepares it, with the line
// that announces it, for the engine.
func (c *conn) mendLiteral(line []byte) ([]byte, error) {
	if c.in.sync {
		c.write("+ Ready\r\n")
	}
	name := make([]byte, c.in.literal)
	c.flushIfWaiting(len(name))
	if _, err := io.ReadFull(c.br, name); err != nil {
		return nil, c.readFailed(err)
	}
	c.in.sync, c.in.literal = false, 0
	name = bytes.ReplaceAll(name, []byte("&"), []byte("&-"))
	line = line[:bytes.LastIndexByte(line, '{')]
	return append(fmt.Appendf(line, "{%d+}\r\n", len(name)), name...), nil
}

// hasName tells whether a literal at the end of a line may be a name.
func hasName(req *request, line []byte) bool {
	if req.name == "APPEND" {
		return req.text.Len() == 0 && !isMessageLiteral(req.name, line)
	}
	return takesNames(req.name)
}

// namesMailbox tells whether a response has a mailbox name.
func namesMailbox(text string) bool {
	return strings.HasPrefix(text, "* LIST ") || strings.HasPrefix(text, "* LSUB ") || strings.HasPrefix(text, "* STATUS ")
}

// unescapeNames mends the names in a response.
func unescapeNames(text string) string { return strings.ReplaceAll(text, "&-", "&") }
