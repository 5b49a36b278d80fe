package main

import (
	"log/slog"
	"net/netip"
	"os"
	"time"

	"postrider/mail"
	"postrider/smtpc"
)

// Config is the whole configuration: a TOML file, each key of which the
// environment overrides. The tag of a field is its key; config.toml.example
// explains each and is held to DefaultConfig by a test.
type Config struct {
	Hostname string   `toml:"hostname"`
	DataDir  string   `toml:"data_dir"`
	Domains  []string `toml:"domains"`
	User     string   `toml:"user"`

	Log        LogConfig       `toml:"log"`
	TLS        TLSConfig       `toml:"tls"`
	SMTP       PlainListen     `toml:"smtp"`
	Submission Listen          `toml:"submission"`
	POP3       Listen          `toml:"pop3"`
	IMAP       Listen          `toml:"imap"`
	LMTP       PlainListen     `toml:"lmtp"`
	HTTP       Listen          `toml:"http"`
	Auth       AuthConfig      `toml:"auth"`
	Limits     LimitsConfig    `toml:"limits"`
	Search     SearchConfig    `toml:"search"`
	Queue      QueueConfig     `toml:"queue"`
	Accounts   []AccountConfig `toml:"account"`

	dev bool // any address, any password, nothing leaves

}

// LogConfig says what is logged and how.
type LogConfig struct {
	Level  string `toml:"level"`
	Format string `toml:"format"`
}

// TLSConfig names the certificate; both empty is a self-signed one.
type TLSConfig struct {
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
}

// PlainListen is where a service without a TLS port of its own listens.
type PlainListen struct {
	Listen []string `toml:"listen"`
}

// Listen is where a service listens in clear, with STARTTLS, and with TLS
// from the first byte.
type Listen struct {
	Listen    []string `toml:"listen"`
	ListenTLS []string `toml:"listen_tls"`
}

// AuthConfig is about logins.
type AuthConfig struct {
	PlaintextNetworks []netip.Prefix `toml:"plaintext_networks"`
}

// LimitsConfig bounds what peers may ask for.
type LimitsConfig struct {
	MessageBytes     Size     `toml:"message_bytes"`
	Recipients       int      `toml:"recipients"`
	Received         int      `toml:"received"`
	Connections      int      `toml:"connections"`
	ConnectionsPerIP int      `toml:"connections_per_ip"`
	FetchCache       Size     `toml:"fetch_cache"`
	Drain            Duration `toml:"drain"`
}

// SearchConfig is about finding text in messages.
type SearchConfig struct {
	Index bool `toml:"index"`
}

// QueueConfig is about outgoing mail.
type QueueConfig struct {
	Smarthost         string     `toml:"smarthost"`
	SmarthostUser     string     `toml:"smarthost_user"`
	SmarthostPassword string     `toml:"smarthost_password"`
	SmarthostTLS      string     `toml:"smarthost_tls"`
	Resolver          string     `toml:"resolver"`
	Port              int        `toml:"port"`
	Retry             []Duration `toml:"retry"`
	Expire            Duration   `toml:"expire"`
	DelayNotice       Duration   `toml:"delay_notice"`
	Workers           int        `toml:"workers"`
	PerDestination    int        `toml:"per_destination"`
}

// AccountConfig is an account that is made at start if it is missing.
type AccountConfig struct {
	Address  string `toml:"address"`
	Password string `toml:"password"`
	Admin    bool   `toml:"admin"`
	Quota    Size   `toml:"quota"`
}

// DefaultConfig is what holds where neither file nor environment say
// otherwise.
func DefaultConfig() *Config {
	return &Config{
		DataDir:    "/var/lib/postrider",
		Domains:    []string{},
		Log:        LogConfig{Level: "info", Format: "auto"},
		SMTP:       PlainListen{[]string{":25"}},
		Submission: Listen{[]string{":587"}, []string{":465"}},
		POP3:       Listen{[]string{":110"}, []string{":995"}},
		IMAP:       Listen{[]string{":143"}, []string{":993"}},
		LMTP:       PlainListen{[]string{}},
		HTTP:       Listen{[]string{}, []string{}},
		Auth: AuthConfig{PlaintextNetworks: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		Limits: LimitsConfig{
			MessageBytes:     50 << 20,
			Recipients:       1000,
			Received:         50,
			Connections:      10000,
			ConnectionsPerIP: 200,
			FetchCache:       32 << 20,
			Drain:            Duration(20 * time.Second),
		},
		Search: SearchConfig{Index: true},
		Queue: QueueConfig{
			SmarthostTLS: "opportunistic",
			Port:         25,
			Retry: []Duration{Duration(5 * time.Minute), Duration(15 * time.Minute), Duration(30 * time.Minute),
				Duration(time.Hour), Duration(2 * time.Hour), Duration(4 * time.Hour)},
			Expire:         Duration(5 * 24 * time.Hour),
			DelayNotice:    Duration(4 * time.Hour),
			Workers:        20,
			PerDestination: 4,
		},
	}
}

// hostname is how the server names itself: as configured, or as the machine
// is called.
func (c *Config) hostname() string {
	if c.Hostname != "" {
		return c.Hostname
	}
	if name, err := os.Hostname(); err == nil {
		if name, err = mail.DomainKey(name); err == nil {
			return name
		}
	}
	return "localhost"
}

// levelTrace is below debug: every line of outgoing dialogues.
const levelTrace = slog.LevelDebug - 4

// logLevel finds the level that a name stands for.
func logLevel(name string) (slog.Level, bool) {
	switch name {
	case "trace":
		return levelTrace, true
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	}
	return 0, false
}

// smarthostTLS finds the way to a smarthost that a name stands for.
func smarthostTLS(name string) (smtpc.TLSMode, bool) {
	switch name {
	case "starttls":
		return smtpc.TLSStartTLS, true
	case "tls":
		return smtpc.TLSImplicit, true
	case "opportunistic":
		return smtpc.TLSOpportunistic, true
	case "none":
		return smtpc.TLSNone, true
	}
	return 0, false
}
