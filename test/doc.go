// Package test runs whole Postrider servers and speaks to them as users do:
// with the mail clients that people have, by hand, and from server to server.
// The clients come from Debian; scripts/install-test-tools installs them, and
// a client that is missing fails its test.
package test
