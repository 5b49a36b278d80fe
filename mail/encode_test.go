package mail

import (
	"bytes"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// What older versions stored stays readable: testdata/meta-1.bin was written
// by the first version of the format and is never written anew.
func TestDecodeOldMeta(t *testing.T) {
	stored, err := os.ReadFile("testdata/meta-1.bin")
	if err != nil {
		t.Fatal(err)
	}
	_, want := parseFile(t, "content-fields")
	for i := range want.Root.Parts {
		want.Root.Parts[i].Empty = 0 // which version 1 did not have
	}
	got, err := DecodeMeta(stored)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, got\n%swant\n%s", err, dump(got), dump(want))
	}
}

func TestDecodeDamagedMeta(t *testing.T) {
	_, m := parseFile(t, "nested")
	raw := m.Encode()
	for n := range raw {
		if _, err := DecodeMeta(raw[:n]); err == nil {
			t.Errorf("%d bytes of %d: no error", n, len(raw))
		}
	}
	if _, err := DecodeMeta(append(bytes.Clone(raw), 0)); err == nil {
		t.Error("a byte too many: no error")
	}
	raw[0]++
	if _, err := DecodeMeta(raw); err == nil {
		t.Error("a newer version: no error")
	}
}

// An ordinary message's metadata is small.
func TestEncodeSize(t *testing.T) {
	_, m := parseFile(t, "nested")
	if n := len(m.Encode()); n > 250 {
		t.Errorf("%d bytes", n)
	}
}

func TestParseReadError(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"", "Subject: x", "Subject: x\r\n\r\nbody", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"} {
		m, err := Parse(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)))
		if m != nil || !errors.Is(err, broken) {
			t.Errorf("%q: %v, %v", in, m, err)
		}
	}
}
