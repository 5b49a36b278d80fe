package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"syscall"

	"github.com/mattn/go-sqlite3"

	"postrider/store"
)

// wrap gives err, as it comes from the driver or from code in a transaction,
// its kind. An error that is a *store.Error already stays as it is.
func wrap(op string, err error) error {
	var own *store.Error
	if err == nil || errors.As(err, &own) {
		return err
	}
	kind := store.Internal
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		kind = store.Busy
	case errors.Is(err, sql.ErrNoRows):
		kind = store.NotFound
	case isFull(err):
		kind = store.Full
	case isBusy(err):
		kind = store.Busy
	}
	return &store.Error{Kind: kind, Op: op, Err: err}
}

// isFull tells whether err means that the disk, or our share of it, is full.
func isFull(err error) bool {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return true
	}
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	// The index of the write-ahead log cannot grow either on a full disk.
	return e.Code == sqlite3.ErrFull || e.ExtendedCode == sqlite3.ErrIoErrSHMSize ||
		e.SystemErrno == syscall.ENOSPC || e.SystemErrno == syscall.EDQUOT
}

// isBusy tells whether err means that another handle holds the database.
func isBusy(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.Code == sqlite3.ErrBusy || e.Code == sqlite3.ErrLocked)
}

// isBroken tells whether err leaves a connection in doubt: a failed read or
// write of a file, or what should not be in one.
func isBroken(err error) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) || isFull(err) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrIoErr, sqlite3.ErrCorrupt, sqlite3.ErrNotADB, sqlite3.ErrCantOpen, sqlite3.ErrMisuse, sqlite3.ErrNomem:
		return true
	}
	return false
}

// isUnique tells whether err is a violated UNIQUE or PRIMARY KEY.
func isUnique(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && (e.ExtendedCode == sqlite3.ErrConstraintUnique ||
		e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey || e.ExtendedCode == sqlite3.ErrConstraintRowID)
}

func notFound(op, format string, args ...any) error {
	return store.Errorf(store.NotFound, op, format, args...)
}
