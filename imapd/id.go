package imapd

// id answers ID (RFC 2971). What clients tell of themselves is not kept.
func (c *conn) id() {
	e := newEncoder(c)
	e.atom(`* ID ("name" "Postrider" "version" `)
	e.str(c.srv.o.Version)
	e.atom(")\r\n")
	e.flush()
	c.answer("OK ID completed")
}
