package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

func profileCommand() command {
	return command{name: "profile", args: "[--seconds N] [KIND]", run: runProfile,
		summary: "Write a profile of the running server to standard output, for `go tool pprof`.\n" +
			"KIND is cpu (the default, over --seconds), trace (over --seconds, for `go tool trace`), heap, allocs,\n" +
			"goroutine or threadcreate. It goes over the control socket: nothing listens for it."}
}

// maxProfile bounds how long a profile may take.
const maxProfile = 10 * time.Minute

type profileArgs struct {
	Kind string        `json:"kind"`
	Time time.Duration `json:"time"`
}

// profileKinds is what can be asked for: overTime is what takes --seconds.
func profileKinds() (overTime, atOnce []string) {
	return []string{"cpu", "trace"}, []string{"heap", "allocs", "goroutine", "threadcreate"}
}

func runProfile(c *cli, f *flags, args []string) error {
	seconds := f.Int("seconds", 10, "how many `SECONDS` cpu and trace take")
	rest, err := f.parse(args)
	if err != nil {
		return err
	}
	want := profileArgs{"cpu", time.Duration(*seconds) * time.Second}
	if len(rest) > 0 {
		want.Kind = rest[0]
	}
	overTime, atOnce := profileKinds()
	switch kinds := append(overTime, atOnce...); {
	case len(rest) > 1:
		return usagef("%q is one word too many", rest[1])
	case !slices.Contains(kinds, want.Kind):
		return usagef("there is no profile %q; write one of %s", want.Kind, strings.Join(kinds, ", "))
	case want.Time <= 0 || want.Time > maxProfile:
		return usagef("%d seconds are not possible; write 1 to %.0f", *seconds, maxProfile.Seconds())
	}
	if out, ok := c.stdout.(*os.File); ok && term.IsTerminal(int(out.Fd())) {
		return usagef("a profile is nothing to read on a terminal; write it to a file: postrider profile >cpu.pprof")
	}
	cfg, err := f.load(c)
	if err != nil {
		return err
	}
	conn, err := dialControl(cfg.DataDir)
	if err != nil {
		return fmt.Errorf("no server to profile answers in %s: %w", cfg.DataDir, err)
	}
	raw, err := json.Marshal(want)
	if err != nil {
		return err
	}
	answer, err := ask(conn, request{Do: "profile", Args: raw}, nil, nil)
	if err != nil {
		return err
	}
	var profile []byte
	if err := json.Unmarshal(answer, &profile); err != nil {
		return err
	}
	_, err = c.stdout.Write(profile)
	return err
}

// takeProfile makes a profile of this process.
func takeProfile(ctx context.Context, _ *admin, args profileArgs) ([]byte, error) {
	var out bytes.Buffer
	var err error
	switch args.Kind {
	case "cpu":
		if err = pprof.StartCPUProfile(&out); err == nil {
			err = profileFor(ctx, args.Time)
			pprof.StopCPUProfile()
		}
	case "trace":
		if err = trace.Start(&out); err == nil {
			err = profileFor(ctx, args.Time)
			trace.Stop()
		}
	default:
		if _, atOnce := profileKinds(); !slices.Contains(atOnce, args.Kind) {
			return nil, adminErrorf("there is no profile %q", args.Kind)
		}
		if args.Kind == "heap" {
			runtime.GC() // the profile is of the last collection
		}
		err = pprof.Lookup(args.Kind).WriteTo(&out, 0)
	}
	if err != nil {
		return nil, adminErrorf("%v", err)
	}
	return out.Bytes(), nil
}

// profileFor waits while a profile is taken.
func profileFor(ctx context.Context, d time.Duration) error {
	if d <= 0 || d > maxProfile {
		return errors.New("no such time")
	}
	select {
	case <-ctx.Done():
		return errors.New("the server stops")
	case <-time.After(d):
		return nil
	}
}
