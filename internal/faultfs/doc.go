// Package faultfs is a disk for tests: a file system in memory, mounted by
// FUSE, that knows of each byte and of each name whether it would survive a
// loss of power, and that fails where a test wants it to.
//
// What is written stands in the cache until an fsync or fdatasync of its file
// moves it to the platter; a name that is made, renamed or removed, until an
// fsync of its directory. Readers see the cache. Cut takes the power away: from
// that moment every operation fails, and what the cache alone had is gone.
// Restore gives it back, with what the platter holds.
//
// Real disks write behind whenever they like and in any order, so some of what
// was not synced may survive: Torn lets a random part of it, in sectors, and
// each directory's names up to a random one of the changes since its sync.
//
// A sync that is made to fail does what Linux does: the pages stay readable,
// count as clean, and are never written unless they are changed again. Who
// syncs a second time and believes the answer loses data at the next Cut.
//
// All but SQLite's -shm files, which are mapped, bypasses the kernel's cache,
// so that a test's faults and what a program then reads are exact. Locks are
// the kernel's own.
//
// It needs Linux, /dev/fuse and the right to mount.
package faultfs
