package mail

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

var update = flag.Bool("update", false, "write the trees of testdata/odd anew")

// TestOdd parses messages that are odd in one way each and compares with the
// tree beside them.
func TestOdd(t *testing.T) {
	files, err := filepath.Glob("testdata/odd/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal("no messages", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".eml"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			checkMeta(t, raw, m)
			slow, err := Parse(iotest.OneByteReader(bytes.NewReader(raw)))
			if err != nil || !reflect.DeepEqual(m, slow) {
				t.Errorf("read byte by byte: %v\n%s", err, dump(slow))
			}
			got, golden := dump(m), strings.TrimSuffix(file, ".eml")+".tree"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || got != string(want) {
				t.Errorf("%v, got\n%swant\n%s", err, got, want)
			}
		})
	}
}

// checkMeta checks what must hold for every message.
func checkMeta(t *testing.T, raw []byte, m *Meta) {
	t.Helper()
	if m.Size != int64(len(raw)) {
		t.Errorf("size %d, want %d", m.Size, len(raw))
	}
	if n := HeaderSize(raw); int64(n) != m.Root.Header.Size {
		t.Errorf("header of %d bytes, HeaderSize %d", m.Root.Header.Size, n)
	}
	if end := m.Root.Body.Offset + m.Root.Body.Size; end != m.Size {
		t.Errorf("the body ends at %d of %d", end, m.Size)
	}
	checkPart(t, raw, &m.Root, Extent{0, m.Size})
	again, err := DecodeMeta(m.Encode())
	if err != nil || !reflect.DeepEqual(m, again) {
		t.Errorf("Encode and DecodeMeta: %v\n%s", err, dump(again))
	}
}

// checkPart checks that extents lie inside each other in order, and lines.
func checkPart(t *testing.T, raw []byte, p *Part, in Extent) {
	t.Helper()
	switch {
	case p.Header.Offset < in.Offset || p.Header.Size < 0 || p.Body.Size < 0,
		p.Body.Offset != p.Header.Offset+p.Header.Size,
		p.Body.Offset+p.Body.Size > in.Offset+in.Size:
		t.Fatalf("part %v %v outside of %v", p.Header, p.Body, in)
	}
	body := raw[p.Body.Offset:][:p.Body.Size]
	if n := int64(bytes.Count(body, []byte("\n"))); n != p.Lines {
		t.Errorf("body at %d: %d lines, want %d", p.Body.Offset, p.Lines, n)
	}
	if (p.Type == "multipart") != (len(p.Parts) > 0) || p.isMessage() != (p.Message != nil) {
		t.Errorf("%s/%s has %d parts, message %v", p.Type, p.Subtype, len(p.Parts), p.Message != nil)
	}
	rest := p.Body
	for i := range p.Parts {
		c := &p.Parts[i]
		checkPart(t, raw, c, rest)
		end := c.Body.Offset + c.Body.Size
		rest = Extent{end, p.Body.Offset + p.Body.Size - end}
	}
	if p.Message != nil {
		checkPart(t, raw, &p.Message.Root, p.Body)
	}
}

// dump writes a tree, a part to a line.
func dump(m *Meta) string {
	if m == nil {
		return "nil\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "size %d\n", m.Size)
	dumpMessage(&b, "", &m.Envelope, &m.Root)
	return b.String()
}

func dumpMessage(b *strings.Builder, indent string, h *HeaderInfo, root *Part) {
	names := []string{"date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id", "references"}
	for i, f := range h.fields() {
		if *f != "" {
			fmt.Fprintf(b, "%s%s %q\n", indent, names[i], *f)
		}
	}
	if h.Empty != 0 {
		fmt.Fprintf(b, "%sempty %04b\n", indent, h.Empty)
	}
	dumpPart(b, indent, root)
}

func dumpPart(b *strings.Builder, indent string, p *Part) {
	fmt.Fprintf(b, "%s- %s/%s%s %s header %d+%d body %d+%d lines %d", indent, p.Type, p.Subtype, dumpParams(p.Params), p.Encoding,
		p.Header.Offset, p.Header.Size, p.Body.Offset, p.Body.Size, p.Lines)
	for _, f := range []struct{ name, value string }{{"id", p.ID}, {"description", p.Description}, {"md5", p.MD5}, {"location", p.Location}} {
		if f.value != "" {
			fmt.Fprintf(b, " %s=%q", f.name, f.value)
		}
	}
	if p.Disposition != "" {
		fmt.Fprintf(b, " %s%s", p.Disposition, dumpParams(p.DispParams))
	}
	if p.Language != nil {
		fmt.Fprintf(b, " language=%q", p.Language)
	}
	if p.Empty != 0 {
		fmt.Fprintf(b, " empty=%05b", p.Empty)
	}
	b.WriteByte('\n')
	for i := range p.Parts {
		dumpPart(b, indent+"  ", &p.Parts[i])
	}
	if p.Message != nil {
		dumpMessage(b, indent+"  ", &p.Message.Envelope, &p.Message.Root)
	}
}

func dumpParams(params []Param) string {
	var b strings.Builder
	for _, p := range params {
		fmt.Fprintf(&b, "; %s=%q", p.Name, p.Value)
		if p.Extended != "" {
			fmt.Fprintf(&b, "*%q", p.Extended)
		}
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/odd/*.eml")
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := Parse(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		checkMeta(t, raw, m)
		if got := ParseBytes(raw); !reflect.DeepEqual(m, got) {
			t.Errorf("in memory:\n got %+v\nwant %+v", got, m)
		}
		slow, err := Parse(iotest.HalfReader(bytes.NewReader(raw)))
		if err != nil || !reflect.DeepEqual(m, slow) {
			t.Fatalf("depends on how it is read: %v\n%s%s", err, dump(m), dump(slow))
		}
	})
}
