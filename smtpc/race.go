package smtpc

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"
)

// raceStep is how long a connection may take before the next address is tried
// beside it (RFC 8305 §5, Connection Attempt Delay).
const raceStep = 250 * time.Millisecond

// dialed is a connection that has been made to one of several addresses.
type dialed struct {
	i    int
	conn net.Conn
	err  error
}

// first puts the address to which a connection comes about first in front, so
// that an address that leads nowhere, as IPv6 without a route, holds nothing
// up: each is given a head start of raceStep over the next. The connection is
// returned with it; nil if there is none, and if that is because none came
// about, o says why, and only addresses that were not tried are left.
func (c *Client) first(ctx context.Context, h host, addrs []netip.Addr, rec *recorder) (_ []netip.Addr, _ net.Conn, o *Outcome) {
	if len(addrs) < 2 {
		return addrs, nil, nil
	}
	for i, a := range addrs {
		if c.isLocal(h, a) { // which ends the search when it is come to
			addrs = addrs[:i+1]
			break
		}
	}
	n := len(addrs)
	if c.isLocal(h, addrs[n-1]) {
		n--
	}
	if n < 2 {
		return addrs, nil, nil
	}
	rec.at.Phase, rec.at.Host = Handshake, printable(h.name)
	won := c.race(ctx, h, addrs[:n], rec)
	if won.conn == nil {
		o := temporary("4.4.1", "connecting failed: %s", netWords(won.err))
		o.Host, o.Addr = printable(h.name), netip.AddrPortFrom(addrs[won.i], uint16(h.port)).String()
		return addrs[n:], nil, &o
	}
	return slices.Concat(addrs[won.i:], addrs[:won.i]), won.conn, nil // what was slower comes last
}

// race connects to addrs, each a step later than the one before or as soon as
// that has failed, and returns the first connection, or the last error.
func (c *Client) race(ctx context.Context, h host, addrs []netip.Addr, rec *recorder) dialed {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeouts.Dial)
	defer cancel()
	done := make(chan dialed, len(addrs))
	step := time.NewTimer(0)
	defer step.Stop()
	var last dialed
	started, running := 0, 0
	lost := func() { // whoever comes too late
		for range running {
			if d := <-done; d.conn != nil {
				d.conn.Close()
			}
		}
	}
	for started < len(addrs) || running > 0 {
		select {
		case <-step.C:
			if started == len(addrs) {
				continue
			}
			i := started
			started, running = started+1, running+1
			go func() {
				conn, err := c.o.Dial(ctx, "tcp", netip.AddrPortFrom(addrs[i], uint16(h.port)).String())
				done <- dialed{i, conn, err}
			}()
			step.Reset(raceStep)
		case d := <-done:
			running--
			if d.err == nil {
				cancel()
				go lost()
				return d
			}
			last = d
			rec.add(Remark, "connecting to "+netip.AddrPortFrom(addrs[d.i], uint16(h.port)).String()+": "+netWords(d.err))
			step.Reset(0)
		}
	}
	return last
}
