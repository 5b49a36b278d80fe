package main

import (
	"context"
	"math/rand/v2"
	"time"

	"postrider/dmarcrpt"
	"postrider/internal/maillog"
	"postrider/mail"
)

// countDMARC counts what is found in other domains' mail, and has them told
// every day. A server that does neither counts for nobody.
func (s *server) countDMARC() {
	s.counts = &dmarcrpt.Counter{Store: s.store, Now: time.Now}
	if !s.cfg.Checks.Enabled || !s.cfg.Checks.Reports || s.cfg.dev {
		s.counts = nil
		return
	}
	s.background(func(ctx context.Context) {
		origin, err := s.admin.origin(ctx)
		if err != nil {
			s.log.Error(maillog.Failed, "doing", "DMARC reports", "err", err)
			return
		}
		sender := &dmarcrpt.Sender{Counter: s.counts, Store: s.store, Deliver: s.admin.deliver, Resolver: s.admin.resolver, Hostname: s.cfg.hostname(),
			Contact: mail.Address{Local: "postmaster", Domain: origin}, Spread: rand.Float64(), Now: time.Now, Log: s.log}
		sender.Run(ctx)
	})
}
