// Package httpd is the web server. So far it has what other machines ask for:
// our MTA-STS policies (RFC 8461 §3.3), over TLS alone, and answers to the
// challenges of a certificate authority (RFC 8555 §8.3). Everything else is not
// found.
//
// A connection comes from netserve like those of the other daemons, with its
// limits, and its handshake done.
package httpd
