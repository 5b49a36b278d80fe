// Package oddmail makes a corpus of odd messages for tests: broken MIME,
// header fields as nobody should write them, line ends that are none. It is
// the same corpus at every call, made by a grammar of oddities, and none of it
// was ever sent by anybody.
package oddmail
