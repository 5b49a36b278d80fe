package netserve

import (
	"net"
	"net/netip"
	"sync"
)

// v6Site is how much of an IPv6 address counts as one peer: a /64 is what one
// customer, often one machine, has at will (RFC 6177 §2).
const v6Site = 64

// Limiter counts connections in total and for each peer. Servers that share
// one count together.
type Limiter struct {
	total, perIP int
	within       *Limiter // counts too, if not nil

	mu    sync.Mutex
	open  int
	peers map[netip.Addr]int
}

// NewLimiter returns a Limiter that allows total connections at once and
// perIP of them from one address; 0 is no limit.
func NewLimiter(total, perIP int) *Limiter {
	return &Limiter{total: total, perIP: perIP, peers: map[netip.Addr]int{}}
}

// NewLimiterWithin is NewLimiter for a part of what all may have together. Its
// connections count with all's as well, whose own limit by address is not
// looked at.
func NewLimiterWithin(all *Limiter, total, perIP int) *Limiter {
	l := NewLimiter(total, perIP)
	l.within = all
	return l
}

// take counts one more connection from ip, or says why it may not: "" if it
// may. The invalid address, which a unix socket's peer has, is not limited by
// itself.
func (l *Limiter) take(ip netip.Addr) (reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.total > 0 && l.open >= l.total:
		return "connections"
	case l.perIP > 0 && ip.IsValid() && l.peers[ip] >= l.perIP:
		return "connections_per_ip"
	case l.within != nil && l.within.take(netip.Addr{}) != "":
		return "connections of all services"
	}
	l.open++
	if ip.IsValid() {
		l.peers[ip]++
	}
	return ""
}

// drop undoes a take.
func (l *Limiter) drop(ip netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.within != nil {
		l.within.drop(netip.Addr{})
	}
	if !ip.IsValid() {
		return
	}
	if l.peers[ip]--; l.peers[ip] <= 0 {
		delete(l.peers, ip)
	}
}

// peer is what connections from a are counted under.
func peer(a net.Addr) netip.Addr {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := t.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is6() {
		p, err := ip.Prefix(v6Site)
		if err != nil {
			return netip.Addr{}
		}
		return p.Addr()
	}
	return ip
}
