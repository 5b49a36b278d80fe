package storetest

import (
	"fmt"
	"strings"
	"time"

	"postrider/store"
)

func bodyCases() []testCase {
	return []testCase{
		{"bodies of all sizes", bodiesOfAllSizes},
		{"prefix and cuts", prefixAndCuts},
		{"bodies with any bytes", bodiesWithAnyBytes},
	}
}

func bodiesOfAllSizes(s *suite) {
	in := s.a.inbox(s.alice)
	var want []string
	for i, n := range []int{0, 1, 77, 4096, 65535, 65536, 65537, 256 << 10, 256<<10 + 1, 1_000_003, 5_000_000} {
		want = append(want, noise(n, uint64(i)))
		s.a.put(in, want[i], store.Flags{})
	}
	for _, h := range []handle{s.a, s.b} {
		for i, got := range h.texts(in) {
			if got != want[i] {
				s.Errorf("message %d of %d bytes came back with %d", i, len(want[i]), len(got))
			}
		}
	}
	s.reopen()
	for i, got := range s.b.texts(in) {
		if got != want[i] {
			s.Errorf("after opening anew, message %d of %d bytes came back with %d", i, len(want[i]), len(got))
		}
	}
}

func prefixAndCuts(s *suite) {
	const received = "Received: from x by y\r\n"
	for i, n := range []int{300, 70_000, 600_000} {
		text := letter("cut") + noise(n, uint64(i))
		last := int64(len(text))
		for j, c := range []struct {
			prefix string
			cuts   []store.Range
		}{
			{"", nil},
			{received, nil},
			{"", []store.Range{{From: 0, To: 6}}},
			{received, []store.Range{{From: 0, To: 6}, {From: 30, To: 31}, {From: 31, To: 60}, {From: last - 3, To: last}}},
			{strings.Repeat(received, 100), []store.Range{{From: 5, To: 5}, {From: 10, To: last}}},
			{"", []store.Range{{From: 0, To: last}}},
		} {
			what := fmt.Sprintf("size %d, case %d", n, j)
			out := s.to("x@b.test")
			out.Prefix = []byte("X-Out: 1\r\n")
			done, err := s.a.Accept(s.ctx, &store.Acceptance{ID: id(j), Body: body(text), Cut: c.cuts,
				Local:    []store.LocalRcpt{{Account: s.alice.ID, Prefix: []byte(c.prefix)}, {Account: s.bob.ID}},
				Outgoing: []store.NewOutgoing{out}})
			s.ok(err)
			served := cut(text, c.cuts)
			if got := s.b.text(done.Filed[0].Mailbox, done.Filed[0].UID); got != c.prefix+served {
				s.Errorf("%s: alice reads %d bytes, want %d", what, len(got), len(c.prefix+served))
			}
			if got := s.b.text(done.Filed[1].Mailbox, done.Filed[1].UID); got != served {
				s.Errorf("%s: bob reads %d bytes, want %d", what, len(got), len(served))
			}
			if got := s.b.outText(done.Out[0]); got != "X-Out: 1\r\n"+served {
				s.Errorf("%s: %d bytes are sent, want %d", what, len(got), len(served)+10)
			}
			copied := s.a.copied(done.Filed[0].Mailbox, s.a.box(s.alice, "Archive").ID, j%2 == 0, done.Filed[0].UID)
			if got := s.b.text(s.a.box(s.alice, "Archive").ID, copied.Dest[0]); got != c.prefix+served {
				s.Errorf("%s: the copy has %d bytes, want %d", what, len(got), len(c.prefix+served))
			}
		}
	}
}

// outText reads an outgoing message.
func (h handle) outText(id store.OutID) string {
	h.s.Helper()
	var text string
	err := h.FetchOutgoing(h.s.ctx, id, func(c *store.Content) error {
		if c.Meta == nil {
			h.s.Error("an outgoing message without meta")
		}
		text = whole(h.s, c)
		return nil
	})
	h.s.ok(err)
	return text
}

func bodiesWithAnyBytes(s *suite) {
	in := s.a.inbox(s.alice)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, text := range []string{
		string(all),
		"just two lines\r\nof text\r\n",
		"\r\n",
		".\r\n..\r\n",
		"Subject: \xff\xfe\r\n\r\n\x00\r\n",
		strings.Repeat("x", 100_000), // a line without end
		letter("ends without a line end") + "x",
	} {
		filed, err := s.a.Append(s.ctx, "", in, body(text), store.Flags{}, time.Now())
		s.ok(err)
		if got := s.b.text(in, filed.UID); got != text {
			s.Errorf("%q came back as %q", text, got)
		}
	}
}
