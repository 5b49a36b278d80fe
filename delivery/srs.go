package delivery

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"postrider/mail"
	"postrider/store"
)

// The sender rewriting scheme. Mail that an alias sends on comes from here, and
// SPF of its sender's domain does not allow that (RFC 7208 appendix D.3). So it
// gets an envelope sender of ours that holds the true one:
//
//	SRS0=hash=day=domain=local@ours          for local@domain
//	SRS1=hash=first==rest@ours               for SRS0=rest@first, or SRS1=x=first==rest
//
// A notice to that address goes back to the true sender. The hash proves that
// we made it, so that nobody relays by it; the day ends it. Only SRS0 has the
// day: whom SRS1 leads to checks it.
const (
	srs0, srs1 = "SRS0", "SRS1"

	srsSecret = "srs" // name of the key in the store
	srsDays   = 21    // for which an address is good; a queue keeps mail for 5
	srsEpoch  = 1024  // days are counted modulo this, in two digits of base 32
	maxSRS    = 255   // of the local part
)

var srsDigits = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// srs makes and reads addresses. A key of its own is made at the first use.
type srs struct {
	key []byte
	now func() time.Time
}

func (d *Deliverer) srs(ctx context.Context) (*srs, error) {
	key, err := d.o.Store.Secret(ctx, srsSecret, 32)
	return &srs{key, d.o.Now}, err
}

// hash is the first 40 bits of the HMAC. Some servers change the case of local
// parts, so it has one case and covers none. Neither kind passes for the other.
func (s *srs) hash(kind, text string) string {
	h := hmac.New(sha256.New, s.key)
	h.Write([]byte(kind + strings.ToLower(text)))
	return srsDigits.EncodeToString(h.Sum(nil)[:5])
}

func srsDay(t time.Time) int { return int(t.Unix() / 86400 % srsEpoch) }

func srsStamp(day int) string {
	const digits = "abcdefghijklmnopqrstuvwxyz234567"
	return string([]byte{digits[day>>5], digits[day&31]})
}

// forward returns the sender under which a domain of ours sends mail of a on,
// and a itself if that has no such form.
func (s *srs) forward(a mail.Address, ours string) mail.Address {
	if a.IsZero() || a.Domain == "" || strings.HasPrefix(a.Domain, "[") {
		return a
	}
	domain, err := mail.DomainKey(a.Domain)
	if err != nil {
		return a
	}
	local := ""
	switch kind, rest := srsKind(a.Local); kind {
	case srs0:
		text := domain + "=" + rest
		local = srs1 + "=" + s.hash(srs1, text) + "=" + text
	case srs1:
		_, text, ok := cutSRS(rest[1:])
		if !ok {
			return a
		}
		local = srs1 + "=" + s.hash(srs1, text) + "=" + text
	default:
		text := srsStamp(srsDay(s.now())) + "=" + domain + "=" + a.Local
		local = srs0 + "=" + s.hash(srs0, text) + "=" + text
	}
	if len(local) > maxSRS {
		return a
	}
	return mail.Address{Local: local, Domain: ours}
}

// back returns whom an address of ours stands for; ok is false if we did not
// make it, or too long ago.
func (s *srs) back(local string) (a mail.Address, ok bool) {
	kind, rest := srsKind(local)
	if kind == "" {
		return a, false
	}
	hash, text, ok := cutSRS(rest[1:])
	if !ok || !hmac.Equal([]byte(strings.ToLower(hash)), []byte(s.hash(kind, text))) {
		return a, false
	}
	if kind == srs1 {
		domain, rest, ok := strings.Cut(text, "=")
		first, _ := srsKind(srs0 + rest)
		return srsAddress(srs0+rest, domain, ok && first == srs0)
	}
	stamp, text, ok := cutSRS(text)
	if !ok || !s.fresh(strings.ToLower(stamp)) {
		return a, false
	}
	domain, local, ok := cutSRS(text)
	return srsAddress(local, domain, ok)
}

func srsAddress(local, domain string, ok bool) (mail.Address, bool) {
	a, err := mail.ParseAddress(mail.Address{Local: local, Domain: domain}.String())
	return a, ok && err == nil
}

func (s *srs) fresh(stamp string) bool {
	today := srsDay(s.now())
	for age := range srsDays + 1 {
		if srsStamp((today-age+srsEpoch)%srsEpoch) == stamp {
			return true
		}
	}
	return srsStamp((today+1)%srsEpoch) == stamp // a clock that is ahead
}

// srsKind tells which kind of address a local part is, and what follows, which
// begins with the separator: "=", or what others have.
func srsKind(local string) (kind, rest string) {
	if len(local) < 6 || !strings.ContainsRune("=+-", rune(local[4])) {
		return "", ""
	}
	switch kind = strings.ToUpper(local[:4]); kind {
	case srs0, srs1:
		return kind, local[4:]
	}
	return "", ""
}

func cutSRS(s string) (head, tail string, ok bool) {
	head, tail, ok = strings.Cut(s, "=")
	return head, tail, ok && head != "" && tail != ""
}

// Origin is whom a notice to a is for: who stands behind it if it is an address
// that we made for mail that was sent on, and a itself if not.
func (d *Deliverer) Origin(ctx context.Context, a mail.Address) mail.Address {
	if to, ok, err := d.origin(ctx, a, true); ok && err == nil {
		return to
	}
	return a
}

// origin finds whom a notice to an address of ours goes back to; ok is false if
// it is no such address. Only notices have the null sender; other mail is not
// sent on: NotFound.
func (d *Deliverer) origin(ctx context.Context, a mail.Address, notice bool) (to mail.Address, ok bool, err error) {
	if kind, _ := srsKind(a.Local); kind == "" {
		return to, false, nil
	}
	ours, err := d.o.Store.Ours(ctx, a.Domain)
	if err != nil || !ours {
		return to, false, err
	}
	s, err := d.srs(ctx)
	if err != nil {
		return to, false, err
	}
	to, ok = s.back(a.Local)
	if ok && !notice {
		return to, false, store.Errorf(store.NotFound, "route", "the address is for notices only")
	}
	return to, ok, nil
}
