package main

import (
	"log/slog"
	"net/netip"
	"os"
	"time"

	"postrider/internal/resolve"
	"postrider/mail"
	"postrider/mailauth"
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
	MTASTS     MTASTSConfig    `toml:"mta_sts"`
	ACME       ACMEConfig      `toml:"acme"`
	Auth       AuthConfig      `toml:"auth"`
	Checks     ChecksConfig    `toml:"checks"`
	DKIM       DKIMConfig      `toml:"dkim"`
	DNS        DNSConfig       `toml:"dns"`
	Limits     LimitsConfig    `toml:"limits"`
	Search     SearchConfig    `toml:"search"`
	Journey    JourneyConfig   `toml:"journey"`
	Queue      QueueConfig     `toml:"queue"`
	Routes     []RouteConfig   `toml:"route"`
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

// MTASTSConfig is the policy that our own domains tell others (RFC 8461).
type MTASTSConfig struct {
	Mode   string   `toml:"mode"`
	MaxAge Duration `toml:"max_age"`
	MX     []string `toml:"mx"`
}

// ACMEConfig is about certificates from an authority (RFC 8555).
type ACMEConfig struct {
	Directory       string   `toml:"directory"`
	Roots           string   `toml:"roots"`
	Contact         string   `toml:"contact"`
	Names           []string `toml:"names"`
	Challenge       string   `toml:"challenge"`
	KeyID           string   `toml:"key_id"`
	Key             string   `toml:"key"`
	DNSServer       string   `toml:"dns_server"`
	DNSKeyName      string   `toml:"dns_key_name"`
	DNSKeyAlgorithm string   `toml:"dns_key_algorithm"`
	DNSKey          string   `toml:"dns_key"`
	DNSWait         Duration `toml:"dns_wait"`
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
	ClientCA          string         `toml:"client_ca"`
}

// ChecksConfig is about mail from other servers: who it is from.
type ChecksConfig struct {
	Enabled        bool           `toml:"enabled"`
	Policy         string         `toml:"policy"`
	SPFFail        string         `toml:"spf_fail"`
	TrustedSealers []string       `toml:"trusted_sealers"`
	ExemptNetworks []netip.Prefix `toml:"exempt_networks"`
	Timeout        Duration       `toml:"timeout"`
	Reports        bool           `toml:"reports"`
}

// DKIMConfig is about signing.
type DKIMConfig struct {
	Sign bool `toml:"sign"`
}

// DNSConfig is about what is published.
type DNSConfig struct {
	ZoneDir string `toml:"zone_dir"`
}

// LimitsConfig bounds what peers may ask for.
type LimitsConfig struct {
	MessageBytes        Size     `toml:"message_bytes"`
	Recipients          int      `toml:"recipients"`
	Received            int      `toml:"received"`
	Connections         int      `toml:"connections"`
	ConnectionsPerIP    int      `toml:"connections_per_ip"`
	UnknownRcptsPerHour int      `toml:"unknown_recipients_per_hour"`
	FetchCache          Size     `toml:"fetch_cache"`
	MessagesPerDay      int      `toml:"messages_per_day"`
	NewRcptsPerDay      int      `toml:"new_recipients_per_day"`
	Drain               Duration `toml:"drain"`
}

// SearchConfig is about finding text in messages.
type SearchConfig struct {
	Index bool `toml:"index"`
}

// JourneyConfig is about what is remembered of messages.
type JourneyConfig struct {
	Keep Duration `toml:"keep"`
}

// QueueConfig is about outgoing mail.
type QueueConfig struct {
	Smarthost         string         `toml:"smarthost"`
	SmarthostUser     string         `toml:"smarthost_user"`
	SmarthostPassword string         `toml:"smarthost_password"`
	SmarthostTLS      string         `toml:"smarthost_tls"`
	Resolver          string         `toml:"resolver"`
	TrustedResolvers  []netip.Prefix `toml:"trusted_resolvers"`
	PrivateNetworks   []netip.Prefix `toml:"private_networks"`
	MTASTS            bool           `toml:"mta_sts"`
	TLSReports        bool           `toml:"tls_reports"`
	Port              int            `toml:"port"`
	Retry             []Duration     `toml:"retry"`
	Expire            Duration       `toml:"expire"`
	DelayNotice       Duration       `toml:"delay_notice"`
	Workers           int            `toml:"workers"`
	PerDestination    int            `toml:"per_destination"`
	SuppressAfter     int            `toml:"suppress_after"`
	SuppressFor       Duration       `toml:"suppress_for"`
}

// RouteConfig is another way out for some of the mail. The first that fits
// is taken.
type RouteConfig struct {
	Name          string   `toml:"name"`
	From          []string `toml:"from"`
	To            []string `toml:"to"`
	Smarthost     string   `toml:"smarthost"`
	User          string   `toml:"user"`
	Password      string   `toml:"password"`
	TLS           string   `toml:"tls"`
	Source        []string `toml:"source"`
	SOCKS         string   `toml:"socks"`
	SOCKSUser     string   `toml:"socks_user"`
	SOCKSPassword string   `toml:"socks_password"`
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
		MTASTS:     MTASTSConfig{MaxAge: Duration(7 * 24 * time.Hour), MX: []string{}},
		ACME:       ACMEConfig{Challenge: "http-01", Names: []string{}, DNSKeyAlgorithm: "hmac-sha256"},
		Auth: AuthConfig{PlaintextNetworks: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}},
		Checks: ChecksConfig{
			Enabled: true, Policy: "enforce", SPFFail: "accept", TrustedSealers: []string{}, Timeout: Duration(5 * time.Second), Reports: true,
			ExemptNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
		},
		DKIM: DKIMConfig{Sign: true},
		Limits: LimitsConfig{
			MessageBytes:        50 << 20,
			Recipients:          1000,
			Received:            50,
			Connections:         10000,
			ConnectionsPerIP:    200,
			UnknownRcptsPerHour: 300,
			FetchCache:          32 << 20,
			Drain:               Duration(20 * time.Second),
		},
		Search:  SearchConfig{Index: true},
		Journey: JourneyConfig{Keep: Duration(30 * 24 * time.Hour)},
		Queue: QueueConfig{
			SmarthostTLS:     "opportunistic",
			TrustedResolvers: resolve.Loopback(),
			PrivateNetworks:  []netip.Prefix{},
			MTASTS:           true,
			TLSReports:       true,
			Port:             25,
			Retry: []Duration{Duration(5 * time.Minute), Duration(15 * time.Minute), Duration(30 * time.Minute),
				Duration(time.Hour), Duration(2 * time.Hour), Duration(4 * time.Hour)},
			Expire:         Duration(5 * 24 * time.Hour),
			DelayNotice:    Duration(4 * time.Hour),
			Workers:        20,
			PerDestination: 8,
			SuppressAfter:  3,
			SuppressFor:    Duration(30 * 24 * time.Hour),
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

// dmarcPolicy finds what to do with a DMARC policy by its name.
func dmarcPolicy(name string) (mailauth.Act, bool) {
	switch name {
	case "enforce":
		return mailauth.ActEnforce, true
	case "junk":
		return mailauth.ActJunk, true
	case "report":
		return mailauth.ActReport, true
	}
	return 0, false
}

// spfAction finds what to do where SPF fails by its name.
func spfAction(name string) (mailauth.SPFAction, bool) {
	switch name {
	case "accept":
		return mailauth.SPFAccept, true
	case "junk":
		return mailauth.SPFJunk, true
	case "refuse":
		return mailauth.SPFRefuse, true
	}
	return 0, false
}
