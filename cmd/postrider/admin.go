package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"postrider/delivery"
	"postrider/internal/maillog"
	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/queue"
	"postrider/store"
	"postrider/store/sqlite"
)

// admin is what the operations of the commands work on, in the server and
// without one.
type admin struct {
	store     *store.Store
	deliver   *delivery.Deliverer
	hostname  string
	spoolDir  string
	searchDir string
	maxBytes  int64
	resolver  *resolve.Resolver
	cfg       *Config
	log       *slog.Logger
}

// adminError is a failure in words meant for the operator.
type adminError struct{ what string }

func (e adminError) Error() string { return e.what }

func adminErrorf(format string, args ...any) error { return adminError{fmt.Sprintf(format, args...)} }

// operations is the table of what can be asked for over the control socket.
func operations() map[string]operation {
	return map[string]operation{
		"account.add":      op(addAccount),
		"account.list":     op(listAccounts),
		"account.passwd":   op(setPassword),
		"account.disabled": op(setDisabled),
		"account.quota":    op(setQuota),
		"account.remove":   op(removeAccount),
		"alias.add":        op(addAlias),
		"alias.list":       op(listAliases),
		"alias.remove":     op(removeAlias),
		"domain.add":       op(addDomain),
		"domain.list":      op(listDomains),
		"domain.rotate":    op(rotateDomain),
		"domain.dns":       op(domainDNS),
		"reports":          op(readReports),
		"domain.remove":    op(removeDomain),
		"queue.list":       op(listQueue),
		"queue.show":       op(showQueue),
		"queue.act":        op(actOnQueue),
		"suppressed.list":  op(listSuppressed),
		"suppressed.set":   op(setSuppressed),
		"journey":          op(showJourney),
		"check":            op(checkStore),
		"profile":          op(takeProfile),
		"sendmail":         opBody(sendMail),
	}
}

// do carries one operation out.
func (a *admin) do(ctx context.Context, req request, body io.Reader) (any, error) {
	f, ok := operations()[req.Do]
	if !ok {
		return nil, adminErrorf("the server does not know %q; it is of another version than this command", req.Do)
	}
	return f(ctx, a, req.Args, body)
}

// openStore opens the store in the data directory, whose lock is held.
func openStore(cfg *Config, log *slog.Logger) (*store.Store, error) {
	keep := time.Duration(cfg.Journey.Keep)
	if keep == 0 {
		keep = -1
	}
	dir := cfg.DataDir
	e, err := sqlite.Open(dir, sqlite.Options{Log: log, Owner: true, KeepJourneys: keep})
	if err != nil {
		return nil, fmt.Errorf("cannot open the store in %s: %w", dir, cause(err))
	}
	return store.New(e, store.Options{}), nil
}

// cause is an error of the store without the operation and the kind, which
// tell an operator nothing.
func cause(err error) error {
	if e := (*store.Error)(nil); errors.As(err, &e) && e.Err != nil {
		return e.Err
	}
	return err
}

// openAdmin opens what operations need without a server.
func openAdmin(cfg *Config) (*admin, error) {
	log := maillog.Discard()
	st, err := openStore(cfg, log)
	if err != nil {
		return nil, err
	}
	return newAdmin(cfg, st, log)
}

func newAdmin(cfg *Config, st *store.Store, log *slog.Logger) (*admin, error) {
	spool := filepath.Join(cfg.DataDir, "tmp")
	if err := os.MkdirAll(spool, 0o700); err != nil {
		return nil, err
	}
	host := cfg.hostname()
	return &admin{store: st, deliver: newDeliverer(cfg, st, log), hostname: host, spoolDir: spool, searchDir: searchDir(cfg.DataDir),
		maxBytes: int64(cfg.Limits.MessageBytes), resolver: newResolver(cfg), cfg: cfg, log: log}, nil
}

// newResolver makes the one client of the DNS for all of this server.
func newResolver(cfg *Config) *resolve.Resolver {
	return resolve.New(resolve.Options{Server: cfg.Queue.Resolver, Trusted: append([]netip.Prefix{}, cfg.Queue.TrustedResolvers...)})
}

func newDeliverer(cfg *Config, st *store.Store, log *slog.Logger) *delivery.Deliverer {
	return delivery.New(delivery.Options{
		Store: st, Hostname: cfg.hostname(), Log: log,
		Expire: time.Duration(cfg.Queue.Expire), MaxReceived: cfg.Limits.Received,
		MessagesPerDay: cfg.Limits.MessagesPerDay, NewRcptsPerDay: cfg.Limits.NewRcptsPerDay,
		Sign: cfg.DKIM.Sign, AutoCreate: cfg.dev, NoRelay: cfg.dev, Notice: queue.NewNotifier(cfg.hostname(), nil).Delivered,
	})
}

// changed writes the log line of a change that an operator made.
func (a *admin) changed(what string, attrs ...any) {
	a.log.Info(maillog.Account, append([]any{"change", what}, attrs...)...)
}

// parseAddress reads an address that an operator typed.
func parseAddress(s string) (mail.Address, error) {
	addr, err := mail.ParseAddress(s)
	if err != nil {
		return addr, adminErrorf("%q is no address; write one such as bob@example.org", s)
	}
	return addr, nil
}

// none is the arguments or the result of an operation without.
type none struct{}
