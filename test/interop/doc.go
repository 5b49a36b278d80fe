// Package interop exchanges mail with Postfix, Exim and OpenSMTPD, as Debian has
// them: each sends to Postrider and receives from it, by MX, with STARTTLS and
// DANE, and each check is made to fail as well.
//
// The test runs itself in namespaces of its own, where ports 25 and 53 and all
// of 127/8 are free, /etc/resolv.conf names the test's DNS, and the programs'
// users exist; nothing of that is seen outside. It needs root, and the packages
// that scripts/install-test-tools unpacks.
package interop
