package smtpc

import (
	"errors"
	"io"

	"postrider/internal/spool"
	"postrider/mail"
)

// spoolMemory is how much of a converted message is kept in memory.
const spoolMemory = 1 << 20

// convert makes the plan's message 7-bit, header and body. It is done once
// for all hosts of an attempt.
func (a *attempt) convert(pl *plan, dir string) error {
	if a.seven == nil {
		meta, err := mail.Parse(io.NewSectionReader(a.m.Body, 0, a.m.Size))
		if err != nil {
			return err
		}
		b := spool.New(dir, spoolMemory)
		if err := mail.To7Bit(a.m.Body, meta, b); err != nil {
			b.Close()
			return err
		}
		a.seven = b
	}
	pl.body, pl.size = a.seven, a.seven.Size()
	return nil
}

// unconverted is the outcome of a message that this peer cannot carry and that
// cannot be converted.
func (p *peer) unconverted(err error) Outcome {
	switch {
	case errors.Is(err, mail.ErrNotASCII):
		return permanent("5.6.7", "%s cannot carry this message: its header is not ASCII and cannot be made so", p.host.name)
	case errors.Is(err, mail.ErrNot7Bit):
		return permanent("5.6.3", "%s cannot carry this message: it is not 7-bit and cannot be made so", p.host.name)
	}
	return temporary("4.3.0", "the message could not be converted")
}
