package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"postrider/internal/labdns"
)

func dnsCommand() command {
	return command{name: "dns", hidden: "config data", args: "--zone FILE [--listen :53]", run: runDNS,
		summary: "Run a small authoritative DNS server for labs.\n" +
			"It answers over UDP and TCP until it is stopped. The zone file may hold several domains; it is the whole world that the server knows."}
}

func runDNS(c *cli, f *flags, args []string) error {
	zone := f.String("zone", "", "zone `FILE` in the format of RFC 1035")
	listen := f.String("listen", ":53", "`ADDRESS` to listen on")
	if err := f.parseFlags(args); err != nil {
		return err
	}
	if *zone == "" {
		return usagef("--zone FILE is missing")
	}
	file, err := os.Open(*zone)
	if err != nil {
		return err
	}
	defer file.Close()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := labdns.Start(*listen, file)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(c.stdout, "DNS answers on %s\n", s.Addr())
	<-ctx.Done()
	return nil
}
