// Package certstest has a certificate authority for tests: Pebble, the ACME
// server that its authors test clients with, in the test's own process.
package certstest

import (
	"crypto/x509"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

// Authority runs an ACME server that looks names up at resolver and connects to
// these ports. A bound one wants accounts bound to the key "kid-1".
func Authority(t *testing.T, resolver string, httpPort, tlsPort int, bound bool) (directory string, client *http.Client, root *x509.Certificate) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "0")
	quiet := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	if bound {
		if err := store.AddExternalAccountKeyByID("kid-1", base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))); err != nil {
			t.Fatal(err)
		}
	}
	issuer := ca.New(quiet, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: 90 * 86400}})
	front := wfe.New(quiet, store, va.New(quiet, httpPort, tlsPort, false, resolver, store), issuer, []string{"pebble.test"}, false, bound, 1, 1)
	s := httptest.NewUnstartedServer(front.Handler())
	s.Config.ErrorLog = quiet
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL + wfe.DirectoryPath, s.Client(), s.Certificate()
}
