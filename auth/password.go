package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/scram"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/secure/precis"

	"postrider/store"
)

// The cost of a new hash. Raising it leaves older hashes valid, since each
// carries its own.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16
	argonKey     = 32

	scramSalt       = 16
	scramIterations = 15000 // RFC 7677 §4 wants 4096 at least
)

// The most that a stored hash may ask for, so that a damaged row cannot ask
// for all memory.
const (
	maxArgonMemory  = 1 << 20 // KiB
	maxArgonTime    = 64
	maxArgonThreads = 16
)

// prepare brings a password to the form that is hashed (RFC 8265 §4.2).
func prepare(password string) (string, error) {
	if len(password) > maxPassword || !utf8.ValidString(password) {
		return "", errors.New("too long or not UTF-8")
	}
	return precis.OpaqueString.String(password)
}

// NewCredential makes what is stored of a password. It is Invalid if the
// password is empty, longer than 1024 bytes, not UTF-8 or holds control
// characters.
func NewCredential(password string) (store.Credential, error) {
	p, err := prepare(password)
	if err != nil {
		return store.Credential{}, &store.Error{Kind: store.Invalid, Op: "set password", Err: err}
	}
	// User and authorization identity do not enter the stored keys
	// (RFC 5802 §3), and p is prepared already.
	client, err := scram.SHA256.NewClientUnprepped("", p, "")
	if err != nil {
		return store.Credential{}, &store.Error{Kind: store.Internal, Op: "set password", Err: err}
	}
	kf := scram.KeyFactors{Salt: string(random(scramSalt)), Iters: scramIterations}
	keys, err := client.GetStoredCredentialsWithError(kf)
	if err != nil {
		return store.Credential{}, &store.Error{Kind: store.Internal, Op: "set password", Err: err}
	}
	defer tidy()
	return store.Credential{
		Argon2id:  newPHC().fill(p).String(),
		ScramSalt: []byte(kf.Salt), ScramIterations: kf.Iters,
		StoredKey: keys.StoredKey, ServerKey: keys.ServerKey,
	}, nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// phc is an argon2id hash with its parameters, in the PHC string format.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, key    []byte
}

var phcBase64 = base64.RawStdEncoding.Strict()

func newPHC() phc {
	return phc{memory: argonMemory, time: argonTime, threads: argonThreads, salt: random(argonSalt)}
}

// dummyHash is a hash of the usual cost that fits no password: its key is
// no hash at all.
func dummyHash() string {
	p := newPHC()
	p.key = random(argonKey)
	return p.String()
}

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		phcBase64.EncodeToString(p.salt), phcBase64.EncodeToString(p.key))
}

func parsePHC(s string) (phc, error) {
	var p phc
	var version int
	f := strings.Split(s, "$")
	if len(f) != 6 || f[0] != "" || f[1] != "argon2id" {
		return p, errors.New("not an argon2id hash")
	}
	if _, err := fmt.Sscanf(f[2], "v=%d", &version); err != nil || version != argon2.Version {
		return p, errors.New("another version of argon2")
	}
	if _, err := fmt.Sscanf(f[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); err != nil {
		return p, errors.New("argon2id parameters do not parse")
	}
	if p.memory > maxArgonMemory || p.time < 1 || p.time > maxArgonTime || p.threads < 1 || p.threads > maxArgonThreads {
		return p, errors.New("argon2id parameters out of range")
	}
	var err error
	if p.salt, err = phcBase64.DecodeString(f[4]); err != nil || len(p.salt) < 8 {
		return p, errors.New("argon2id salt does not parse")
	}
	if p.key, err = phcBase64.DecodeString(f[5]); err != nil || len(p.key) < 16 || len(p.key) > 64 {
		return p, errors.New("argon2id key does not parse")
	}
	return p, nil
}

func (p phc) hash(password string, keyLen int) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, uint32(keyLen))
}

// fill returns p with the key that password gives.
func (p phc) fill(password string) phc {
	p.key = p.hash(password, argonKey)
	return p
}

func (p phc) matches(password string) bool {
	return subtle.ConstantTimeCompare(p.hash(password, len(p.key)), p.key) == 1
}
