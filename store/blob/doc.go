// Package blob keeps large bodies in append-only segment files.
//
// A record is a header and the bytes in blocks, each with a checksum, so that
// any part of a body can be read and verified without reading all of it. A
// record is durable when Sync has returned; only then may a row name it. What
// no row names is garbage, which the owner of the directory drops at start.
package blob
