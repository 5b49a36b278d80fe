package labdns

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

// Limits of answering.
const (
	maxChain  = 8    // CNAMEs followed for one question
	plainUDP  = 512  // octets of an answer without EDNS (RFC 1035 §4.2.1)
	maxUDP    = 1232 // octets of an answer with it
	tcpIdle   = 10 * time.Second
	portTries = 20 // to find a port that is free for UDP and TCP
)

// Drop as the rcode of SetFail leaves the question without an answer.
const Drop = -1

// Server answers for the zones of one file until Close.
type Server struct {
	zones    atomic.Pointer[zones]
	udp, tcp *dns.Server
	addr     string

	mu     sync.Mutex
	fail   map[string]int
	signed map[string]bool // zones
}

// Start reads a zone file and serves it at addr, over UDP and TCP at the same
// port. Port 0 lets the system choose; Addr tells which.
func Start(addr string, zone io.Reader) (*Server, error) {
	z, err := load(zone)
	if err != nil {
		return nil, err
	}
	pc, l, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{addr: l.Addr().String(), fail: map[string]int{}, signed: map[string]bool{}}
	s.zones.Store(z)
	h := dns.HandlerFunc(s.handle)
	idle := func() time.Duration { return tcpIdle }
	s.udp = &dns.Server{PacketConn: pc, Handler: h}
	s.tcp = &dns.Server{Listener: l, Handler: h, IdleTimeout: idle}
	// A Shutdown that comes before the server has begun would be ignored, so
	// Start returns when both have.
	var begun sync.WaitGroup
	for _, srv := range []*dns.Server{s.udp, s.tcp} {
		begun.Add(1)
		srv.NotifyStartedFunc = begun.Done
		go srv.ActivateAndServe() // returns after Shutdown
	}
	begun.Wait()
	return s, nil
}

// listen opens UDP and TCP at the same port.
func listen(addr string) (net.PacketConn, net.Listener, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, nil, fmt.Errorf("dns: listen at %q: %w", addr, err)
	}
	for try := 1; ; try++ {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("dns: %w", err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return pc, l, nil
		}
		l.Close()
		if port != "0" || try == portTries {
			return nil, nil, fmt.Errorf("dns: %w", err)
		}
	}
}

// Addr is the address that the server answers at, host:port.
func (s *Server) Addr() string { return s.addr }

// Load takes the zones of a file in place of what has been served.
func (s *Server) Load(zone io.Reader) error {
	z, err := load(zone)
	if err == nil {
		s.zones.Store(z)
	}
	return err
}

// Close stops the server.
func (s *Server) Close() {
	s.udp.Shutdown()
	s.tcp.Shutdown()
}

// SetFail makes every question for name fail with rcode, such as
// dns.RcodeServerFailure, or go unanswered if it is Drop. dns.RcodeSuccess
// ends that.
func (s *Server) SetFail(name string, rcode int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail[dns.CanonicalName(name)] = rcode
}

// SetSigned makes answers that lie wholly in zones so named look as those of a
// resolver that has validated them: with the AD bit, for who asks for it.
// Nothing is signed.
func (s *Server) SetSigned(zones ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, z := range zones {
		s.signed[dns.CanonicalName(z)] = true
	}
}

// isSigned tells whether all names of an answer lie in zones that are.
func (s *Server) isSigned(m *dns.Msg, name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{name}
	for _, rr := range m.Answer {
		names = append(names, dns.CanonicalName(rr.Header().Name))
	}
	for _, n := range names {
		if zone, _ := s.zones.Load().zoneOf(n); !s.signed[zone] {
			return false
		}
	}
	return true
}

func (s *Server) failure(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fail[name]
}

func (s *Server) handle(w dns.ResponseWriter, q *dns.Msg) {
	m := s.answer(q)
	if m == nil {
		return
	}
	if _, overUDP := w.LocalAddr().(*net.UDPAddr); overUDP {
		m.Truncate(udpSize(q))
	}
	w.WriteMsg(m)
}

// udpSize is how large an answer over UDP may be.
func udpSize(q *dns.Msg) int {
	opt := q.IsEdns0()
	if opt == nil {
		return plainUDP
	}
	return min(max(int(opt.UDPSize()), plainUDP), maxUDP)
}

// answer makes the answer to q; nil if there shall be none.
func (s *Server) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	if q.IsEdns0() != nil {
		m.SetEdns0(maxUDP, false)
	}
	switch {
	case q.Opcode != dns.OpcodeQuery:
		m.Rcode = dns.RcodeNotImplemented
		return m
	case len(q.Question) != 1:
		m.Rcode = dns.RcodeFormatError
		return m
	}
	qu := q.Question[0]
	name := dns.CanonicalName(qu.Name)
	switch rcode := s.failure(name); {
	case rcode == Drop:
		return nil
	case rcode != dns.RcodeSuccess:
		m.Rcode = rcode
		return m
	}
	zone, _ := s.zones.Load().zoneOf(name)
	if qu.Qclass != dns.ClassINET || zone == "" || qu.Qtype == dns.TypeAXFR || qu.Qtype == dns.TypeIXFR {
		m.Rcode = dns.RcodeRefused
		return m
	}
	m.Authoritative = true
	s.zones.Load().fill(m, name, qu.Qtype)
	opt := q.IsEdns0()
	m.AuthenticatedData = (q.AuthenticatedData || opt != nil && opt.Do()) && s.isSigned(m, name) // RFC 6840 §5.7
	return m
}

// fill puts into m what the zones know of name, following CNAMEs as long as
// they stay in zones of ours (RFC 1034 §4.3.2).
func (z *zones) fill(m *dns.Msg, name string, qtype uint16) {
	for range maxChain {
		zone, soa := z.zoneOf(name)
		if zone == "" {
			return // the CNAME led elsewhere: whoever asks goes on there
		}
		node := z.node(name, zone)
		if node == nil {
			m.Rcode = dns.RcodeNameError
			m.Ns = []dns.RR{negative(soa)}
			return
		}
		if alias := node[dns.TypeCNAME]; alias != nil && qtype != dns.TypeCNAME && qtype != dns.TypeANY {
			m.Answer = append(m.Answer, owned(alias, name)...)
			name = dns.CanonicalName(alias[0].(*dns.CNAME).Target)
			continue
		}
		found := node[qtype]
		if qtype == dns.TypeANY {
			for _, rrs := range node {
				found = append(found, rrs...)
			}
		}
		if len(found) == 0 {
			m.Ns = []dns.RR{negative(soa)}
		}
		m.Answer = append(m.Answer, owned(found, name)...)
		return
	}
	m.Rcode = dns.RcodeServerFailure // a circle
}

// owned copies records under the name that was asked for, which differs from
// theirs where a wildcard matched.
func owned(rrs []dns.RR, name string) []dns.RR {
	out := make([]dns.RR, len(rrs))
	for i, rr := range rrs {
		out[i] = dns.Copy(rr)
		out[i].Header().Name = name
	}
	return out
}

// negative is a zone's SOA as negative answers carry it (RFC 2308 §3).
func negative(soa *dns.SOA) dns.RR {
	c := dns.Copy(soa).(*dns.SOA)
	c.Hdr.Ttl = min(c.Hdr.Ttl, c.Minttl)
	return c
}
