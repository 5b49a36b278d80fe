package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"postrider/internal/maillog"
)

func serveCommand() command {
	return command{name: "serve", args: "[--config FILE]", run: runServe,
		summary: "Run the server.\nSIGHUP reads certificate, log level, domains and accounts anew; SIGTERM lets commands end and stops.\n" +
			"The addresses stand in run/listeners.json in the data directory."}
}

// heapBallast is memory that is asked for and never touched, so that it takes
// no room but in the garbage collector's books: that runs when the heap has
// doubled. The server's own heap is a few megabytes and each message leaves tens
// of kilobytes; without this a collection would come with every few hundred
// messages, a quarter of the processor time of accepting one. What it lets lie
// about, giveBack returns when the server is idle.
const heapBallast = 64 << 20

func runServe(c *cli, f *flags, args []string) error {
	if err := f.parseFlags(args); err != nil {
		return err
	}
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	// From here on a signal is ours: one that comes while the server starts
	// must not be lost, nor end it half-way.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt, syscall.SIGHUP)
	defer signal.Stop(signals)
	ballast := make([]byte, heapBallast)
	defer runtime.KeepAlive(ballast)
	s, err := startServer(cfg, c.stderr)
	if err != nil {
		return err
	}
	return s.wait(signals, func() (*Config, error) { return f.load(c) })
}

// wait serves until a signal ends the server. A second one cuts off what the
// first lets end.
func (s *server) wait(signals <-chan os.Signal, load func() (*Config, error)) error {
	for sig := range signals {
		if sig != syscall.SIGHUP {
			break
		}
		cfg, err := load()
		if err != nil {
			s.log.Warn(maillog.Warning, "doing", "reload", "err", err)
			continue
		}
		s.reload(cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return s.stop(ctx)
}
