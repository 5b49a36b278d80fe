package imapd

import (
	"io"

	"postrider/mail"
	"postrider/store"
)

// previewOf returns the beginning of what a message says (RFC 8970 §3.1): ""
// if it says nothing.
func previewOf(c *store.Content) (string, error) {
	return c.Meta.Preview(func(x mail.Extent) io.Reader { return extent(c, x).reader() })
}
