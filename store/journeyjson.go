package store

import (
	"encoding/json"
	"strconv"
)

// AppendJSON is json.Marshal for the event that every message has, at a
// fraction of its cost.
func (a *Arrival) AppendJSON(b []byte) []byte {
	b = AppendString(append(b, `{"from":`...), a.From)
	b = append(b, `,"to":`...)
	if a.To == nil {
		b = append(b, "null"...)
	} else {
		b = append(b, '[')
		for i, to := range a.To {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendString(b, to)
		}
		b = append(b, ']')
	}
	b = strconv.AppendInt(append(b, `,"size":`...), a.Size, 10)
	for _, f := range [...]struct{ key, value string }{
		{`,"helo":`, a.Helo}, {`,"addr":`, a.Addr}, {`,"proto":`, a.Proto}, {`,"tls":`, a.TLS}, {`,"auth":`, a.Auth}, {`,"user":`, a.User},
	} {
		if f.value != "" {
			b = AppendString(append(b, f.key...), f.value)
		}
	}
	if a.Account != 0 {
		b = strconv.AppendInt(append(b, `,"account":`...), int64(a.Account), 10)
	}
	return append(b, '}')
}

// AppendString appends s as a string of JSON.
func AppendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			q, _ := json.Marshal(s) // a string never fails
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
