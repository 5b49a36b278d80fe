package mail

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestUTF7(t *testing.T) {
	for _, tt := range [][2]string{
		{"Hi Mom +Jjo-!", "Hi Mom ☺!"}, // RFC 2152 has this and the next two
		{"A+ImIDkQ.", "A≢Α."},
		{"+ZeVnLIqe-", "日本語"},
		{"1 +- 1", "1 + 1"}, {"+2D3eAA- +2D0-x +3gA-", "😀 \uFFFDx \uFFFD"}, {"+AOQ", "ä"}, {"+AOQ+", "ä"}, {"+", ""}, {"+2D0", "\uFFFD"},
		{"\xe4+AOQ\xe4", "\uFFFDä\uFFFD"}, {"a+AOQ-b+AOT-c", "aäbäc"}, {strings.Repeat("+AOQ-", 3000), strings.Repeat("ä", 3000)},
	} {
		for _, r := range []io.Reader{strings.NewReader(tt[0]), iotest.OneByteReader(strings.NewReader(tt[0]))} {
			got, err := io.ReadAll(DecodeCharset("UTF-7", r))
			if string(got) != tt[1] || err != nil {
				t.Errorf("%.40q → %.40q, %v, want %.40q", tt[0], got, err, tt[1])
			}
		}
	}
}
