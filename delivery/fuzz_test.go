package delivery

import (
	"bytes"
	"testing"

	"postrider/mail"
	"postrider/store"
)

// FuzzPrefix puts our fields before any message: they are a header that is
// read as one, they hide nothing but a Return-Path, and the text behind the
// header is what came.
func FuzzPrefix(f *testing.F) {
	for _, s := range []string{"", "text\r\n", "\r\ntext", "Subject: x\r\n\r\ntext", "Return-Path: <x>\r\n", "Return-Path: <x>\r\nno field\r\n",
		"From x\r\nReturn-Path: y\r\n z\r\n\r\n", " folded\r\nA: b\r\n", "A: b\r\nreturn-path : c\r\n\td\r\nE: f"} {
		f.Add([]byte(s), true)
	}
	d := New(Options{Hostname: "mx.b.test"})
	f.Fuzz(func(t *testing.T, text []byte, submission bool) {
		m := message(string(text), "bob@b.test")
		m.Submission = submission
		head, err := readHeader(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		a, err := d.acceptance(t.Context(), m, head, &expansion{local: []store.AccountID{1}})
		if err != nil {
			t.Fatal(err)
		}
		prefix := a.Local[0].Prefix
		all := []byte(served(t, a, prefix))
		size := mail.HeaderSize(all)
		if behind := text[mail.HeaderSize(text):]; !bytes.Equal(all[size:], behind) {
			t.Fatalf("%q: text became %q", text, all[size:])
		}
		var names []string
		for f := range mail.Fields(all[:size]) {
			names = append(names, f.Name)
			if f.Is("Return-Path") && len(names) > 1 {
				t.Fatalf("%q: a second Return-Path in %q", text, all)
			}
		}
		if len(names) < 2 || names[0] != "Return-Path" || names[1] != "Received" {
			t.Fatalf("%q: header %q", text, names)
		}
	})
}
