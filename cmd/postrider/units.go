package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written "50MB", "5G" or "1024"; K, M, G and T
// are powers of 1024, with or without the B.
type Size int64

const sizeUnits = "KMGT"

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	t := strings.ToUpper(strings.TrimSpace(string(text)))
	t = strings.TrimSuffix(t, "B")
	shift := 0
	if t != "" {
		if i := strings.IndexByte(sizeUnits, t[len(t)-1]); i >= 0 {
			shift = 10 * (i + 1)
			t = strings.TrimSpace(t[:len(t)-1])
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf(`%q is no size; write a number of bytes, or "50MB", "5G"`, text)
	}
	*s = Size(n << shift)
	return nil
}

// MarshalText writes a size with the largest unit that is exact.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Size) String() string {
	n, unit := int64(s), ""
	for i := 0; i < len(sizeUnits) && n != 0 && n%1024 == 0; i++ {
		n, unit = n/1024, sizeUnits[i:i+1]+"B"
	}
	return strconv.FormatInt(n, 10) + unit
}

// Duration is a span of time, written as Go writes it and with days: "30s",
// "1h30m", "5d".
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	t := strings.TrimSpace(string(text))
	var days int64
	if head, rest, ok := strings.Cut(t, "d"); ok {
		n, err := strconv.ParseInt(head, 10, 32)
		if err != nil || n < 0 {
			return badDuration(text)
		}
		days, t = n, rest
	}
	var rest time.Duration
	if t != "" {
		var err error
		if rest, err = time.ParseDuration(t); err != nil || rest < 0 {
			return badDuration(text)
		}
	} else if days == 0 && len(text) == 0 {
		return badDuration(text)
	}
	const day = 24 * time.Hour
	if days > int64(math.MaxInt64/day)-1 {
		return badDuration(text)
	}
	*d = Duration(time.Duration(days)*day + rest)
	return nil
}

func badDuration(text []byte) error {
	return fmt.Errorf(`%q is no duration; write "30s", "5m", "4h" or "5d"`, text)
}

// MarshalText writes a duration so that UnmarshalText reads it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Duration) String() string {
	const day = 24 * time.Hour
	t := time.Duration(d)
	out := ""
	if n := t / day; n > 0 {
		out, t = fmt.Sprintf("%dd", n), t%day
	}
	if t == 0 && out != "" {
		return out
	}
	s := t.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return out + s
}
