package mail

import (
	"errors"
	"strings"
	"time"
)

// maxDate is how much of a date is looked at: no real one is longer, however
// much of it is comments.
const maxDate = 512

var errDate = errors.New("mail: bad date")

// FormatDate returns t as a date-time of RFC 5322 §3.3.
func FormatDate(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// ParseDate reads the date-time of a Date field (RFC 5322 §3.3) with its
// obsolete forms (§4.3), and what programs write besides: no day of the week
// or a wrong one, the date of asctime, a missing zone (taken as UTC), dashes
// in the date, a full name of the month, RFC 3339.
func ParseDate(s string) (time.Time, error) {
	d := dateParts{year: -1, day: -1, hour: -1}
	for tok := range dateTokens(s) {
		if !d.take(tok) {
			break
		}
	}
	t, err := d.time()
	if err != nil {
		if t, err := time.Parse(time.RFC3339, strings.TrimSpace(s[:min(len(s), maxDate)])); err == nil {
			return t, nil
		}
	}
	return t, err
}

// ParseSentDate reads a Date field of which at least the day counts: without a
// valid time it is midnight, without a valid zone UTC (RFC 5256 §2.2).
func ParseSentDate(s string) (time.Time, error) {
	if t, err := ParseDate(s); err == nil {
		return t, nil
	}
	d := dateParts{year: -1, day: -1, hour: -1}
	for tok := range dateTokens(s) {
		if !strings.Contains(tok, ":") && !d.take(tok) {
			break
		}
	}
	d.hour, d.min, d.sec, d.zone = 0, 0, 0, 0
	return d.time()
}

// dateParts is a date on its way from tokens to a time.
type dateParts struct {
	year, day, hour, min, sec int
	month                     time.Month
	zone                      int // seconds east of UTC
	zoned                     bool
}

// dateTokens yields the words of a date without its comments, commas and
// white space.
func dateTokens(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		s = s[:min(len(s), maxDate)]
		depth, start := 0, -1
		for i := 0; i <= len(s); i++ {
			sep := i == len(s) || strings.IndexByte(" \t\r\n,()", s[i]) >= 0
			if !sep {
				if start < 0 && depth == 0 {
					start = i
				}
				continue
			}
			if start >= 0 {
				if !yield(s[start:i]) {
					return
				}
				start = -1
			}
			if i < len(s) && s[i] == '(' {
				depth++
			} else if i < len(s) && s[i] == ')' && depth > 0 {
				depth--
			}
		}
	}
}

// take puts one token where it belongs, and tells whether more are wanted.
func (d *dateParts) take(tok string) bool {
	switch c := tok[0]; {
	case strings.Contains(tok, ":") && d.hour < 0:
		return d.takeTime(tok)
	case strings.Contains(tok, ".") && d.hour < 0 && d.year >= 0: // as some write 2.04.31
		return d.takeTime(strings.ReplaceAll(tok, ".", ":"))
	case d.hour >= 0 && (c == '+' || c == '-') && len(tok) > 1:
		return d.takeZone(tok)
	case strings.Count(tok, "-") == 2 && d.day < 0:
		for part := range strings.SplitSeq(tok, "-") {
			if part == "" || !d.take(part) {
				return false
			}
		}
		return true
	case '0' <= c && c <= '9':
		return d.takeNumber(tok)
	}
	if d.month == 0 {
		if m := monthOf(tok); m != 0 {
			d.month = m
			return true
		}
	}
	if d.hour >= 0 && !d.zoned {
		d.zone, d.zoned = zoneOf(tok), true
	}
	return true // a day of the week, or a word that means nothing
}

// takeNumber takes a day or a year, whichever comes first.
func (d *dateParts) takeNumber(tok string) bool {
	n, ok := digits(tok)
	switch {
	case !ok || len(tok) > 4:
		return d.year >= 0 && d.hour >= 0 // trailing words may be anything
	case d.day < 0 && len(tok) <= 2:
		d.day = n
	case d.year < 0:
		d.year = n
		if len(tok) == 2 && n < 50 { // RFC 5322 §4.3
			d.year += 2000
		} else if len(tok) < 4 {
			d.year += 1900
		}
	case d.day < 0:
		return false
	}
	return true
}

// takeTime takes hour ":" minute and perhaps ":" second.
func (d *dateParts) takeTime(tok string) bool {
	parts := strings.Split(tok, ":")
	if len(parts) > 3 {
		return false
	}
	var n [3]int
	for i, p := range parts {
		if i == 2 {
			p, _, _ = strings.Cut(p, ".") // fractions of a second
		}
		v, ok := digits(p)
		if !ok || len(p) > 2 {
			return false
		}
		n[i] = v
	}
	if n[0] > 23 || n[1] > 59 || n[2] > 60 {
		return false
	}
	d.hour, d.min, d.sec = n[0], n[1], n[2]
	return true
}

// takeZone takes a numeric zone.
func (d *dateParts) takeZone(tok string) bool {
	n, ok := digits(strings.Replace(tok[1:], ":", "", 1))
	if !ok || n > 9999 || n%100 > 59 || d.zoned {
		return true
	}
	d.zone, d.zoned = (n/100*60+n%100)*60, true
	if tok[0] == '-' {
		d.zone = -d.zone
	}
	return true
}

func (d *dateParts) time() (time.Time, error) {
	if d.year < 0 || d.month == 0 || d.day < 1 || d.day > 31 || d.hour < 0 {
		return time.Time{}, errDate
	}
	loc := time.UTC
	if d.zone != 0 {
		loc = time.FixedZone("", d.zone)
	}
	return time.Date(d.year, d.month, d.day, d.hour, d.min, d.sec, 0, loc), nil
}

// digits reads a short decimal number.
func digits(s string) (int, bool) {
	if s == "" || len(s) > 6 {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// monthOf reads the name of a month, of which three letters count.
func monthOf(s string) time.Month {
	if len(s) < 3 {
		return 0
	}
	i := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", strings.ToUpper(s[:1])+strings.ToLower(s[1:3]))
	if i < 0 || i%3 != 0 {
		return 0
	}
	return time.Month(i/3 + 1)
}

// zoneOf returns the zones of RFC 5322 §4.3 that have a name; what is unknown
// counts as UTC, as do the military letters.
func zoneOf(s string) int {
	const hour = 3600
	switch strings.ToUpper(s) {
	case "EDT":
		return -4 * hour
	case "EST", "CDT":
		return -5 * hour
	case "CST", "MDT":
		return -6 * hour
	case "MST", "PDT":
		return -7 * hour
	case "PST":
		return -8 * hour
	}
	return 0
}
