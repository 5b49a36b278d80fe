package main

import (
	"context"
	"net"
	"strconv"
	"time"

	"postrider/internal/maillog"
	"postrider/queue"
	"postrider/smtpc"
)

// startQueue starts sending what leaves this server.
func (s *server) startQueue() {
	q := s.cfg.Queue
	o := smtpc.Options{
		Hostname: s.cfg.hostname(), Resolver: s.admin.resolver, SystemHosts: q.Resolver == "", Port: q.Port, Smarthost: smarthost(q),
		Local: smtpc.ListensAt(addrPorts(s.listeners, "smtp")...), Trace: s.trace, Log: s.log,
		SpoolDir: s.admin.spoolDir,
	}
	s.secureTransport(&o)
	late := time.Duration(q.DelayNotice)
	if late == 0 {
		late = -1 // never
	}
	retry := make([]time.Duration, len(q.Retry))
	for i, d := range q.Retry {
		retry[i] = time.Duration(d)
	}
	client := smtpc.New(o)
	run := queue.New(queue.Options{
		Store: s.store, Deliver: s.admin.deliver, Client: client, Route: routes(s.cfg, client), Hostname: s.cfg.hostname(), Retry: retry,
		DelayNotice: late, Workers: q.Workers, PerDest: q.PerDestination,
		SuppressAfter: q.SuppressAfter, SuppressFor: time.Duration(q.SuppressFor),
		Grace: time.Duration(s.cfg.Limits.Drain) / 2, Log: s.log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.stopQueue, s.queueDone = cancel, done
	go func() {
		defer close(done)
		if err := run.Run(ctx); err != nil {
			s.log.Error(maillog.Failed, "doing", "queue", "err", err)
		}
	}()
}

// trace writes a line of an outgoing dialogue to the log. Credentials and
// message text are not in it.
func (s *server) trace(l smtpc.Line) {
	s.log.Log(context.Background(), levelTrace, maillog.Trace, "id", l.Message, "dest", l.Dest, "host", l.Host,
		"phase", l.Phase.String(), "dir", string(l.Dir), "line", l.Text)
}

func smarthost(q QueueConfig) *smtpc.Smarthost {
	if q.Smarthost == "" {
		return nil
	}
	host, port, _ := net.SplitHostPort(q.Smarthost)
	h := &smtpc.Smarthost{Host: host, User: q.SmarthostUser, Password: q.SmarthostPassword}
	h.Port, _ = strconv.Atoi(port)
	h.TLS, _ = smarthostTLS(q.SmarthostTLS)
	return h
}
