package store

import (
	"context"
	"time"
)

// Transport is what is remembered of how other servers want their mail, and
// how sending it went.
type Transport interface {
	// STSPolicy finds the MTA-STS policy that is kept of a domain (RFC 8461):
	// NotFound.
	STSPolicy(ctx context.Context, domain string) (STSPolicy, error)
	SetSTSPolicy(ctx context.Context, p STSPolicy) error // replaces
	// STSPolicies returns those that were fetched before a time, oldest first.
	STSPolicies(ctx context.Context, fetchedBefore time.Time) ([]STSPolicy, error)
	// DropSTSPolicies forgets those that ended before a time.
	DropSTSPolicies(ctx context.Context, endedBefore time.Time) error

	// CountTLS adds to what has been counted.
	CountTLS(ctx context.Context, counts []TLSCount) error
	// TLSDomains lists the domains for which something was counted on or
	// before a day.
	TLSDomains(ctx context.Context, day Day) ([]TLSDomain, error)
	// TLSCounts returns what was counted for a domain on a day.
	TLSCounts(ctx context.Context, d TLSDomain) ([]TLSCount, error)
	// DropTLSCounts forgets what was counted for a domain on a day.
	DropTLSCounts(ctx context.Context, d TLSDomain) error
}

// STSPolicy is a domain's MTA-STS policy as it was fetched.
type STSPolicy struct {
	Domain, ID, Text string
	Fetched, Expires time.Time
}

// Day is a day of UTC, counted from 1970.
type Day int

// DayOf is the day of a moment.
func DayOf(t time.Time) Day { return Day(t.Unix() / 86400) }

// Begin is the day's first moment.
func (d Day) Begin() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// TLSDomain is a domain and a day of counting.
type TLSDomain struct {
	Day    Day
	Domain string
}

// TLSCount is how many connections to a domain's hosts went the same way. What
// says which way; it is compared, and otherwise its writer's affair.
type TLSCount struct {
	TLSDomain
	What     string
	Sessions int64
}
