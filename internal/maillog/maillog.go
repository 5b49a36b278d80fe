// Package maillog is the closed vocabulary of log events. One event is one
// line; the message of every slog record at info level or above is one of the
// constants below, so that an operator can search for it.
//
// Client misbehaviour is information, not an error: slog.Error means that an
// operator should act. Text that came from a peer goes into an attribute,
// never into the message; credentials and message bodies go nowhere.
package maillog

import (
	"crypto/rand"
	"log/slog"
	"net"
	"strings"
)

// The events. Attributes that recur: proto, conn, remote, user, id (the
// message's), from, rcpt, dest, code, err.
const (
	Started      = "started"      // the server runs; attributes name version and data directory
	Listening    = "listening"    // one listener is open
	Stopping     = "stopping"     // SIGTERM: no new connections, draining
	Stopped      = "stopped"      // everything is closed
	Reloaded     = "reloaded"     // SIGHUP was carried out
	Connected    = "connected"    // a client connected
	Disconnected = "disconnected" // and left; attribute err if not by its own word
	Refused      = "refused"      // a connection turned away by a limit
	Login        = "login"        // a login succeeded
	LoginFailed  = "login-failed" // a login failed; throttled=true if not even tried
	Accepted     = "accepted"     // a message is durable here; id, from, size, rcpts
	Rejected     = "rejected"     // a command or message was refused; code and reason
	Queued       = "queued"       // an outgoing row was written
	Attempt      = "attempt"      // an attempt to relay begins
	Delivered    = "delivered"    // a recipient's server took the message
	Deferred     = "deferred"     // it will be tried again; due
	Bounced      = "bounced"      // it will not be tried again
	Notice       = "notice"       // a delivery status notice was accepted
	Trace        = "trace"        // at level trace only: a line of a dialogue with another server; phase, dir, line
	Account      = "account"      // an account, alias or domain was changed
	Warning      = "warning"      // something works less well than it should
	Failed       = "failed"       // an internal error; an operator should look
	Panic        = "panic"        // a bug ended one connection; stack
)

// Discard returns a logger that writes nothing.
func Discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Conn returns the logger of one connection: each of its lines has the
// protocol, a name that no other connection has, and the other end's address.
// A login adds the user.
func Conn(log *slog.Logger, proto string, c net.Conn) *slog.Logger {
	return log.With("proto", proto, "conn", strings.ToLower(rand.Text()[:12]), "remote", c.RemoteAddr().String())
}

// End logs that a connection has ended; err is why, nil if it was by the
// client's own word.
func End(log *slog.Logger, err error, args ...any) {
	if err != nil {
		args = append(args, "err", err)
	}
	log.Info(Disconnected, args...)
}
