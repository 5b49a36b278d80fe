package mailauth

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/mail"
)

const (
	dkimField     = "DKIM-Signature"
	maxSignatures = 8        // that are verified; a list on top of a gateway makes three or four
	maxSigField   = 16 << 10 // of one signature's field
	clockSkew     = time.Hour
)

// Signature is what became of one DKIM signature.
type Signature struct {
	Domain    string `json:"domain,omitempty"`   // d=, in A-labels
	Selector  string `json:"selector,omitempty"` // s=
	Identity  string `json:"-"`                  // i=
	Algorithm string `json:"algorithm,omitempty"`
	Bits      int    `json:"bits,omitempty"`
	Result    Value  `json:"result"`
	Reason    string `json:"reason,omitempty"`

	b string // the beginning of b=, which tells signatures apart (RFC 6008)
}

// signature is a signature on its way through verification: of DKIM, or an
// ARC-Message-Signature, which differs in two tags.
type signature struct {
	Signature
	raw     []byte
	name    string // of the key in the DNS
	canon   canon
	headers []string
	bh, sig []byte
}

// parseSignature reads a signature's field. The error is why it cannot pass
// whatever its key.
func parseSignature(f mail.Field, arc bool, now time.Time) (*signature, error) {
	s := &signature{raw: f.Raw}
	if len(f.Raw) > maxSigField {
		return s, failed(PermError, "the signature is too long")
	}
	t, err := parseTags(f.Value())
	if err != nil {
		return s, failed(PermError, "the signature cannot be read: %v", err)
	}
	s.Selector, s.Algorithm = noSpace(t["s"]), noSpace(t["a"])
	s.Domain, err = mail.DomainKey(noSpace(t["d"]))
	if err != nil || strings.HasPrefix(s.Domain, "[") {
		s.Domain = ""
		return s, failed(PermError, "the signature names no domain")
	}
	s.b = noSpace(t["b"])
	for _, need := range []string{"a", "b", "bh", "d", "h", "s"} {
		if t[need] == "" {
			return s, failed(PermError, "the signature has no tag %s", need)
		}
	}
	if s.name, err = keyName(s.Selector, s.Domain); err != nil {
		return s, err
	}
	var ok bool
	if s.canon, ok = parseCanon(t["c"]); !ok {
		return s, failed(PermError, "the canonicalization is not known")
	}
	s.headers = t.list("h")
	if !slices.ContainsFunc(s.headers, func(h string) bool { return strings.EqualFold(h, "From") }) {
		return s, failed(PermError, "the signature does not cover From")
	}
	var errB, errBH error
	s.sig, errB = base64.StdEncoding.DecodeString(s.b)
	s.bh, errBH = base64.StdEncoding.DecodeString(noSpace(t["bh"]))
	if errB != nil || errBH != nil {
		return s, failed(PermError, "the signature is no base64")
	}
	if arc {
		if slices.ContainsFunc(s.headers, func(h string) bool { return strings.EqualFold(h, arcSeal) }) {
			return s, failed(PermError, "the signature covers %s", arcSeal) // RFC 8617 §4.1.2
		}
	} else if err := s.dkimTags(t); err != nil {
		return s, err
	}
	return s, s.checkTags(t, now)
}

// dkimTags reads what only DKIM-Signature has.
func (s *signature) dkimTags(t tags) error {
	if t["v"] != "1" {
		return failed(PermError, "the signature's version is not 1")
	}
	s.Identity = "@" + s.Domain
	if i, ok := t["i"]; ok {
		i = noSpace(i)
		at := strings.LastIndexByte(i, '@')
		domain, err := mail.DomainKey(i[at+1:])
		if at < 0 || err != nil || !within(domain, s.Domain) {
			return failed(PermError, "the identity is not of the signing domain")
		}
		s.Identity = i[:at] + "@" + domain
	}
	if q := t.list("q"); q != nil && !slices.Contains(q, "dns/txt") {
		return failed(PermError, "the key is not in the DNS")
	}
	return nil
}

// checkTags reads what both have.
func (s *signature) checkTags(t tags, now time.Time) error {
	if _, err := algorithm(t["a"]); err != nil {
		return err
	}
	made, okT := timeTag(t, "t")
	ends, okX := timeTag(t, "x")
	switch {
	case !okT || !okX:
		return failed(PermError, "a time in the signature is none")
	case !ends.IsZero() && ends.Before(made):
		return failed(PermError, "the signature ends before it begins")
	case !ends.IsZero() && now.After(ends.Add(clockSkew)):
		return failed(Fail, "the signature has expired")
	case made.After(now.Add(24 * clockSkew)):
		return failed(PermError, "the signature is of the future")
	}
	// RFC 6376 §8.2: with l= anything may be added to the text, and shown
	// instead of it.
	if _, ok := t["l"]; ok {
		return failed(Policy, "the signature covers only the beginning of the text (l=)")
	}
	return nil
}

func timeTag(t tags, name string) (at time.Time, ok bool) {
	v, there := t[name]
	if !there {
		return at, true
	}
	n, err := strconv.ParseInt(noSpace(v), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return at, false
	}
	return time.Unix(n, 0), true
}

// within tells whether a domain is parent or below it.
func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// check verifies the signature with its key.
func (s *signature) check(k *publicKey, h *header, body []byte) error {
	algo, err := algorithm(s.Algorithm)
	s.Bits = k.bits
	switch {
	case err != nil:
		return err
	case algo != k.algorithm:
		return failed(PermError, "signature and key are of different algorithms")
	case k.hashes != nil && !slices.Contains(k.hashes, "sha256"):
		return failed(PermError, "the key is not for SHA-256")
	case k.strict && s.Identity != "" && !strings.HasSuffix(s.Identity, "@"+s.Domain):
		return failed(PermError, "the key is not for subdomains")
	case !bytes.Equal(s.bh, body):
		return failed(Fail, "the text was changed after it was signed")
	case !k.verify(h.hash(s.headers, s.canon.header, emptyB(s.raw)), s.sig):
		return failed(Fail, "the header was changed after it was signed, or the key is another")
	}
	return nil
}

// outcome puts the end of a verification into the result.
func (s *signature) outcome(err error, k *publicKey) {
	if err == nil {
		s.Result = Pass
		return
	}
	f := err.(*failure)
	s.Result, s.Reason = f.value, f.reason
	if k != nil && k.testing && s.Result == Fail {
		// RFC 6376 §3.6.1: who tests is treated as unsigned. Signatures that
		// are good count all the same, as for everybody else: many a domain
		// has tested for years, and its mail would be refused for it.
		s.Result, s.Reason = Neutral, s.Reason+"; its domain is testing"
	}
}
