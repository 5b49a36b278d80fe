package smtpd

import (
	"math"
	"strconv"
	"strings"

	"postrider/mail"
)

const (
	maxEnvID = 100 // RFC 3461 §4.4
	maxORcpt = 500 // RFC 3461 §4.2
)

var (
	errParamSyntax  = refuse(501, 5, 5, 4, "Bad parameter syntax")
	errParamTwice   = refuse(501, 5, 5, 4, "Parameter given twice")
	errParamUnknown = refuse(555, 5, 5, 4, "Parameter not recognized") // RFC 5321 §4.1.1.11
	errNoBinary     = refuse(555, 5, 6, 1, "BINARYMIME is not offered")
	errTooBig       = refuse(552, 5, 3, 4, "Message size exceeds the limit")
)

// param is an esmtp-param (RFC 5321 §4.1.2). Its name is in upper case.
type param struct {
	name, value string
	valued      bool // there was a "="
}

// parseParams reads the parameters of MAIL or RCPT.
func parseParams(s string) ([]param, error) {
	var ps []param
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' }) {
		name, value, valued := strings.Cut(word, "=")
		if !isKeyword(name) || valued && value == "" || strings.Contains(value, "=") {
			return nil, errParamSyntax
		}
		name = strings.ToUpper(name)
		for _, p := range ps {
			if p.name == name {
				return nil, errParamTwice
			}
		}
		ps = append(ps, param{name, value, valued})
	}
	return ps, nil
}

func isKeyword(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		alnum := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alnum && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

// mailParams applies the parameters of MAIL.
func (tx *transaction) mailParams(s string, c *conn) error {
	ps, err := parseParams(s)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if err := tx.mailParam(p, c); err != nil {
			return err
		}
	}
	return nil
}

func (tx *transaction) mailParam(p param, c *conn) error {
	valid := true
	switch {
	case p.name == "SIZE":
		tx.size, valid = parseSize(p.value)
	case p.name == "BODY":
		return tx.body(p.value)
	case p.name == "SMTPUTF8":
		tx.env.UTF8, valid = true, !p.valued
	case p.name == "REQUIRETLS" && c.tls != nil: // RFC 8689 §2
		tx.env.RequireTLS, valid = true, !p.valued
	case p.name == "RET":
		tx.env.Ret = mail.Ret(strings.ToUpper(p.value))
		valid = tx.env.Ret == mail.RetFull || tx.env.Ret == mail.RetHeaders
	case p.name == "ENVID":
		tx.env.EnvID, valid = decodeXtext(p.value)
		valid = valid && p.valued && len(p.value) <= maxEnvID && isPrintable(tx.env.EnvID)
	case p.name == "AUTH" && c.o.Mode == Submission:
		// RFC 4954 §5: who submitted it first. Nobody is trusted to say so,
		// and then it counts as <>.
		_, valid = decodeXtext(p.value)
	default:
		return errParamUnknown
	}
	if !valid {
		return errParamSyntax
	}
	return nil
}

func (tx *transaction) body(value string) error {
	tx.env.Body = mail.BodyType(strings.ToUpper(value))
	switch tx.env.Body {
	case mail.Body7Bit, mail.Body8Bit:
		return nil
	case "BINARYMIME":
		return errNoBinary
	}
	return errParamSyntax
}

// parseSize reads up to 20 digits (RFC 1870 §3); what does not fit 63 bits is
// as big as can be.
func parseSize(s string) (int64, bool) {
	if s == "" || len(s) > 20 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return math.MaxInt64, true
	}
	return n, true
}

// rcptParams applies the parameters of RCPT.
func rcptParams(r *mail.Recipient, s string) error {
	ps, err := parseParams(s)
	if err != nil {
		return err
	}
	for _, p := range ps {
		valid := true
		switch p.name {
		case "NOTIFY":
			r.Notify, valid = parseNotify(p.value)
		case "ORCPT":
			r.ORcpt, valid = parseORcpt(p.value)
		default:
			return errParamUnknown
		}
		if !valid {
			return errParamSyntax
		}
	}
	return nil
}

// parseNotify reads NEVER, or a list of the other three (RFC 3461 §4.1).
func parseNotify(s string) (mail.Notify, bool) {
	if strings.EqualFold(s, "NEVER") {
		return mail.NotifyNever, true
	}
	var n mail.Notify
	for word := range strings.SplitSeq(s, ",") {
		switch strings.ToUpper(word) {
		case "SUCCESS":
			n |= mail.NotifySuccess
		case "FAILURE":
			n |= mail.NotifyFailure
		case "DELAY":
			n |= mail.NotifyDelay
		default:
			return 0, false
		}
	}
	return n, true
}

// parseORcpt reads "type;xtext" (RFC 3461 §4.2, RFC 6533 §3).
func parseORcpt(s string) (string, bool) {
	kind, addr, found := strings.Cut(s, ";")
	addr, valid := decodeXtext(addr)
	ok := found && valid && isKeyword(kind) && addr != "" && len(s) <= maxORcpt && isPrintable(addr)
	return kind + ";" + addr, ok
}

// decodeXtext decodes "+" and two hexadecimal digits (RFC 3461 §4).
func decodeXtext(s string) (string, bool) {
	if !strings.Contains(s, "+") {
		return s, true
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '+' {
			b.WriteByte(s[i])
			continue
		}
		if i+3 > len(s) {
			return "", false
		}
		c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), true
}

// isPrintable keeps what xtext can smuggle, line ends above all, out of the
// notices that these values are copied to.
func isPrintable(s string) bool {
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfffd {
			return false
		}
	}
	return true
}
