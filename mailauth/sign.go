package mailauth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Algorithms of keys that we make.
const (
	RSA     = "rsa"
	Ed25519 = "ed25519"
)

const ourRSABits = 2048 // RFC 8301 §3.2; what fits a UDP answer everywhere

// signed are the fields that we sign, and then once more than they stand
// there, so that nobody adds another. They are those of RFC 6376 §5.4.1 that
// readers see or act on. List- and Resent- fields belong to who sends on.
var signed = []string{"From", "To", "Cc", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References",
	"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}

// signedOnce are signed if they are there, and may be added to.
var signedOnce = []string{"Sender", "Content-Disposition", "Content-ID", "Content-Description", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Id", "Autocrypt"}

// Key signs for a domain.
type Key struct {
	Domain, Selector string
	algorithm        string
	signer           crypto.Signer
}

// NewKey makes a private key, in PKCS #8.
func NewKey(algorithm string) ([]byte, error) {
	var key any
	var err error
	switch algorithm {
	case RSA:
		key, err = rsa.GenerateKey(rand.Reader, ourRSABits)
	case Ed25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("mailauth: no algorithm %q", algorithm)
	}
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

// ParseKey reads a private key that NewKey made.
func ParseKey(domain, selector string, pkcs8 []byte) (*Key, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return nil, fmt.Errorf("mailauth: key of %s: %w", selector, err)
	}
	k := &Key{Domain: domain, Selector: selector}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		k.algorithm, k.signer = RSA, key
	case ed25519.PrivateKey:
		k.algorithm, k.signer = Ed25519, key
	default:
		return nil, fmt.Errorf("mailauth: key of %s is a %T", selector, key)
	}
	return k, nil
}

// Algorithm is RSA or Ed25519.
func (k *Key) Algorithm() string { return k.algorithm }

// Record is what to publish of the key (RFC 6376 §3.6.1, RFC 8463 §4).
func (k *Key) Record() string {
	var der []byte
	switch pub := k.signer.Public().(type) {
	case ed25519.PublicKey:
		der = pub
	default:
		der, _ = x509.MarshalPKIXPublicKey(pub)
	}
	return "v=DKIM1; k=" + k.algorithm + "; p=" + base64.StdEncoding.EncodeToString(der)
}

// RecordName is where to publish it.
func (k *Key) RecordName() string { return k.Selector + "._domainkey." + k.Domain }

func (k *Key) sign(hashed []byte) ([]byte, error) {
	if k.algorithm == Ed25519 {
		return k.signer.Sign(rand.Reader, hashed, crypto.Hash(0))
	}
	return k.signer.Sign(rand.Reader, hashed, crypto.SHA256)
}

// signedNames is h= for a header: what is there, from the bottom up, and one
// more of what nobody is to add.
func (h *header) signedNames() []string {
	var names []string
	for _, n := range signed {
		for range len(h.all(strings.ToLower(n))) + 1 {
			names = append(names, n)
		}
	}
	for _, n := range signedOnce {
		for range h.all(strings.ToLower(n)) {
			names = append(names, n)
		}
	}
	return names
}

// Body is the text of a message behind its header.
type Body = io.Reader

// Sign returns the DKIM-Signature fields of a message, one for each key. Header
// is its header in the pieces that it is made of; the body is read once.
func Sign(keys []*Key, now time.Time, body Body, parts ...[]byte) ([]byte, error) {
	bh := newBodyHash(true)
	if _, err := io.Copy(bh, body); err != nil {
		return nil, err
	}
	sum := base64.StdEncoding.EncodeToString(bh.sum())
	h := parseHeader(parts...)
	names := h.signedNames()
	var out []byte
	for _, k := range keys {
		f := newSigned(dkimField)
		f.tag("v", "1")
		f.tag("a", k.algorithm+"-sha256")
		f.tag("c", "relaxed/relaxed")
		f.tag("d", k.Domain)
		f.tag("s", k.Selector)
		f.tag("t", strconv.FormatInt(now.Unix(), 10))
		f.tag("h", strings.Join(names, ":"))
		f.tag("bh", sum)
		field, err := f.sign(k, func(own []byte) []byte { return h.hash(names, true, own) })
		if err != nil {
			return nil, err
		}
		out = append(out, field...)
	}
	return out, nil
}

// signedField is a field of tags whose last is b=.
type signedField struct {
	b     strings.Builder
	width int
}

const foldAt = 76

func newSigned(name string) *signedField {
	f := &signedField{}
	f.b.WriteString(name + ":")
	f.width = len(name) + 1
	return f
}

// tag adds a tag. Lists are folded at their colons and base64 anywhere, which
// is where white space does not count (RFC 6376 §3.5).
func (f *signedField) tag(name, value string) {
	switch name {
	case "h":
		f.word(" h=")
		for value != "" {
			n := strings.IndexByte(value, ':') + 1
			if n == 0 {
				n = len(value)
			}
			f.word(value[:n])
			value = value[n:]
		}
		f.word(";")
	case "bh":
		f.word(" bh=")
		f.code(value)
		f.word(";")
	default:
		f.word(" " + name + "=" + value + ";")
	}
}

// code adds base64.
func (f *signedField) code(s string) {
	for s != "" {
		n := min(len(s), foldAt-f.width)
		if n <= 0 {
			f.fold()
			continue
		}
		f.b.WriteString(s[:n])
		f.width += n
		s = s[n:]
	}
}

func (f *signedField) word(s string) {
	if f.width+len(s) > foldAt {
		f.fold()
		s = strings.TrimPrefix(s, " ")
	}
	f.b.WriteString(s)
	f.width += len(s)
}

func (f *signedField) fold() {
	f.b.WriteString("\r\n\t")
	f.width = 8
}

// sign ends the field with its signature over what hash makes of it.
func (f *signedField) sign(k *Key, hash func(own []byte) []byte) ([]byte, error) {
	f.word(" b=")
	sig, err := k.sign(hash([]byte(f.b.String() + "\r\n")))
	if err != nil {
		return nil, err
	}
	f.code(base64.StdEncoding.EncodeToString(sig))
	return []byte(f.b.String() + "\r\n"), nil
}

// AuthorDomain tells the domain that a header's author has, empty if there is not
// exactly one author's domain.
func AuthorDomain(rawHeader []byte) string {
	a := findAuthors(parseHeader(rawHeader))
	if a.fields == 1 && len(a.domains) == 1 {
		return a.domains[0]
	}
	return ""
}
