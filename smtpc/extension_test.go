package smtpc

import (
	"slices"
	"strings"
	"testing"

	"postrider/mail"
	"postrider/smtpc/smtpctest"
)

func TestDSNParameters(t *testing.T) {
	m := letter(t, "bob@b.test", "carol@b.test", "dave@b.test")
	m.Envelope.Ret, m.Envelope.EnvID = mail.RetHeaders, "id+1 =2"
	m.Envelope.Rcpts[0].Notify = mail.NotifySuccess | mail.NotifyFailure
	m.Envelope.Rcpts[0].ORcpt = "rfc822;Bob+x@old.test"
	m.Envelope.Rcpts[1].Notify = mail.NotifyNever
	m.Envelope.Rcpts[1].ORcpt = "x400;/c=de"
	m.Envelope.Rcpts[2].ORcpt = "utf-8;dävid@b.test"
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"dsn", "SMTPUTF8", "8BITMIME"}})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
	if !r.Outcomes[0].DSN {
		t.Error("the outcome does not say that the remote server sends notices")
	}
	g := s.Messages()[0]
	if g.From != "<alice@a.test> RET=HDRS ENVID=id+2B1+20+3D2" ||
		g.Rcpts[0] != "<bob@b.test> NOTIFY=SUCCESS,FAILURE ORCPT=RFC822;Bob+2Bx@old.test" ||
		g.Rcpts[1] != "<carol@b.test> NOTIFY=NEVER" || g.Rcpts[2] != "<dave@b.test> ORCPT=UTF-8;dävid@b.test" {
		t.Errorf("got %+v", g)
	}
	s = smtpctest.New(t, smtpctest.Options{Ext: []string{"SIZE"}})
	r = send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
	if g := s.Messages()[0]; r.Outcomes[0].DSN || strings.Contains(g.From+g.Rcpts[0], "=RET") || strings.Contains(g.Rcpts[0], "NOTIFY") {
		t.Errorf("got %+v", g)
	}
}

// TestHeaderInjectionInParameters: whatever stands in an address or a parameter,
// it makes no command, and no parameter, of its own.
func TestHeaderInjectionInParameters(t *testing.T) {
	m := letter(t, "bob@b.test")
	m.Envelope.From = mail.Address{Local: "a> SIZE=1\" <b", Domain: "a.test"}
	m.Envelope.Rcpts[0].ORcpt = "rfc822;x NOTIFY=NEVER"
	m.Envelope.Rcpts = append(m.Envelope.Rcpts, []mail.Recipient{
		{Addr: mail.Address{Local: "x", Domain: "b.test"}, ORcpt: "rfc822;x\r\nRSET\r\n@b.test"},
		{Addr: mail.Address{Local: "y", Domain: "b.test"}, ORcpt: "utf-8;x\r\nRSET\u2028 NOTIFY=NEVER"},
		{Addr: mail.Address{Local: "c> NOTIFY=NEVER <d", Domain: "b.test"}},
		{Addr: mail.Address{Local: "x>\r\nDATA", Domain: "b.test"}},
	}...)
	for _, c := range []struct{ ext, envID, sent string }{
		{"SIZE", "x RET=FULL", ""}, {"DSN", "x RET=FULL =+b", " ENVID=x+20RET+3DFULL+20+3D+2Bb"}, {"DSN", "a\r\nRSET", ""}, {"DSN SMTPUTF8 8BITMIME PIPELINING", "", ""},
	} {
		ext := strings.Fields(c.ext)
		m.Envelope.EnvID = c.envID
		s := smtpctest.New(t, smtpctest.Options{Ext: ext})
		r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
		for _, o := range r.Outcomes[:4] {
			want(t, o, "delivered 250 2.0.0", "")
		}
		if r.Outcomes[4].Status == Delivered {
			t.Errorf("got %v", r.Outcomes[4])
		}
		for _, l := range s.Lines() {
			if l == "RSET" || strings.HasPrefix(l, "RSET") || strings.HasPrefix(l, "@b.test") || strings.ContainsAny(l, "\r\n\u2028") {
				t.Errorf("injected with %v: %q", ext, s.Lines())
			}
		}
		g := s.Messages()
		if len(g) != 1 {
			t.Fatalf("%d messages", len(g))
		}
		rcpts := []string{"<bob@b.test>", "<x@b.test>", "<y@b.test>", `<"c> NOTIFY=NEVER <d"@b.test>`}
		from := `<"a> SIZE=1\" <b"@a.test>` + c.sent
		if ext[0] == "DSN" {
			rcpts[0] += " ORCPT=RFC822;x+20NOTIFY+3DNEVER"
			rcpts[2] += ` ORCPT=UTF-8;x\x{0D}\x{0A}RSET\x{2028}\x{20}NOTIFY\x{3D}NEVER`
		} else {
			from += " SIZE=48"
		}
		if len(ext) > 1 {
			from += " SMTPUTF8"
		}
		if g[0].From != from || !slices.Equal(g[0].Rcpts, rcpts) {
			t.Errorf("with %v: from %s to %q, want %s to %q", ext, g[0].From, g[0].Rcpts, from, rcpts)
		}
	}
}

func TestNullSender(t *testing.T) {
	m := letter(t, "bob@b.test")
	m.Envelope.From = mail.Address{}
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"DSN"}})
	send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
	if g := s.Messages()[0]; g.From != "<>" {
		t.Errorf("got %+v", g)
	}
}

func TestSizeIsRespected(t *testing.T) {
	for ext, w := range map[string]string{
		"SIZE 47": "permanent 0 5.3.4", "SIZE 48": "delivered 250 2.0.0", "SIZE 0": "delivered 250 2.0.0",
		"SIZE": "delivered 250 2.0.0", "SIZE -1": "delivered 250 2.0.0", "SIZE 99999999999999999999": "delivered 250 2.0.0"} {
		s := smtpctest.New(t, smtpctest.Options{Ext: []string{ext}})
		r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
		t.Run(ext, func(t *testing.T) { want(t, r.Outcomes[0], w, "") })
	}
}

func TestHELOOnly(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{Reply: func(_ *smtpctest.Conn, l string) string {
		if strings.HasPrefix(l, "EHLO") {
			return "500 what?"
		}
		return smtpctest.Default
	}})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", letter(t, "bob@b.test"))
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	if g := s.Messages()[0]; g.From != "<alice@a.test>" {
		t.Errorf("got %+v", g)
	}
}

func TestEightBit(t *testing.T) {
	text := "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhällo\r\n"
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"8BITMIME"}})
	c := client(t, zoned(t, oneMX), s.Addr().Port())
	send(t, c, "b.test", letterOf(t, text, "bob@b.test"))
	send(t, c, "b.test", letter(t, "bob@b.test"))
	g := s.Messages()
	if g[0].From != "<alice@a.test> BODY=8BITMIME" || g[0].Data != text || g[1].From != "<alice@a.test>" {
		t.Errorf("got %+v", g)
	}
}

func TestInternationalAddresses(t *testing.T) {
	rcpts := []string{"bob@b.test", "bob@bücher.test", "jürgen@b.test"}
	m := letter(t, rcpts...)
	m.Envelope.UTF8 = true
	s := smtpctest.New(t, smtpctest.Options{Ext: []string{"8BITMIME", "SMTPUTF8"}})
	r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
	for _, o := range r.Outcomes {
		want(t, o, "delivered 250 2.0.0", "")
	}
	if g := s.Messages()[0]; g.From != "<alice@a.test> SMTPUTF8" || g.Rcpts[1] != "<bob@bücher.test>" || g.Rcpts[2] != "<jürgen@b.test>" {
		t.Errorf("got %+v", g)
	}
	s = smtpctest.New(t, smtpctest.Options{Ext: []string{"8BITMIME"}})
	r = send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
	want(t, r.Outcomes[0], "delivered 250 2.0.0", "")
	want(t, r.Outcomes[1], "delivered 250 2.0.0", "")
	want(t, r.Outcomes[2], "permanent 0 5.6.7", "not ASCII")
	if g := s.Messages()[0]; g.From != "<alice@a.test>" || g.Rcpts[1] != "<bob@xn--bcher-kva.test>" {
		t.Errorf("got %+v", g)
	}
	m.Envelope.From = addr(t, "ällice@a.test")
	r = send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
	for _, o := range r.Outcomes {
		want(t, o, "permanent 0 5.6.7", "not ASCII")
	}
}

func TestRequireTLS(t *testing.T) {
	m := letter(t, "bob@b.test")
	m.Envelope.RequireTLS = true
	s := smtpctest.New(t, smtpctest.Options{})
	want(t, send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m).Outcomes[0], "permanent 0 5.7.10", "does not offer")
}

func TestNoSmugglingOut(t *testing.T) {
	s := smtpctest.New(t, smtpctest.Options{})
	se := client(t, zoned(t, oneMX), s.Addr().Port()).Session("b.test")
	defer se.Close()
	alphabet := []string{"\r", "\n", "\x00", ".", "\r\n"}
	var marks []string
	for _, a := range alphabet {
		for _, b := range alphabet {
			for _, c := range alphabet {
				marks = append(marks, a+b+c, a+b+"."+c)
			}
		}
	}
	for i, mark := range marks {
		m := letterOf(t, "Subject: x\r\n\r\none"+mark+"MAIL FROM:<evil@a.test>\r\nend\r\n", "bob@b.test")
		want(t, se.Send(t.Context(), m).Outcomes[0], "delivered 250 2.0.0", "")
		g := s.Messages()
		if len(g) != i+1 {
			t.Fatalf("%q became %d messages", mark, len(g)-i)
		}
		data := strings.ReplaceAll(g[i].Data, "\r\n", "")
		if strings.ContainsAny(data, "\r\n\x00") || !strings.HasSuffix(data, "end") {
			t.Errorf("%q went out as %q", mark, g[i].Data)
		}
	}
}

func TestConverts(t *testing.T) {
	utf8 := "From: Jürgen <j@a.test>\r\nSubject: grün\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhällo\r\n"
	signed := "Subject: x\r\nContent-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\nhällo\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
	address := "From: jürgen@a.test\r\nSubject: x\r\n\r\nhallo\r\n"
	for _, c := range []struct {
		text, ext string
		utf8      bool
		want      string
	}{
		{utf8, "DSN", false, "delivered 250 2.0.0"},
		{utf8, "8BITMIME", true, "delivered 250 2.0.0"},
		{signed, "DSN", false, "permanent 0 5.6.3"},
		{signed, "8BITMIME", false, "delivered 250 2.0.0"},
		{address, "8BITMIME", true, "permanent 0 5.6.7"},
		{address, "SMTPUTF8", true, "permanent 0 5.6.7"}, // SMTPUTF8 without 8BITMIME is none (RFC 6531 section 3.1)
	} {
		s := smtpctest.New(t, smtpctest.Options{Ext: []string{c.ext}})
		m := letterOf(t, c.text, "bob@b.test")
		m.Envelope.UTF8 = c.utf8
		r := send(t, client(t, zoned(t, oneMX), s.Addr().Port()), "b.test", m)
		want(t, r.Outcomes[0], c.want, "")
		for _, g := range s.Messages() {
			if c.text == utf8 && (!isASCIIText(g.Data) || !strings.Contains(g.Data, "h=C3=A4llo") || strings.Contains(g.From, "BODY")) {
				t.Errorf("%s: got %+v", c.ext, g)
			}
		}
	}
}

func isASCIIText(s string) bool { return !hasEight([]byte(s)) }
