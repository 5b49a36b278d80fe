package mailauth

import (
	"strconv"
	"strings"
	"time"

	"encoding/base64"

	"postrider/mail"
)

// Fields of an ARC set (RFC 8617 §4.1).
const (
	arcResults = "ARC-Authentication-Results"
	arcMessage = "ARC-Message-Signature"
	arcSeal    = "ARC-Seal"
)

// maxSets is how many sets a chain may have (RFC 8617 §4.2.1).
const maxSets = 50

// ARC is what became of a message's chain.
type ARC struct {
	Result  Value    `json:"result"`
	Reason  string   `json:"reason,omitempty"`
	Sealers []string `json:"sealers,omitempty"` // domains, the first sealer first

	results []string // what each sealer had found, as it stands
}

// arcSet is one set of a chain.
type arcSet struct {
	results, seal mail.Field
	message       *signature
	sealed        seal
	have          [3]int
}

// seal is an ARC-Seal.
type seal struct {
	domain, name, algorithm, cv string
	sig                         []byte
}

// chain is an ARC chain on its way through validation.
type chain struct {
	sets []*arcSet // by instance, from 1
	err  error
}

// parseChain finds the sets of a header; nil if there are none. What can be
// said without keys is said: the structure of RFC 8617 §5.2, steps 1 to 3.
func parseChain(h *header, now time.Time) *chain {
	n := max(len(h.all(strings.ToLower(arcResults))), len(h.all(strings.ToLower(arcMessage))), len(h.all(strings.ToLower(arcSeal))))
	if n == 0 {
		return nil
	}
	c := &chain{}
	if n > maxSets {
		c.err = failed(Fail, "the chain has more than %d sets", maxSets)
		return c
	}
	c.sets = make([]*arcSet, n)
	for i := range c.sets {
		c.sets[i] = &arcSet{}
	}
	for kind, name := range []string{arcResults, arcMessage, arcSeal} {
		for _, place := range h.all(strings.ToLower(name)) {
			if err := c.take(h.fields[place], kind, now); err != nil {
				c.err = err
				return c
			}
		}
	}
	for i, s := range c.sets {
		want := "pass"
		if i == 0 {
			want = "none"
		}
		switch {
		case s.have != [3]int{1, 1, 1}:
			c.err = failed(Fail, "set %d is not whole", i+1)
		case s.sealed.cv == "fail":
			c.err = failed(Fail, "%s found the chain broken", s.sealed.domain)
		case s.sealed.cv != want:
			c.err = failed(Fail, "seal %d says cv=%s", i+1, oneWord(s.sealed.cv))
		}
		if c.err != nil {
			return c
		}
	}
	return c
}

// take puts a field into its set.
func (c *chain) take(f mail.Field, kind int, now time.Time) error {
	var t tags
	var err error
	if len(f.Raw) > maxSigField {
		return failed(Fail, "%s is too long", f.Name)
	}
	if kind == 0 {
		// Only its first tag is one; the rest is an Authentication-Results.
		first, _, _ := strings.Cut(f.Value(), ";")
		t, err = parseTags(first)
	} else {
		t, err = parseTags(f.Value())
	}
	i, errI := strconv.Atoi(noSpace(t["i"]))
	if err != nil || errI != nil || i < 1 || i > len(c.sets) {
		return failed(Fail, "an %s has no instance of the chain", f.Name)
	}
	s := c.sets[i-1]
	s.have[kind]++
	switch kind {
	case 0:
		s.results = f
	case 1:
		s.message, err = parseSignature(f, true, now)
		if err != nil {
			s.message.Reason = err.Error()
		}
	case 2:
		s.seal = f
		s.sealed, err = parseSeal(t)
		return err
	}
	return nil
}

// parseSeal reads an ARC-Seal (RFC 8617 §4.1.3).
func parseSeal(t tags) (seal, error) {
	s := seal{algorithm: noSpace(t["a"]), cv: strings.ToLower(noSpace(t["cv"]))}
	if _, ok := t["h"]; ok {
		return s, failed(Fail, "a seal has a tag h")
	}
	var err error
	if s.domain, err = mail.DomainKey(noSpace(t["d"])); err != nil || strings.HasPrefix(s.domain, "[") {
		return s, failed(Fail, "a seal names no domain")
	}
	if s.name, err = keyName(noSpace(t["s"]), s.domain); err != nil {
		return s, failed(Fail, "a seal names no selector")
	}
	if _, err := algorithm(s.algorithm); err != nil {
		return s, failed(Fail, "a seal is not trusted: %v", err)
	}
	if s.sig, err = base64.StdEncoding.DecodeString(noSpace(t["b"])); err != nil || len(s.sig) == 0 {
		return s, failed(Fail, "a seal is no base64")
	}
	return s, nil
}

// keys are the names of the keys that validation needs: of every seal, and of
// the newest message signature. The older ones fail as soon as anybody changes
// anything, and prove no less by that.
func (c *chain) keys() []string {
	if c.err != nil {
		return nil
	}
	var names []string
	for _, s := range c.sets {
		names = append(names, s.sealed.name)
	}
	if m := c.sets[len(c.sets)-1].message; m.Reason == "" {
		names = append(names, m.name)
	}
	return names
}

// newest is the signature over the message as it came.
func (c *chain) newest() *signature {
	if c.err != nil || c.sets[len(c.sets)-1].message.Reason != "" {
		return nil
	}
	return c.sets[len(c.sets)-1].message
}

// validate is RFC 8617 §5.2 from step 4 on.
func (c *chain) validate(h *header, body func(canon) []byte, key func(name string) (*publicKey, error)) ARC {
	a := ARC{Result: Pass}
	for _, s := range c.sets {
		a.Sealers = append(a.Sealers, s.sealed.domain)
		a.results = append(a.results, s.results.Value())
	}
	err := c.err
	if err == nil {
		err = c.checkMessage(h, body, key)
	}
	for i := len(c.sets); err == nil && i > 0; i-- {
		err = c.checkSeal(i, key)
	}
	if err == nil {
		return a
	}
	f := err.(*failure)
	if a.Result, a.Reason = Fail, f.reason; f.value == TempError {
		a.Result = TempError
	}
	return a
}

func (c *chain) checkMessage(h *header, body func(canon) []byte, key func(string) (*publicKey, error)) error {
	s := c.newest()
	if s == nil {
		return failed(Fail, "%s", c.sets[len(c.sets)-1].message.Reason)
	}
	k, err := key(s.name)
	if err != nil {
		return err
	}
	return s.check(k, h, body(s.canon))
}

// checkSeal verifies seal i, which covers all sets up to its own.
func (c *chain) checkSeal(i int, key func(string) (*publicKey, error)) error {
	s := c.sets[i-1]
	k, err := key(s.sealed.name)
	if err != nil {
		return err
	}
	if a, _ := algorithm(s.sealed.algorithm); a != k.algorithm {
		return failed(Fail, "seal %d and its key are of different algorithms", i)
	}
	if !k.verify(sealHash(c.sets[:i-1], s.results.Raw, s.message.raw, emptyB(s.seal.Raw)), s.sealed.sig) {
		return failed(Fail, "seal %d of %s is broken", i, s.sealed.domain)
	}
	return nil
}

// sealHash hashes what a seal covers: the sets before it, then its own (RFC
// 8617 §5.1.1).
func sealHash(before []*arcSet, results, message, own []byte) []byte {
	return hashFields(func(yield func([]byte)) {
		for _, s := range before {
			yield(s.results.Raw)
			yield(s.message.raw)
			yield(s.seal.Raw)
		}
		yield(results)
		yield(message)
		yield(own)
	})
}
