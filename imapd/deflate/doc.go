// Package deflate compresses both directions of a connection (RFC 1951, for
// RFC 4978).
//
// Its Reader hands out everything that can be known from what has arrived. The
// usual inflaters do so only where the sender made a full or a sync flush: of a
// partial flush (Z_PARTIAL_FLUSH, which some clients use) they hold the end of a
// command back until more comes, which never does. Its Writer keeps only a few
// kilobytes between writes: most connections wait for most of the time.
package deflate
