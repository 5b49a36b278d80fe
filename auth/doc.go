// Package auth decides who may log in, once for all daemons: SASL PLAIN and
// LOGIN and POP3's USER and PASS all end in [Authenticator.Login].
//
// What holds:
//
//   - A peer learns one bit. An unknown user, a disabled account and a wrong
//     password cost the same hash, take the same time and give the same error.
//   - Passwords are kept as argon2id and as keys of SCRAM-SHA-256, both made
//     when the password is set, after the same preparation (RFC 8265 §4.2).
//     The weaker of the two bounds what a stolen store is worth.
//   - At most [maxHashing] hashes run at once and [maxHashQueue] wait; more
//     than that is Busy. A password that was right is remembered for
//     [goodFor], so that hashing does not bound the rate of logins; one that
//     was wrong is remembered too, so that a client which repeats an old
//     password neither costs work nor uses up guesses. What is remembered is a
//     keyed hash over account, stored credential and password: a new
//     password, a removed or a disabled account take effect at once, because
//     the credential is read from the store at every login.
//   - Guesses are counted over all protocols, by network and by account (see
//     throttle.go). A user who logged in from a network before cannot be
//     locked out there by guesses from elsewhere, nor by guesses of other
//     names from there.
//   - All tables are bounded; nothing a peer does makes them grow past that.
package auth
