package imapd

import "postrider/imapd/wire"

// cmdID answers ID (RFC 2971). What clients tell of themselves is not kept.
func (s *session) cmdID(d *wire.Decoder) error {
	d.SP()
	if !d.TryWord("NIL") {
		d.List(func() {
			_ = d.String()
			d.SP()
			d.NString()
		})
	}
	d.CRLF()
	if err := d.Err(); err != nil {
		return err
	}
	e := newEncoder(s.c)
	e.Text(`* ID ("name" "Postrider" "version" `)
	e.String(s.srv.o.Version)
	e.Special(')')
	e.CRLF()
	e.Flush()
	return nil
}
