package labdns

import (
	"fmt"
	"io"
	"slices"

	"github.com/miekg/dns"
)

// Limits of a zone file.
const (
	defaultTTL = 300     // seconds, where the file names no TTL
	maxRecords = 100_000 // a lab has a handful
)

// zones is what a zone file says. It is never changed once it is loaded.
type zones struct {
	apex  map[string]*dns.SOA            // by the zone's name
	names map[string]map[uint16][]dns.RR // records by owner and type; an empty non-terminal has an empty map
}

// load reads a zone file.
func load(r io.Reader) (*zones, error) {
	p := dns.NewZoneParser(r, ".", "")
	p.SetDefaultTTL(defaultTTL)
	z := &zones{apex: map[string]*dns.SOA{}, names: map[string]map[uint16][]dns.RR{}}
	n := 0
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		if n++; n > maxRecords {
			return nil, fmt.Errorf("zone file: more than %d records", maxRecords)
		}
		if rr.Header().Class != dns.ClassINET {
			return nil, fmt.Errorf("zone file: %s: only class IN is served", rr.Header().Name)
		}
		z.add(rr)
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("zone file: %w", err)
	}
	return z, z.finish()
}

func (z *zones) add(rr dns.RR) {
	h := rr.Header()
	h.Name = dns.CanonicalName(h.Name)
	if soa, ok := rr.(*dns.SOA); ok {
		z.apex[h.Name] = soa
	}
	node := z.names[h.Name]
	if node == nil {
		node = map[uint16][]dns.RR{}
		z.names[h.Name] = node
	}
	// Two files may say the same; a set holds each record once (RFC 2181 §5).
	if !slices.ContainsFunc(node[h.Rrtype], func(o dns.RR) bool { return dns.IsDuplicate(o, rr) }) {
		node[h.Rrtype] = append(node[h.Rrtype], rr)
	}
}

// finish checks that every record lies in a zone and makes the empty
// non-terminals between a name and its zone (RFC 4592 §2.2.2).
func (z *zones) finish() error {
	if len(z.apex) == 0 {
		return fmt.Errorf("zone file: no zone: each begins with its SOA record")
	}
	owners := make([]string, 0, len(z.names))
	for name := range z.names {
		owners = append(owners, name)
	}
	for _, name := range owners {
		zone, _ := z.zoneOf(name)
		if zone == "" {
			return fmt.Errorf("zone file: %s lies in no zone: add the SOA record of its zone", name)
		}
		node := z.names[name]
		if len(node[dns.TypeCNAME]) > 1 || len(node[dns.TypeCNAME]) == 1 && len(node) > 1 {
			return fmt.Errorf("zone file: %s has a CNAME and something else (RFC 1034 §3.6.2)", name)
		}
		for up := parent(name); name != zone && up != zone; up = parent(up) {
			if z.names[up] == nil {
				z.names[up] = map[uint16][]dns.RR{}
			}
		}
	}
	return nil
}

// zoneOf finds the zone that name lies in, "" if it is none of ours.
func (z *zones) zoneOf(name string) (string, *dns.SOA) {
	for {
		if soa := z.apex[name]; soa != nil {
			return name, soa
		}
		if name == "." {
			return "", nil
		}
		name = parent(name)
	}
}

// node finds the records of name, by a wildcard if it has none of its own
// (RFC 4592 §3.3.1); nil if it does not exist.
func (z *zones) node(name, zone string) map[uint16][]dns.RR {
	if n := z.names[name]; n != nil {
		return n
	}
	for up := name; up != zone; {
		up = parent(up)
		if z.names[up] != nil || up == zone { // the closest encloser
			return z.names["*."+up]
		}
	}
	return nil
}

// parent strips the first label of a fully qualified name.
func parent(name string) string {
	i, end := dns.NextLabel(name, 0)
	if end {
		return "."
	}
	return name[i:]
}
