package mailauth

import (
	"errors"
	"fmt"

	"postrider/internal/resolve"
)

// Value is the result of a check (RFC 8601 §2.7).
type Value string

const (
	None      Value = "none"
	Pass      Value = "pass"
	Fail      Value = "fail"
	SoftFail  Value = "softfail"
	Neutral   Value = "neutral"
	Policy    Value = "policy" // it would pass, but we do not trust it
	TempError Value = "temperror"
	PermError Value = "permerror"
)

// failure is why something did not pass.
type failure struct {
	value  Value
	reason string
}

func (f *failure) Error() string { return f.reason }

func failed(v Value, format string, args ...any) *failure {
	return &failure{v, fmt.Sprintf(format, args...)}
}

// nothing tells whether an error of a look-up means, for certain, that there
// is nothing of that name; any other error is temporary.
func nothing(err error) bool {
	return errors.Is(err, resolve.ErrNoDomain) || errors.Is(err, resolve.ErrBadName)
}
