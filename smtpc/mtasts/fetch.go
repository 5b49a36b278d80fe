package mtasts

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// fetchTime bounds a fetch, name look-up and all.
const fetchTime = 10 * time.Second

// Fetcher fetches policies by Client, which publichttp makes.
type Fetcher struct{ Client *http.Client }

// Errors of a fetch, as far as reports tell them apart (RFC 8460 §4.3.2.2).
var (
	ErrWebPKI  = errors.New("the policy's server has no valid certificate")
	ErrInvalid = errors.New("the policy is not valid")
)

// Fetch fetches the policy of a domain.
func (f *Fetcher) Fetch(ctx context.Context, domain string) (*Policy, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	host := "mta-sts." + domain
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+Path, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "Postrider")
	resp, err := f.Client.Do(req)
	if err != nil {
		return nil, fetchError(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK { // RFC 8461 §3.3: nor is a redirect followed
		return nil, fmt.Errorf("the policy's server answers %d", resp.StatusCode)
	}
	if m, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || m != "text/plain" {
		return nil, fmt.Errorf("%w: it is not text/plain", ErrInvalid)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxText+1))
	if err != nil {
		return nil, err
	}
	p, err := ParsePolicy(string(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, nil
}

func fetchError(err error) error {
	var cert *tls.CertificateVerificationError
	if errors.As(err, &cert) {
		return fmt.Errorf("%w: %w", ErrWebPKI, err)
	}
	return err
}
