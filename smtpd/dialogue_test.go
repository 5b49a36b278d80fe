package smtpd

import (
	"testing"

	"postrider/internal/wiretest"
)

func TestDialogues(t *testing.T) {
	wiretest.Dir(t, "testdata", func(t *testing.T) *wiretest.Env {
		return &wiretest.Env{Dial: newSite(t, Timeouts{}).dial(), TLS: clientTLS()}
	})
}

// dialogueInputs is what clients say in the dialogues.
func dialogueInputs(f *testing.F) [][]byte { return wiretest.Inputs(f, "testdata") }
