package mailauth

import (
	"crypto/sha256"
	"encoding/base64"
	"io"
	"strconv"
	"strings"
	"time"
)

// hashFields hashes fields in the relaxed form, the last one without its line
// end.
func hashFields(each func(yield func([]byte))) []byte {
	sum := sha256.New()
	var held []byte
	each(func(raw []byte) {
		sum.Write(held)
		held = canonField(held[:0], raw, true)
	})
	sum.Write(held[:len(held)-2])
	return sum.Sum(nil)
}

// Seal returns the ARC set that says what we found in a message before we
// sent it on (RFC 8617 §5.1): id is our authserv-id, results are what stands
// behind it. A chain that is broken gets a last seal that says so and covers
// only itself; one that somebody has closed so, or that is full, is left
// alone, and the set is empty.
func Seal(k *Key, now time.Time, id, results string, found ARC, body io.Reader, parts ...[]byte) ([]byte, error) {
	h := parseHeader(parts...)
	c := parseChain(h, now)
	n, cv := 1, string(None)
	var before []*arcSet
	if c != nil {
		n, cv = len(c.sets)+1, string(Pass)
		before = c.sets
		if c.err != nil || found.Result != Pass {
			cv, before = string(Fail), nil
		}
		if n == 1 || n > maxSets || c.closed() || found.Result == TempError {
			return nil, nil
		}
	}
	bh := newBodyHash(true)
	if _, err := io.Copy(bh, body); err != nil {
		return nil, err
	}
	i := strconv.Itoa(n)
	head := []byte(foldResults(arcResults, "i="+i+"; "+id, results))

	m := newSigned(arcMessage)
	m.tag("i", i)
	m.tag("a", k.algorithm+"-sha256")
	m.tag("c", "relaxed/relaxed")
	m.tag("d", k.Domain)
	m.tag("s", k.Selector)
	m.tag("t", strconv.FormatInt(now.Unix(), 10))
	names := append(h.signedNames(), repeat(dkimField, len(h.all(strings.ToLower(dkimField))))...)
	m.tag("h", strings.Join(names, ":"))
	m.tag("bh", base64.StdEncoding.EncodeToString(bh.sum()))
	message, err := m.sign(k, func(own []byte) []byte { return h.hash(names, true, own) })
	if err != nil {
		return nil, err
	}

	s := newSigned(arcSeal)
	s.tag("i", i)
	s.tag("a", k.algorithm+"-sha256")
	s.tag("cv", cv)
	s.tag("d", k.Domain)
	s.tag("s", k.Selector)
	s.tag("t", strconv.FormatInt(now.Unix(), 10))
	sealed, err := s.sign(k, func(own []byte) []byte { return sealHash(before, head, message, own) })
	if err != nil {
		return nil, err
	}
	return append(append(sealed, message...), head...), nil
}

// closed tells whether somebody has sealed the chain as broken (RFC 8617
// §5.1.2).
func (c *chain) closed() bool {
	for _, s := range c.sets {
		if s.sealed.cv == "fail" {
			return true
		}
	}
	return false
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}
