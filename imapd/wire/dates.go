package wire

import (
	"strings"
	"time"
)

// Date reads a date: day, month and year, with or without quotes. It is in
// UTC.
func (d *Decoder) Date() time.Time {
	if d.err != nil {
		return time.Time{}
	}
	quoted := d.TrySpecial('"')
	from := d.pos
	for d.pos < len(d.line) && classes[d.line[d.pos]]&inAtom != 0 {
		d.pos++
	}
	text := string(d.line[from:d.pos])
	if quoted {
		d.Special('"')
	}
	t, err := time.Parse("2-Jan-2006", title(text))
	if err != nil || len(text) > len("02-Jan-2006") {
		d.Fail("A date is malformed")
		return time.Time{}
	}
	return t
}

// DateTime reads a date-time, whose day may begin with a space instead of a
// zero.
func (d *Decoder) DateTime() time.Time {
	const form = "02-Jan-2006 15:04:05 -0700"
	s := d.Quoted()
	if d.err != nil {
		return time.Time{}
	}
	if strings.HasPrefix(s, " ") {
		s = "0" + s[1:]
	}
	t, err := time.Parse(form, title(s))
	if err != nil || len(s) != len(form) {
		d.Fail("A date and time is malformed")
		return time.Time{}
	}
	return t
}

// title writes the month as time wants it: its case does not count.
func title(s string) string {
	i := strings.IndexByte(s, '-')
	if i < 0 || len(s) < i+4 {
		return s
	}
	return s[:i+1] + strings.ToUpper(s[i+1:i+2]) + strings.ToLower(s[i+2:i+4]) + s[i+4:]
}
