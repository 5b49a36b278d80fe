package mailauth

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"slices"
	"strings"

	"postrider/mail"
)

const (
	minRSABits = 1024 // RFC 8301 §3.2
	maxRSABits = 8192 // beyond that verifying costs too much
)

// publicKey is a key record (RFC 6376 §3.6.1).
type publicKey struct {
	algorithm string // "rsa" or "ed25519"
	key       crypto.PublicKey
	bits      int
	hashes    []string // nil allows all
	testing   bool     // t=y
	strict    bool     // t=s: i= must have d= itself
}

// parseKey reads a key record.
func parseKey(txt string) (*publicKey, error) {
	t, err := parseTags(txt)
	if err != nil {
		return nil, failed(PermError, "the key record is wrong: %v", err)
	}
	if v, ok := t["v"]; ok && v != "DKIM1" {
		return nil, failed(PermError, "the key record has version %q", v)
	}
	k := &publicKey{algorithm: "rsa", hashes: t.list("h")}
	if v, ok := t["k"]; ok {
		k.algorithm = v
	}
	for _, flag := range t.list("t") {
		k.testing = k.testing || flag == "y"
		k.strict = k.strict || flag == "s"
	}
	if s := t.list("s"); s != nil && !slices.Contains(s, "*") && !slices.Contains(s, "email") {
		return nil, failed(PermError, "the key is not for mail")
	}
	p, ok := t["p"]
	switch {
	case !ok:
		return nil, failed(PermError, "the key record has no key")
	case p == "":
		return nil, failed(PermError, "the key was revoked")
	}
	der, err := base64.StdEncoding.DecodeString(noSpace(p))
	if err != nil {
		return nil, failed(PermError, "the key is no base64")
	}
	return k, k.decode(der)
}

func (k *publicKey) decode(der []byte) error {
	switch k.algorithm {
	case "ed25519":
		if len(der) != ed25519.PublicKeySize { // RFC 8463 §4.2: the bare key
			return failed(PermError, "the Ed25519 key has %d bytes", len(der))
		}
		k.key, k.bits = ed25519.PublicKey(der), 256
		return nil
	case "rsa":
		// RFC 6376 §3.6.1 and its erratum 3017: both forms are met.
		pub, err := x509.ParsePKIXPublicKey(der)
		if err != nil {
			pub, err = x509.ParsePKCS1PublicKey(der)
		}
		key, ok := pub.(*rsa.PublicKey)
		if err != nil || !ok {
			return failed(PermError, "the key is no RSA key")
		}
		k.key, k.bits = key, key.N.BitLen()
		switch {
		case k.bits < minRSABits:
			return failed(Policy, "the key has %d bits, and less than %d can be broken", k.bits, minRSABits)
		case k.bits > maxRSABits:
			return failed(Policy, "the key has %d bits, more than %d", k.bits, maxRSABits)
		}
		return nil
	}
	return failed(PermError, "the key's algorithm is not known")
}

// SameKey tells whether a key record is good for signatures that another one is
// good for, whatever else stands in it.
func SameKey(record, other string) bool {
	a, errA := parseKey(record)
	b, errB := parseKey(other)
	if errA != nil || errB != nil || a.hashes != nil && !slices.Contains(a.hashes, "sha256") {
		return false
	}
	key, ok := a.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && a.algorithm == b.algorithm && key.Equal(b.key)
}

// verify checks a signature over a SHA-256 hash.
func (k *publicKey) verify(hashed, sig []byte) bool {
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, crypto.SHA256, hashed, sig) == nil
	case ed25519.PublicKey:
		return ed25519.Verify(key, hashed, sig) // RFC 8463 §3: over the hash
	}
	return false
}

// algorithm reads an a= tag.
func algorithm(a string) (string, error) {
	switch a = noSpace(a); a {
	case "rsa-sha256", "ed25519-sha256":
		return strings.TrimSuffix(a, "-sha256"), nil
	case "rsa-sha1":
		return "", failed(Policy, "SHA-1 can be forged") // RFC 8301 §3.1
	}
	return "", failed(PermError, "the algorithm is not known")
}

// keyName is where the key of a selector is published, by A-labels (RFC 8616
// §4). It fails for what is no name.
func keyName(selector, domain string) (string, error) {
	name := selector + "._domainkey." + domain
	key, err := mail.DomainKey(name)
	if err != nil || strings.HasPrefix(key, "[") || len(key) > 253 {
		return "", failed(PermError, "selector or domain is no name")
	}
	return key, nil
}

// findKey looks a key up. Of several records the one that has a key counts; a
// domain with a wildcard has others.
func findKey(ctx context.Context, r Resolver, name string) (*publicKey, error) {
	txts, _, err := r.TXT(ctx, name)
	if err != nil && !nothing(err) {
		return nil, failed(TempError, "the key could not be looked up")
	}
	var keys []string
	for _, txt := range txts {
		if t, err := parseTags(txt); err == nil {
			if _, ok := t["p"]; ok {
				keys = append(keys, txt)
			}
		}
	}
	switch {
	case len(keys) == 1:
		return parseKey(keys[0])
	case len(keys) > 1:
		return nil, failed(PermError, "there are several keys at %s", name)
	case len(txts) > 0:
		return parseKey(txts[0])
	}
	return nil, failed(PermError, "there is no key at %s", name)
}
