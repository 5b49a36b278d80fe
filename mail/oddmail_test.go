package mail

import (
	"bytes"
	"reflect"
	"testing"
	"testing/iotest"

	"postrider/internal/oddmail"
)

// TestOddMail holds the parser to its invariants on mail that is odd in many
// ways at once; what it makes of it is compared with Dovecot elsewhere.
func TestOddMail(t *testing.T) {
	for _, m := range oddmail.Messages() {
		meta := ParseBytes(m.Raw)
		if checkMeta(t, m.Raw, meta); t.Failed() {
			t.Fatalf("%s: %q\n%s", m.Name, m.Raw[:min(400, len(m.Raw))], dump(meta))
		}
		if got, err := DecodeMeta(meta.Encode()); err != nil || !reflect.DeepEqual(got, meta) {
			t.Errorf("%s: stored and read it is another: %v\n%s", m.Name, err, dump(got))
		}
		if len(m.Raw) > 4<<10 {
			continue
		}
		slow, err := Parse(iotest.OneByteReader(bytes.NewReader(m.Raw)))
		if err != nil || !reflect.DeepEqual(meta, slow) {
			t.Errorf("%s: read byte by byte it is another: %v", m.Name, err)
		}
	}
}
