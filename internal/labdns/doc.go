// Package labdns is a small authoritative DNS server for labs, demonstrations
// and tests: it reads one zone file (RFC 1035 §5) that may hold several zones,
// each begun by its SOA record, and answers for them over UDP and TCP.
//
// It knows CNAME, wildcards (RFC 4592) and the difference between a name that
// does not exist (NXDOMAIN) and a type that a name does not have (NODATA),
// both with the zone's SOA (RFC 2308). It does not delegate, transfer or sign,
// and it refuses whatever is not in its zones: it never asks another server.
package labdns
