package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"postrider/internal/labdns"
)

// zonesEvery is how often a directory of zones is looked at.
const zonesEvery = time.Second

func dnsCommand() command {
	return command{name: "dns", hidden: "config data", args: "--zone FILE [--zones DIR] [--listen :53]", run: runDNS,
		summary: "Run a small authoritative DNS server for labs.\n" +
			"It answers over UDP and TCP until it is stopped. The zone file may hold several domains; it is the whole world that the server knows, " +
			"with what stands in DIR, where servers write the records of their domains ([dns] zone_dir)."}
}

func runDNS(c *cli, f *flags, args []string) error {
	zone := f.String("zone", "", "zone `FILE` in the format of RFC 1035")
	dir := f.String("zones", "", "directory `DIR` of more such files, read again when they change")
	listen := f.String("listen", ":53", "`ADDRESS` to listen on")
	if err := f.parseFlags(args); err != nil {
		return err
	}
	if *zone == "" {
		return usagef("--zone FILE is missing")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	all, err := readZones(*zone, *dir)
	if err != nil {
		return err
	}
	s, err := labdns.Start(*listen, bytes.NewReader(all))
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(c.stdout, "DNS answers on %s\n", s.Addr())
	if *dir == "" {
		<-ctx.Done()
		return nil
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(zonesEvery):
		}
		now, err := readZones(*zone, *dir)
		if err == nil && !bytes.Equal(now, all) {
			all = now
			err = s.Load(bytes.NewReader(all))
		}
		if err != nil {
			fmt.Fprintf(c.stderr, "%s; the zones stay as they were\n", oneLine(err))
		}
	}
}

// readZones reads the zone file and those in a directory.
func readZones(zone, dir string) ([]byte, error) {
	all, err := os.ReadFile(zone)
	if err != nil || dir == "" {
		return all, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.zone"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(append(all, "\n$ORIGIN .\n"...), b...)
	}
	return all, nil
}
