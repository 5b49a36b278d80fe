package main

import (
	"reflect"

	"postrider/internal/maillog"
)

// reload takes over what can change while the server runs: the certificate,
// the log's level, and domains and accounts that are new. It tells which of
// the other keys wait for a restart.
func (s *server) reload(cfg *Config) {
	if err := s.reloadParts(cfg); err != nil {
		s.log.Warn(maillog.Warning, "doing", "reload", "err", err)
		return
	}
	s.log.Info(maillog.Reloaded)
}

func (s *server) reloadParts(cfg *Config) error {
	if err := s.loadCertificate(cfg); err != nil {
		return err
	}
	level, _ := logLevel(cfg.Log.Level)
	s.level.Set(level)
	next := *s.cfg
	next.TLS, next.Log.Level, next.Domains, next.Accounts = cfg.TLS, cfg.Log.Level, cfg.Domains, cfg.Accounts
	s.cfg = &next
	if waiting := differences(&next, cfg); len(waiting) > 0 {
		s.log.Warn(maillog.Warning, "doing", "reload", "what", "these keys take effect at the next start", "keys", waiting)
	}
	return s.seed()
}

// differences lists the keys whose values differ.
func differences(a, b *Config) []string {
	names, fieldsA := keysOf(reflect.ValueOf(a).Elem(), "")
	_, fieldsB := keysOf(reflect.ValueOf(b).Elem(), "")
	var out []string
	for _, n := range names {
		if !reflect.DeepEqual(fieldsA[n].Interface(), fieldsB[n].Interface()) {
			out = append(out, n)
		}
	}
	return out
}
