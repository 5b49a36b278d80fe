package smtpd

import (
	"bufio"
	"fmt"
	"strconv"

	"github.com/emersion/go-smtp"
)

// reply is an answer: a code, an enhanced code where there is one, and lines;
// without lines it says nothing.
type reply struct {
	code  int
	enh   smtp.EnhancedCode // smtp.NoEnhancedCode for none
	lines []string
	more  []reply // of LMTP: the next recipients' (RFC 2033 §4.2)
	end   bool    // the connection ends after it
	taken bool    // a message was accepted with it
}

// ok is a reply of one line with an enhanced code of class 2.
func ok(code, subject, detail int, format string, args ...any) reply {
	return reply{code: code, enh: smtp.EnhancedCode{2, subject, detail}, lines: []string{fmt.Sprintf(format, args...)}}
}

// plain is a reply without enhanced code: to HELO and EHLO, of class 3, the
// greeting (RFC 2034 §3).
func plain(code int, lines ...string) reply {
	return reply{code: code, enh: smtp.NoEnhancedCode, lines: lines}
}

func no(e *smtp.SMTPError) reply {
	return reply{code: e.Code, enh: e.EnhancedCode, lines: []string{e.Message}}
}

// write writes the reply and those after it.
func (r reply) write(w *bufio.Writer) {
	enh := ""
	if r.enh != smtp.NoEnhancedCode {
		enh = fmt.Sprintf("%d.%d.%d ", r.enh[0], r.enh[1], r.enh[2])
	}
	for i, line := range r.lines {
		sep := "-"
		if i == len(r.lines)-1 {
			sep = " "
		}
		w.WriteString(strconv.Itoa(r.code) + sep + enh + line + "\r\n")
	}
	for _, m := range r.more {
		m.write(w)
	}
}
