package sqlite

import (
	"context"
	"time"

	"postrider/store"
)

const stsColumns = "SELECT domain, id, policy, fetched, expires FROM sts_policy "

// scanSTS reads a row of stsColumns.
func scanSTS(scan func(...any) error) (p store.STSPolicy, err error) {
	var fetched, expires int64
	err = scan(&p.Domain, &p.ID, &p.Text, &fetched, &expires)
	p.Fetched, p.Expires = fromMicros(fetched), fromMicros(expires)
	return p, err
}

// STSPolicy finds the policy that is kept of a domain.
func (e *Engine) STSPolicy(ctx context.Context, domain string) (p store.STSPolicy, err error) {
	const op = "MTA-STS policy"
	err = e.read(ctx, op, func(t *tx) error {
		p, err = scanSTS(func(to ...any) error { return t.get(stsColumns+"WHERE domain = ?1", args(domain), to...) })
		return err
	})
	return p, err
}

// SetSTSPolicy keeps a policy in place of the domain's last one.
func (e *Engine) SetSTSPolicy(ctx context.Context, p store.STSPolicy) error {
	return e.write(ctx, "keep MTA-STS policy", func(t *tx) error {
		_, err := t.exec("INSERT OR REPLACE INTO sts_policy (domain, id, policy, fetched, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
			p.Domain, p.ID, p.Text, micros(p.Fetched), micros(p.Expires))
		return err
	})
}

// STSPolicies returns the policies that are due for another look.
func (e *Engine) STSPolicies(ctx context.Context, fetchedBefore time.Time) ([]store.STSPolicy, error) {
	var all []store.STSPolicy
	err := e.read(ctx, "MTA-STS policies", func(t *tx) error {
		return t.each(stsColumns+"WHERE fetched < ?1 ORDER BY fetched", args(micros(fetchedBefore)), func(scan func(...any) error) error {
			p, err := scanSTS(scan)
			all = append(all, p)
			return err
		})
	})
	return all, err
}

// DropSTSPolicies forgets policies that have ended.
func (e *Engine) DropSTSPolicies(ctx context.Context, endedBefore time.Time) error {
	return e.writeFreeing(ctx, "forget MTA-STS policies", func(t *tx) error {
		_, err := t.exec("DELETE FROM sts_policy WHERE expires < ?1", micros(endedBefore))
		return err
	})
}

// CountTLS adds to the counts of TLS connections.
func (e *Engine) CountTLS(ctx context.Context, counts []store.TLSCount) error {
	return e.write(ctx, "count TLS connections", func(t *tx) error {
		for _, c := range counts {
			if _, err := t.exec(`INSERT INTO tls_count (day, domain, what, sessions) VALUES (?1, ?2, ?3, ?4)
				ON CONFLICT DO UPDATE SET sessions = sessions + excluded.sessions`, int64(c.Day), c.Domain, c.What, c.Sessions); err != nil {
				return err
			}
		}
		return nil
	})
}

// TLSDomains lists the domains and days that something was counted for.
func (e *Engine) TLSDomains(ctx context.Context, day store.Day) ([]store.TLSDomain, error) {
	var all []store.TLSDomain
	err := e.read(ctx, "TLS domains", func(t *tx) error {
		return t.each("SELECT DISTINCT day, domain FROM tls_count WHERE day <= ?1 ORDER BY day, domain", args(int64(day)), func(scan func(...any) error) error {
			var d store.TLSDomain
			err := scan(&d.Day, &d.Domain)
			all = append(all, d)
			return err
		})
	})
	return all, err
}

// TLSCounts returns what was counted for a domain on a day.
func (e *Engine) TLSCounts(ctx context.Context, d store.TLSDomain) ([]store.TLSCount, error) {
	var all []store.TLSCount
	err := e.read(ctx, "TLS counts", func(t *tx) error {
		return t.each("SELECT what, sessions FROM tls_count WHERE day = ?1 AND domain = ?2 ORDER BY what", args(int64(d.Day), d.Domain), func(scan func(...any) error) error {
			c := store.TLSCount{TLSDomain: d}
			err := scan(&c.What, &c.Sessions)
			all = append(all, c)
			return err
		})
	})
	return all, err
}

// DropTLSCounts forgets what was counted for a domain on a day.
func (e *Engine) DropTLSCounts(ctx context.Context, d store.TLSDomain) error {
	return e.writeFreeing(ctx, "forget TLS counts", func(t *tx) error {
		_, err := t.exec("DELETE FROM tls_count WHERE day = ?1 AND domain = ?2", int64(d.Day), d.Domain)
		return err
	})
}
