package mail

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// BodyType is the BODY parameter of MAIL (RFC 6152 §3).
type BodyType string

const (
	Body7Bit BodyType = "7BIT"
	Body8Bit BodyType = "8BITMIME"
)

// Ret is the RET parameter of MAIL: how much of the message a notice of
// failure returns (RFC 3461 §4.3). Empty means that the sender did not say.
type Ret string

const (
	RetFull    Ret = "FULL"
	RetHeaders Ret = "HDRS"
)

// Notify is the NOTIFY parameter of RCPT as a set of conditions (RFC 3461
// §4.1). The zero value means that the sender did not say, which asks for
// notices of failure and, where the server chooses, of delay.
type Notify uint8

const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Envelope is what MAIL and RCPT said of a message (RFC 5321 §2.3.1). It is
// not the header: neither is derived from the other.
type Envelope struct {
	From       Address  // zero is the null reverse-path, <>
	Body       BodyType // empty counts as 7BIT
	UTF8       bool     // SMTPUTF8 was given (RFC 6531 §3.4)
	RequireTLS bool     // REQUIRETLS was given (RFC 8689)
	Ret        Ret
	EnvID      string // ENVID, xtext decoded (RFC 3461 §4.4)
	Rcpts      []Recipient
}

// Recipient is one RCPT of an envelope.
type Recipient struct {
	Addr   Address
	Notify Notify
	ORcpt  string // ORCPT as "type;address", xtext decoded (RFC 3461 §4.2); empty if not given
}

// ID names one accepted message on its whole way through this server: it
// stands in the reply to DATA, in Received, in log lines, notices and the
// journey. It is 16 characters of [0-9a-v], and ids rise with time.
type ID string

var idEncoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// NewID makes an id for a message accepted now: 48 bits of milliseconds and
// 32 random bits.
func NewID(now time.Time) ID {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli())<<16)
	rand.Read(b[6:])
	return idOf(b)
}

// FirstID is below all ids that were made at t or later, and above those made
// before that millisecond.
func FirstID(t time.Time) ID {
	var b [10]byte
	binary.BigEndian.PutUint64(b[:8], uint64(max(t.UnixMilli(), 0))<<16)
	return idOf(b)
}

func idOf(b [10]byte) ID {
	id := []byte(idEncoding.EncodeToString(b[:]))
	for i, c := range id {
		if c >= 'A' {
			id[i] = c + 'a' - 'A'
		}
	}
	return ID(id)
}

// Time is when the id was made, to the millisecond; false if it is no id.
func (id ID) Time() (time.Time, bool) {
	b, err := idEncoding.DecodeString(strings.ToUpper(string(id)))
	if err != nil || len(b) != 10 {
		return time.Time{}, false
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b[:8]) >> 16)), true
}
