package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/emersion/go-smtp"
)

// runSink is the subcommand sink.
func runSink(ctx context.Context, c *cli, args []string) error {
	fs := flag.NewFlagSet("sink", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:2700", "`ADDRESS` to listen on")
	library := fs.Bool("go-smtp", false, "use the go-smtp library: what a server built with it could reach that stores nothing")
	if err := c.parse(fs, sinkSummary, args); err != nil {
		return err
	}
	if *library {
		return runLibrarySink(ctx, *listen)
	}
	s, err := newSink(*listen, func(time.Time, []byte) {})
	if err != nil {
		return err
	}
	<-ctx.Done()
	s.close()
	fmt.Fprintf(c.stdout, "%d messages\n", s.count.Load())
	return nil
}

const sinkSummary = "an SMTP server that takes all mail and stores nothing"

// runLibrarySink serves until ctx ends.
func runLibrarySink(ctx context.Context, addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return discard{}, nil }))
	s.Domain = "sink.mailbench.example"
	s.MaxMessageBytes = 64 << 20
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	err = s.Serve(l)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// discard is a go-smtp session that reads every message and forgets it.
type discard struct{}

func (discard) Reset()                               {}
func (discard) Logout() error                        { return nil }
func (discard) Mail(string, *smtp.MailOptions) error { return nil }
func (discard) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (discard) Data(r io.Reader) error               { _, err := io.Copy(io.Discard, r); return err }
