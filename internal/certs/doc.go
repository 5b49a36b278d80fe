// Package certs gets certificates from an authority by ACME (RFC 8555) and
// renews them in time, while the server runs on with those that it has.
//
//   - Each name has a certificate of its own, so that one whose DNS is wrong does
//     not cost the others theirs.
//   - A key is kept when its certificate is renewed: TLSA records that name it
//     stay true.
//   - Keys are readable by their owner alone, and a certificate is used only
//     after it has been written down whole.
//   - What fails is tried again ever more slowly: authorities count failures.
package certs
