// Package mtasts is SMTP MTA Strict Transport Security (RFC 8461): what a
// domain demands of the TLS between its mail hosts and whoever sends to it,
// found by a TXT record and told over HTTPS.
//
//   - A policy comes from an HTTPS server with a valid certificate for
//     mta-sts.DOMAIN alone: no redirect, no proxy, no address of a private
//     network, at most 64 KB in 10 seconds.
//   - A policy that was fetched holds until its own end, whatever becomes of the
//     DNS or of the server that told it: only a newer policy replaces it.
package mtasts
