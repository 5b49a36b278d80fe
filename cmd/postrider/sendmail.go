package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"

	"postrider/delivery"
	"postrider/internal/spool"
	"postrider/mail"
	"postrider/store"
)

// spoolMemory is how much of a message is kept in memory while it is read.
const spoolMemory = 1 << 20

func sendmailCommand() command {
	return command{name: "sendmail", args: "[-t] [-f FROM] [-F NAME] [-i] RECIPIENT…", run: runSendmail,
		summary: "Take a message from standard input, as sendmail does.\n" +
			"Without -i it ends at a line with a dot. -t takes the recipients from To, Cc and Bcc, and Bcc away.\n" +
			"Other flags of sendmail are passed over, except for -b, of which only -bm is here.\n" +
			"It is for root and the server's user; programs of others submit over SMTP, with a login."}
}

// sendmailArgs is the envelope of a message whose bytes follow with CRLF line
// ends.
type sendmailArgs struct {
	From       string // empty is the null reverse-path
	Name       string // for a From field that is missing
	To         []string
	FromHeader bool // more recipients from the header, and Bcc away
	dots       bool // a line with a dot alone ends standard input
}

type sendmailResult struct{ ID string }

// Flags of sendmail that have a value, attached or as the next word, and
// flags that are passed over; some of these are in both.
var (
	sendmailValues = strings.Fields("-f -r -F -B -C -h -L -N -O -o -p -R -V -X --config --data")
	sendmailNoise  = strings.Fields("-A -B -C -G -L -N -O -R -U -V -X -e -h -m -n -p -q -s -v -x")
)

// sendmailFlags reads arguments as sendmail does: flags are one letter, their
// values may be attached, and there are many that mean nothing here.
func sendmailFlags(f *flags, args []string) (in sendmailArgs, err error) {
	in.dots = true
	in.From = loginName()
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			in.To = append(in.To, args...)
			break
		}
		if len(arg) < 2 || arg[0] != '-' {
			in.To = append(in.To, arg)
			continue
		}
		name, value := splitFlag(arg)
		if slices.Contains(sendmailValues, name) && value == "" {
			if len(args) == 0 {
				return in, usagef("%s needs a value", name)
			}
			value, args = args[0], args[1:]
		}
		if err := in.set(f, name, value); err != nil {
			return in, err
		}
	}
	if len(in.To) == 0 && !in.FromHeader {
		return in, usagef("a recipient is missing; name one, or take them from the header with -t")
	}
	return in, nil
}

// splitFlag splits a flag of sendmail from its value, or one of the long flags
// that all commands share.
func splitFlag(arg string) (name, value string) {
	long, value, _ := strings.Cut("--"+strings.TrimLeft(arg, "-"), "=")
	if slices.Contains([]string{"--config", "--data", "--help"}, long) {
		return long, value
	}
	return arg[:2], arg[2:]
}

// set takes one flag in.
func (in *sendmailArgs) set(f *flags, name, value string) error {
	switch name {
	case "-t":
		in.FromHeader = true
		in.dots = in.dots && !strings.Contains(value, "i") // -ti
	case "-i":
		in.dots = false
		in.FromHeader = in.FromHeader || strings.Contains(value, "t") // -it
	case "-f", "-r":
		in.From = strings.TrimSuffix(strings.TrimPrefix(value, "<"), ">")
	case "-F":
		in.Name = value
	case "-o":
		in.dots = in.dots && value != "i"
	case "-b":
		if value != "m" {
			return usagef("-b%s is not for here; only -bm, to send, is", value)
		}
	case "--config":
		f.config = value
	case "--data":
		f.data = value
	case "--help":
		f.help()
		return flag.ErrHelp
	default:
		if !slices.Contains(sendmailNoise, name) {
			return usagef("there is no flag %s%s", name, value)
		}
	}
	return nil
}

func runSendmail(c *cli, f *flags, args []string) error {
	in, err := sendmailFlags(f, args)
	if err != nil {
		return err
	}
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	// All of it before the server is asked: what writes to us, such as a job
	// of cron's, may take hours.
	text := spool.New(os.TempDir(), spoolMemory)
	defer text.Close()
	lines := newLineReader(c.stdin, int64(cfg.Limits.MessageBytes), in.dots)
	if _, err := lines.WriteTo(text); err != nil {
		return err
	}
	var res sendmailResult
	return c.do(f, "sendmail", in, io.NewSectionReader(text, 0, text.Size()), &res)
}

// loginName is who runs the command; the server adds its own domain.
func loginName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	if name := os.Getenv("LOGNAME"); name != "" {
		return name
	}
	return "postmaster"
}

// sendMail accepts a message from a program on this machine. Who may use the
// control socket may send as anybody.
func sendMail(ctx context.Context, a *admin, in sendmailArgs, body io.Reader) (sendmailResult, error) {
	origin, err := a.origin(ctx)
	if err != nil {
		return sendmailResult{}, err
	}
	from, err := localAddress(in.From, origin)
	if err != nil {
		return sendmailResult{}, err
	}
	buf := spool.New(a.spoolDir, spoolMemory)
	defer buf.Close()
	t := &sendmailText{sendmailArgs: in, from: from, origin: origin, limit: a.maxBytes}
	if err := t.copy(buf, body); err != nil {
		return sendmailResult{}, err
	}
	m := &delivery.Message{ID: mail.NewID(time.Now()), Body: buf, Submission: true}
	m.Envelope = mail.Envelope{From: from, Body: t.bodyType(), UTF8: t.header8Bit || !from.IsASCII()}
	if err := a.addRecipients(ctx, m, append(in.To, t.rcpts...), origin); err != nil {
		return sendmailResult{}, err
	}
	if _, err := a.deliver.Accept(ctx, m); err != nil {
		return sendmailResult{}, err
	}
	return sendmailResult{ID: string(m.ID)}, nil
}

func (a *admin) addRecipients(ctx context.Context, m *delivery.Message, to []string, origin string) error {
	seen := map[string]bool{}
	for _, s := range to {
		addr, err := localAddress(s, origin)
		if err != nil {
			return err
		}
		if addr.IsZero() || seen[addr.Key()] {
			continue
		}
		seen[addr.Key()] = true
		if err := a.verify(ctx, addr); err != nil {
			return err
		}
		m.Envelope.UTF8 = m.Envelope.UTF8 || !addr.IsASCII()
		m.Envelope.Rcpts = append(m.Envelope.Rcpts, mail.Recipient{Addr: addr})
	}
	if len(m.Envelope.Rcpts) == 0 {
		return adminErrorf("the message names no recipient; give one, or a To field")
	}
	return nil
}

// origin is the domain of addresses without one, such as root's: the host's
// own or nearest domain, or else the oldest.
func (a *admin) origin(ctx context.Context) (string, error) {
	domains, err := a.store.Domains(ctx)
	if err != nil || len(domains) == 0 {
		return a.hostname, err
	}
	oldest, nearest := domains[0], ""
	for _, d := range domains {
		if d.Created.Before(oldest.Created) {
			oldest = d
		}
		if strings.HasSuffix("."+a.hostname, "."+d.Name) && len(d.Name) > len(nearest) {
			nearest = d.Name
		}
	}
	if nearest != "" {
		return nearest, nil
	}
	return oldest.Name, nil
}

// localAddress reads an address that may lack its domain.
func localAddress(s, origin string) (mail.Address, error) {
	if s == "" {
		return mail.Address{}, nil
	}
	if !strings.Contains(s, "@") {
		s += "@" + origin
	}
	return parseAddress(s)
}

// verify refuses a recipient that cannot be served, by name.
func (a *admin) verify(ctx context.Context, rcpt mail.Address) error {
	err := a.deliver.Verify(ctx, &delivery.Peer{Account: &store.Account{}}, rcpt)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delivery.ErrLoop):
		return adminErrorf("the alias %s leads to itself", rcpt)
	case store.KindOf(err) == store.NotFound:
		return adminErrorf("there is no address %s here", rcpt)
	case store.KindOf(err) == store.Denied:
		return adminErrorf("%s is elsewhere, and this server sends nothing out", rcpt)
	}
	return fmt.Errorf("%s: %w", rcpt, err)
}
