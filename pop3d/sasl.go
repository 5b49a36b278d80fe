package pop3d

import (
	"encoding/base64"
	"io"
	"strings"

	"postrider/store"
)

// auth is AUTH (RFC 5034 §4). Without an argument it lists the mechanisms,
// which no RFC asks for but old clients do.
func (c *conn) auth(arg string) error {
	mech, initial, hasInitial := strings.Cut(arg, " ")
	if mech == "" {
		c.lines("mechanisms follow", c.s.o.Auth.Mechanisms(c.peer)...)
		return nil
	}
	x, err := c.s.o.Auth.SASL(c.ctx, c.peer, mech)
	if store.KindOf(err) == store.Invalid {
		return errMechanism
	}
	if err != nil {
		return err
	}
	var response []byte // nil: no initial response
	if hasInitial {
		if response, err = decodeResponse(initial, true); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := x.Next(response)
		if err != nil {
			return err
		}
		if done {
			return c.open(x.Account())
		}
		io.WriteString(c.w, "+ "+base64.StdEncoding.EncodeToString(challenge)+"\r\n")
		line, err := c.readLine(maxSASLLine)
		if err != nil {
			return err
		}
		if line == "*" {
			return errCancelled
		}
		if response, err = decodeResponse(line, false); err != nil {
			return err
		}
	}
}

// decodeResponse decodes a client's response. An initial one of no bytes is
// written "=" (RFC 5034 §4).
func decodeResponse(s string, initial bool) ([]byte, error) {
	if initial && s == "=" {
		return []byte{}, nil
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errBase64
	}
	if b == nil {
		b = []byte{}
	}
	return b, nil
}
