package store

import (
	"context"
	"time"
)

// Keys is what this server proves itself by, and counts of what others proved.
//
// Private keys are in the store and not in files beside it: all that serve the
// same data have to sign alike, a rotation is one step for all of them, and a
// backup without the keys would have the world look for others. The database
// is readable by its owner alone, as files would be.
type Keys interface {
	// AddDomainKeys adds keys to a domain, all or none: NotFound if it is not
	// here, Exists if a selector is taken.
	AddDomainKeys(ctx context.Context, domain string, keys []DomainKey) error
	// DomainKeys returns the keys of a domain, or of all for "", oldest first.
	DomainKeys(ctx context.Context, domain string) ([]DomainKey, error)
	// RotateDomainKeys makes a domain's next keys the ones that sign, retires
	// those that did, and forgets those that were retired before a time:
	// NotFound if there are no next keys.
	RotateDomainKeys(ctx context.Context, domain string, forgetBefore time.Time) error
	// Secret returns random bytes of this name, made when they are first
	// asked for and the same for everybody from then on.
	Secret(ctx context.Context, name string, size int) ([]byte, error)

	// CountDMARC adds to what has been counted.
	CountDMARC(ctx context.Context, counts []DMARCCount) error
	// DMARCDomains lists the domains and days up to a day that something was
	// counted for.
	DMARCDomains(ctx context.Context, day Day) ([]DMARCDomain, error)
	// DMARCCounts returns what was counted for a domain on a day.
	DMARCCounts(ctx context.Context, d DMARCDomain) ([]DMARCCount, error)
	// DropDMARCCounts forgets what was counted for a domain on a day.
	DropDMARCCounts(ctx context.Context, d DMARCDomain) error
}

// KeyState is where a key is in its life.
type KeyState uint8

const (
	KeyNext    KeyState = iota // to be published before it signs
	KeyActive                  // signs
	KeyRetired                 // signs no more; mail on its way still needs what is published
)

// DomainKey is a key that signs a domain's mail (RFC 6376 §3.1).
type DomainKey struct {
	Domain, Selector string
	Algorithm        string
	Private          []byte // PKCS #8
	State            KeyState
	Created          time.Time
	Changed          time.Time // of the state
}

// DMARCDomain is a domain that wants reports, and a day of counting.
type DMARCDomain struct {
	Day    Day
	Domain string
}

// DMARCCount is how many messages of a domain were found alike. What says how;
// it is compared, and otherwise its writer's affair.
type DMARCCount struct {
	DMARCDomain
	What     string
	Messages int64
}
