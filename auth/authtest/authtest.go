// Package authtest gives tests credentials that cost next to nothing to check.
package authtest

import (
	"encoding/base64"
	"fmt"
	"sync"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"postrider/auth"
	"postrider/store"
)

var (
	mu   sync.Mutex
	made = map[string]store.Credential{}
)

// Credential is what auth.NewCredential makes of a password, but its argon2id
// hash has the least parameters that there are (RFC 9106 §3.1). It is made
// once; who gets it must not change it.
func Credential(t testing.TB, password string) store.Credential {
	t.Helper()
	mu.Lock()
	defer mu.Unlock()
	if c, ok := made[password]; ok {
		return c
	}
	c, err := auth.NewCredential(password)
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := precis.OpaqueString.String(password)
	if err != nil {
		t.Fatal(err)
	}
	const memory, time, threads, salt = 8, 1, 1, "not random"
	key := argon2.IDKey([]byte(prepared), []byte(salt), time, memory, threads, 32)
	b64 := base64.RawStdEncoding
	c.Argon2id = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memory, time, threads,
		b64.EncodeToString([]byte(salt)), b64.EncodeToString(key))
	made[password] = c
	return c
}
