package smtpc

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postrider/internal/maillog"
)

// peer is a connection on which the remote server has greeted us and knows
// who we are.
type peer struct {
	c       *Client
	w       *wire
	host    host
	addr    string
	ext     map[string]string // extensions announced, names in upper case
	demand  *demand           // what the connection has to fulfil
	relaxed bool              // it was made for a message that says TLS-Required: No
	local   string            // our address
	tls     string            // version and cipher suite; empty in clear
	cert    error             // why the certificate is not the host's; nil if it is
	broken  error             // why TLS did not come about, if it was tried or wanted

	ready   net.Conn // to begin with; nil dials
	in, out []byte   // see buffers
}

var (
	// errNoTLS asks for a new connection without TLS.
	errNoTLS = errors.New("TLS does not work here")
	// errNoSTARTTLS says that the server offers no TLS.
	errNoSTARTTLS = errors.New("STARTTLS is not offered")
)

// asked tells whether the connection got so far that TLS could be spoken of.
func (p *peer) asked() bool { return p.ext != nil || p.broken != nil }

// connect opens a connection to one address of a host that fulfils d, or uses
// ready, which is one. If that fails, the outcome says how, and the peer is closed.
func (c *Client) connect(ctx context.Context, h host, a netip.Addr, ready net.Conn, d *demand, rec *recorder) (*peer, *Outcome) {
	rec.at.Phase, rec.at.Host = Handshake, printable(h.name)
	p := &peer{c: c, host: h, addr: netip.AddrPortFrom(a, uint16(h.port)).String(), demand: d, ready: ready}
	p, o, err := p.open(ctx, d.mode, rec)
	if errors.Is(err, errNoTLS) {
		// Opportunistic means that mail goes in clear rather than not at all;
		// the failed handshake has used the connection up (RFC 7435 §3).
		rec.add(Remark, "TLS failed, connecting again without it: "+netWords(p.broken))
		p, o, _ = p.open(ctx, TLSNone, rec)
	}
	if o != nil {
		p.close()
		o.Host, o.Addr, o.Policy = printable(h.name), p.addr, d.words()
		return p, o
	}
	return p, nil
}

// open connects and goes through the greeting, TLS, EHLO and AUTH.
func (p *peer) open(ctx context.Context, mode TLSMode, rec *recorder) (*peer, *Outcome, error) {
	if p.w != nil {
		p.w.raw.Close()
	}
	p.ext, p.tls, p.cert = nil, "", nil
	t := p.c.o.Timeouts
	dctx, cancel := context.WithTimeout(ctx, t.Dial)
	defer cancel()
	conn, err := p.ready, error(nil)
	if p.ready = nil; conn == nil {
		conn, err = p.c.o.Dial(dctx, "tcp", p.addr)
	}
	if err != nil {
		rec.add(Remark, "connecting to "+p.addr+": "+netWords(err))
		o := temporary("4.4.1", "connecting failed: %s", netWords(err))
		return p, &o, nil
	}
	rec.add(Remark, "connected to "+p.addr)
	p.local = hostOf(conn.LocalAddr().String())
	p.w = newWire(conn, rec, t.Block)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if mode == TLSImplicit {
		if err := p.startTLS(ctx, mode); err != nil {
			return p, p.insecure(err), nil
		}
	}
	if o := p.greet(); o != nil {
		return p, o, nil
	}
	if mode == TLSOpportunistic || mode == TLSStartTLS {
		if o, err := p.upgrade(ctx, mode); o != nil || err != nil {
			return p, o, err
		}
	}
	return p, p.auth(), nil
}

// greet reads the greeting and introduces us, by HELO if EHLO is not known
// (RFC 5321 §3.2).
func (p *peer) greet() *Outcome {
	p.w.SetDeadline(time.Now().Add(p.c.o.Timeouts.Command))
	r, err := p.w.reply()
	p.w.SetDeadline(time.Time{})
	switch {
	case err != nil:
		return p.lost(err)
	case r.code != 220:
		return p.refused(r)
	}
	return p.hello()
}

func (p *peer) hello() *Outcome {
	r, err := p.w.ask("EHLO "+p.c.o.Hostname, p.c.o.Timeouts.Command)
	if err == nil && r.code/100 == 5 {
		r, err = p.w.ask("HELO "+p.c.o.Hostname, p.c.o.Timeouts.Command)
		r.lines = r.lines[:min(len(r.lines), 1)]
	}
	switch {
	case err != nil:
		return p.lost(err)
	case r.code != 250:
		return p.refused(r)
	}
	p.ext = map[string]string{}
	for _, l := range r.lines[1:] {
		k, v, _ := strings.Cut(strings.TrimSpace(l), " ")
		p.ext[strings.ToUpper(k)] = v
	}
	return nil
}

// upgrade changes to TLS by STARTTLS (RFC 3207). It returns errNoTLS if
// another connection, in clear, should be tried.
func (p *peer) upgrade(ctx context.Context, mode TLSMode) (*Outcome, error) {
	must := mode == TLSStartTLS
	refused := "not offered"
	if _, offered := p.ext["STARTTLS"]; offered {
		r, err := p.w.ask("STARTTLS", p.c.o.Timeouts.Command)
		if err != nil {
			return p.lost(err), nil
		}
		if r.code == 220 {
			err := p.startTLS(ctx, mode)
			switch {
			case err == nil:
				return p.hello(), nil
			case errors.Is(err, errInjected) || must || ctx.Err() != nil:
				p.broken = err
				return p.insecure(err), nil
			}
			p.broken = err
			return nil, errNoTLS
		}
		refused = outcomeOf(r).Reply()
	}
	if must {
		p.broken = errNoSTARTTLS
		o := temporary("4.7.4", "TLS is required here and was refused: %s", refused)
		return &o, nil
	}
	return nil, nil
}

// startTLS does the handshake. The certificate is always looked at; where
// nobody demands a right one any will do, since the alternative is none.
func (p *peer) startTLS(ctx context.Context, mode TLSMode) error {
	conf := p.c.o.TLS.Clone()
	conf.ServerName = p.demand.names[0] // an address is not sent (RFC 6066 §3)
	conf.InsecureSkipVerify = true      // by the library: it is verified here
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		p.cert = p.demand.check(conf, cs.PeerCertificates)
		if p.demand.verify {
			return p.cert
		}
		return nil
	}
	if err := p.w.startTLS(ctx, conf, p.c.o.Timeouts.Handshake); err != nil {
		return err
	}
	s := p.w.tlsState()
	p.tls = tls.VersionName(s.Version) + " " + tls.CipherSuiteName(s.CipherSuite)
	p.w.rec.add(Remark, "TLS: "+p.tls+", "+p.certWords())
	return nil
}

// certWords says what the certificate was found to be.
func (p *peer) certWords() string {
	switch {
	case p.cert == nil && p.demand.tlsa != nil:
		return "the certificate matches a TLSA record"
	case p.cert == nil:
		return "the certificate is valid"
	}
	return p.cert.Error()
}

// proven tells whether the host is the destination's own, and its certificate
// its own (RFC 8689 §2).
func (p *peer) proven() bool { return p.demand.sure && p.tls != "" && p.cert == nil }

// auth logs in to the smarthost.
func (p *peer) auth() *Outcome {
	s := p.c.o.Smarthost
	if s == nil || s.User == "" {
		return nil
	}
	host, _, _ := net.SplitHostPort(p.addr)
	if a, err := netip.ParseAddr(host); (p.tls == "" || p.cert != nil) && (err != nil || !a.IsLoopback()) {
		o := temporary("4.7.11", "the connection to the smarthost is not safe enough for a password")
		return &o
	}
	var mech sasl.Client
	switch offered := " " + strings.ToUpper(p.ext["AUTH"]) + " "; {
	case strings.Contains(offered, " PLAIN "):
		mech = sasl.NewPlainClient("", s.User, s.Password)
	case strings.Contains(offered, " LOGIN "):
		mech = &login{answers: []string{s.User, s.Password}}
	default:
		o := temporary("4.7.0", "the smarthost offers neither AUTH PLAIN nor AUTH LOGIN")
		return &o
	}
	p.w.offer(p.ext)
	err := p.client().Auth(mech)
	if err != nil && p.w.login.lines == nil && p.w.err == nil {
		p.w.fail(errReplyForm) // a challenge that cannot be read
	}
	if err != nil || p.w.login.code != 235 {
		if p.w.err != nil {
			return p.lost(p.w.err)
		}
		// A fault of our configuration, not of the mail: it waits until that
		// is put right.
		o := temporary("4.7.8", "the smarthost refused the login: %s", outcomeOf(p.w.login).Reply())
		p.c.o.Log.Error(maillog.Failed, "dest", s.Host+":"+strconv.Itoa(p.host.port), "err", o.Text)
		return &o
	}
	return nil
}

// login is the client side of LOGIN. It answers whatever the server asks, by
// turns: servers word the two questions as they like.
type login struct{ answers []string }

func (l *login) Start() (string, []byte, error) { return "LOGIN", nil, nil }

func (l *login) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, errors.New("the server asks too much")
	}
	a := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(a), nil
}

// client makes a client of go-smtp's on the connection; offer comes first.
func (p *peer) client() *smtp.Client {
	c := smtp.NewClient(p.w)
	c.CommandTimeout = p.c.o.Timeouts.Command
	c.SubmissionTimeout = p.c.o.Timeouts.End
	return c
}

// buffers are for size bytes of a message as it is and as it is sent. They
// belong to the connection, and serve all its messages.
func (p *peer) buffers(size int) (in, out []byte) {
	if cap(p.in) < size {
		p.in, p.out = make([]byte, size), make([]byte, 0, size+size/16+64)
	}
	return p.in[:size], p.out[:0]
}

// lost is the outcome of a connection that broke.
func (p *peer) lost(err error) *Outcome {
	code := "4.4.2" // bad connection
	switch {
	case errors.Is(err, errReplyForm), errors.Is(err, errReplyLine), errors.Is(err, errReplyLines), errors.Is(err, errUnasked):
		code = "4.5.0" // protocol error
	case errors.Is(err, errInjected):
		code = "4.7.0"
	case errors.As(err, new(certError)):
		code = "4.7.5" // cryptographic failure
	}
	o := temporary(code, "the connection was lost: %s", netWords(err))
	return &o
}

// insecure is the outcome of a handshake that failed where TLS has to be.
func (p *peer) insecure(err error) *Outcome {
	o := p.lost(err)
	o.Text = "TLS is required here and failed: " + netWords(err)
	return o
}

// refused is the outcome of a host that takes no mail from us.
func (p *peer) refused(r reply) *Outcome {
	o := outcomeOf(r)
	if o.Status == Delivered {
		o = temporary("4.5.0", "unexpected reply: %d %s", r.code, o.Text)
	}
	return &o
}

// quit ends the session as RFC 5321 §4.1.1.10 has it, without waiting long.
func (p *peer) quit() {
	if p.w.err == nil && p.w.mode == modeCommand {
		p.w.rec.at.Phase = Closure
		p.w.ask("QUIT", min(p.c.o.Timeouts.Command, quitTimeout))
	}
	p.close()
}

// quitTimeout bounds the politeness of waiting for the reply to QUIT.
const quitTimeout = 5 * time.Second

func (p *peer) close() {
	if p.w != nil {
		p.w.raw.Close()
	}
}
