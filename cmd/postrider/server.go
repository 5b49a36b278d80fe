package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"postrider/auth"
	"postrider/dmarcrpt"
	"postrider/internal/certs"
	"postrider/internal/maillog"
	"postrider/internal/netserve"
	"postrider/search"
	"postrider/store"
)

// queueWait bounds how long a queue whose grace is over is waited for.
const queueWait = 2 * time.Second

// server is a whole running server: what is closed by stop, in that order.
type server struct {
	cfg   *Config
	log   *slog.Logger
	lines *maillog.Lines // between log and its file; nil if there is none
	level *slog.LevelVar
	cert  certificate
	acme  *certs.Manager // nil if no authority is configured

	listeners []bound
	services  map[string]*netserve.Server // by listener name
	control   *netserve.Server
	stopQueue context.CancelFunc
	queueDone chan struct{}
	jobs      context.Context // of what works in the background
	stopJobs  context.CancelFunc
	jobsDone  sync.WaitGroup
	admin     *admin
	counts    *dmarcrpt.Counter
	index     *search.Index // nil if it is switched off
	store     *store.Store
	lock      *dirLock

	serving sync.WaitGroup
}

// newLog makes the server's logger as the configuration says.
func newLog(cfg *Config, w io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := &slog.LevelVar{}
	l, _ := logLevel(cfg.Log.Level)
	level.Set(l)
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey && a.Value.Any() == levelTrace {
			a.Value = slog.StringValue("TRACE")
		}
		return a
	}}
	f, isFile := w.(*os.File)
	onTerminal := isFile && term.IsTerminal(int(f.Fd()))
	if cfg.Log.Format == "text" || cfg.Log.Format == "auto" && onTerminal {
		return slog.New(slog.NewTextHandler(w, o)), level
	}
	return slog.New(slog.NewJSONHandler(w, o)), level
}

// startServer brings a server up: lock, listeners, privileges, store, daemons,
// in the order that lets it fail before it has done anything, and bind before
// it gives root away. It serves until stop.
func startServer(cfg *Config, logTo io.Writer) (*server, error) {
	s := &server{cfg: cfg, services: map[string]*netserve.Server{}}
	if f, ok := logTo.(*os.File); ok && !term.IsTerminal(int(f.Fd())) {
		s.lines = maillog.NewLines(f)
		logTo = s.lines
	}
	s.log, s.level = newLog(cfg, logTo)
	if err := s.start(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *server) start() error {
	for _, step := range []func() error{s.takeDir, s.bind, s.openStore, s.seed, s.openACME, s.openIndex, s.serve} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, b := range s.listeners {
		s.log.Info(maillog.Listening, "proto", b.name, "addr", b.address())
	}
	s.log.Info(maillog.Started, "version", version(), "data", s.cfg.DataDir, "hostname", s.cfg.hostname(), "pid", os.Getpid())
	if os.Getuid() == 0 && !s.cfg.dev {
		s.log.Warn(maillog.Warning, "doing", "start", "what", "running as root; name a user in the configuration")
	}
	notifySystemd("READY=1")
	return nil
}

// takeDir makes the data directory this process's own.
func (s *server) takeDir() error {
	id, err := target(s.cfg.User)
	if err != nil {
		return err
	}
	if err := makeDataDir(s.cfg.DataDir); err != nil {
		return err
	}
	if id != nil {
		if err := giveAway(s.cfg.DataDir, *id); err != nil {
			return fmt.Errorf("cannot give the data directory to %s: %w", s.cfg.User, err)
		}
	}
	s.lock, err = lockDir(s.cfg.DataDir)
	if err == nil && id != nil {
		err = s.lock.f.Chown(id.uid, id.gid)
	}
	if err == nil {
		os.Remove(listenersPath(s.cfg.DataDir)) // of a server that was killed
	}
	return err
}

// bind opens the listeners, and reads a configured key, which root alone may
// be able to; then it becomes the configured user.
func (s *server) bind() (err error) {
	if s.listeners, err = bind(s.cfg); err != nil {
		return err
	}
	if s.cfg.TLS.Certificate != "" {
		if err := s.loadCertificate(s.cfg); err != nil {
			return err
		}
	}
	id, err := target(s.cfg.User)
	if err != nil {
		return err
	}
	if id == nil {
		return nil
	}
	for _, b := range s.listeners {
		if b.path != "" {
			if err := os.Lchown(b.path, id.uid, id.gid); err != nil {
				return err
			}
		}
	}
	return become(*id)
}

func (s *server) openStore() error {
	if s.cfg.TLS.Certificate == "" {
		if err := s.loadCertificate(s.cfg); err != nil {
			return err
		}
	}
	var err error
	if s.store, err = openStore(s.cfg, s.log); err != nil {
		return err
	}
	s.admin, err = newAdmin(s.cfg, s.store, s.log)
	return err
}

// openIndex opens the search index, or removes it if it is switched off: it
// would only grow old. Mail does not depend on it.
func (s *server) openIndex() (err error) {
	dir := searchDir(s.cfg.DataDir)
	if !s.cfg.Search.Index {
		return os.RemoveAll(dir)
	}
	if s.index, err = search.Open(dir, s.store, search.Options{Log: s.log}); err != nil {
		s.log.Warn(maillog.Warning, "doing", "start", "what", "no search index", "err", err)
	}
	return nil
}

func searchDir(dataDir string) string { return filepath.Join(dataDir, "search") }

// seed makes the configured domains and accounts that are missing. What is
// there stays as it is: a password that was changed by command does not come
// back.
func (s *server) seed() error {
	ctx := context.Background()
	for _, d := range s.cfg.Domains {
		if _, err := s.store.AddDomain(ctx, d); err != nil && store.KindOf(err) != store.Exists {
			return fmt.Errorf("domain %s: %w", d, err)
		}
		if s.cfg.dev || !s.cfg.DKIM.Sign {
			continue
		}
		if err := firstKeys(ctx, s.store, d); err != nil {
			return fmt.Errorf("domain %s: %w", d, err)
		}
	}
	s.admin.publish(ctx)
	for _, a := range s.cfg.Accounts {
		addr, err := parseAddress(a.Address)
		if err != nil {
			return err
		}
		if _, err := s.store.Lookup(ctx, addr); err == nil {
			continue
		} else if store.KindOf(err) != store.NotFound {
			return fmt.Errorf("account %s: %w", addr, err)
		}
		cred, err := auth.NewCredential(a.Password)
		if err != nil {
			return fmt.Errorf("account %s: this password cannot be used: %w", addr, err)
		}
		if _, err := s.store.Domain(ctx, addr.Domain); err != nil && store.KindOf(err) == store.NotFound {
			return fmt.Errorf("account %s: its domain is not here; add %q to domains in the configuration", addr, addr.Domain)
		}
		if _, err := addAccount(ctx, s.admin, accountArgs{Address: a.Address, Credential: cred, Admin: a.Admin, Quota: int64(a.Quota)}); err != nil {
			return err
		}
	}
	return nil
}

// serve starts the queue, the daemons and the control socket.
func (s *server) serve() error {
	authn, err := s.authenticator()
	if err != nil {
		return err
	}
	if !s.cfg.dev {
		s.startQueue()
	}
	s.countDMARC()
	d := s.daemons(authn)
	all := netserve.NewLimiter(descriptors(), 0)
	limiters := map[string]*netserve.Limiter{}
	for _, b := range s.listeners {
		service, isTLS := strings.CutSuffix(b.name, "-tls")
		srv := s.services[b.name]
		if srv == nil {
			lim := limiters[service]
			if lim == nil { // a service's ports count together
				lim = netserve.NewLimiterWithin(all, s.cfg.Limits.Connections, s.cfg.Limits.ConnectionsPerIP)
				limiters[service] = lim
			}
			srv = &netserve.Server{Name: service, Handle: d[service].Serve, Refuse: d[service].Refuse, Limiter: lim, Log: s.log}
			if isTLS {
				srv.TLS = s.tls(service)
			}
			s.services[b.name] = srv
		}
		s.accept(srv, b)
	}
	s.startACME()
	l, err := listenUnix(controlPath(s.cfg.DataDir), 0o600)
	if err != nil {
		return fmt.Errorf("cannot open the control socket: %w", err)
	}
	s.control = controlServer(s.admin)
	s.accept(s.control, l)
	s.background(giveBack)
	return writeListeners(s.cfg.DataDir, s.listeners)
}

// descriptors is how many connections may be open in all: three of four files
// that the system lets this process open, so that the store has what it needs
// when a flood comes.
func descriptors() int {
	const most, others = 1 << 30, 64
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0
	}
	return max(int(min(r.Cur, most))-others, 4) * 3 / 4
}

// accept runs srv on l. It ends only by Shutdown; anything else is for an
// operator to see.
func (s *server) accept(srv *netserve.Server, l net.Listener) {
	s.serving.Add(1)
	go func() {
		defer s.serving.Done()
		if err := srv.Serve(l); err != nil {
			s.log.Error(maillog.Failed, "proto", srv.Name, "doing", "accept", "err", err)
		}
	}()
}

// stop ends the server: no new connections, commands under way end, the queue
// ends, the store closes last. When ctx ends, what is still open is cut off.
func (s *server) stop(ctx context.Context) error {
	notifySystemd("STOPPING=1")
	s.log.Info(maillog.Stopping, "doing", "drain", "seconds", int(time.Duration(s.cfg.Limits.Drain).Seconds()))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.Limits.Drain))
	defer cancel()
	os.Remove(listenersPath(s.cfg.DataDir))
	var cut sync.WaitGroup
	for name, srv := range s.services {
		cut.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				s.log.Warn(maillog.Warning, "proto", name, "doing", "drain", "what", "connections were cut off", "err", err)
			}
		})
	}
	if s.stopQueue != nil {
		s.stopQueue()
		select {
		case <-s.queueDone:
		case <-ctx.Done():
			s.log.Warn(maillog.Warning, "doing", "drain", "what", "attempts were cut off")
		}
	}
	cut.Wait()
	err := s.close()
	if err == nil {
		s.log.Info(maillog.Stopped)
	}
	return err
}

// close releases what start took, whatever of it there is.
func (s *server) close() error {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, srv := range s.services {
		srv.Shutdown(done)
	}
	if s.control != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		s.control.Shutdown(ctx)
		cancel()
		os.Remove(controlPath(s.cfg.DataDir))
	}
	if s.stopQueue != nil {
		s.stopQueue()
		select {
		case <-s.queueDone:
		case <-time.After(queueWait):
		}
	}
	closeAll(s.listeners)
	s.serving.Wait()
	s.endBackground()
	if s.index != nil {
		s.index.Close()
	}
	var err error
	if s.store != nil {
		err = s.store.Close()
	}
	if s.lock != nil {
		s.lock.release()
	}
	if s.lines != nil {
		s.lines.Close() // what is logged from here on goes straight through
	}
	return err
}
