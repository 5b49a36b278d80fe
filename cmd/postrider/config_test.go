package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
)

// loadText loads text as a file named "c.toml", as seen in error messages.
func loadText(t *testing.T, text string, environ ...string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("c.toml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load("c.toml", environ)
}

// The example is the defaults: it parses to them, names every key and says
// something of each.
func TestExampleIsDefault(t *testing.T) {
	const path = "../../config.toml.example"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	if p := want.check(); p != nil {
		t.Fatal(p)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example is\n%+v\nthe defaults are\n%+v", got, want)
	}
	var root map[string]any
	md, err := toml.Decode(string(text), &root)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, k := range md.Keys() {
		keys = append(keys, k.String())
	}
	names, _ := keysOf(reflect.ValueOf(want).Elem(), "")
	for _, n := range names {
		if n != "account" && n != "route" && !slices.Contains(keys, n) {
			t.Errorf("the example lacks %s", n)
		}
	}
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if isKey := regexp.MustCompile(`^[a-z_]+ = `); isKey.MatchString(line) && !strings.HasPrefix(lines[i-1], "# ") {
			t.Errorf("line %d explains nothing: %s", i+1, line)
		}
	}
}

// What the example shows of accounts, without its comment marks, is an
// account with the default values.
func TestExampleAccount(t *testing.T) {
	text, err := os.ReadFile("../../config.toml.example")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, ok := strings.Cut(string(text), "# [[account]]\n")
	if !ok {
		t.Fatal("no account in the example")
	}
	cfg, err := loadText(t, "[[account]]\n"+strings.ReplaceAll("\n"+sample, "\n# ", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []AccountConfig{{Address: "bob@example.org", Password: "…"}}
	if !slices.Equal(cfg.Accounts, want) {
		t.Errorf("accounts %+v", cfg.Accounts)
	}
	names, _ := keysOf(reflect.ValueOf(&want[0]).Elem(), "")
	for _, n := range names {
		if !strings.Contains(sample, "# "+n+" = ") {
			t.Errorf("the example's account lacks %s", n)
		}
	}
}

func TestLoad(t *testing.T) {
	cfg, err := loadText(t, `
hostname = "mail.example.org"
domains = ["example.org", "bücher.example"]
smtp = { listen = ["127.0.0.1:25", "[::1]:25"] }
[lmtp]
listen = ["unix:/run/lmtp.sock", "localhost:24"]
[limits]
message_bytes = 1000000
[queue]
retry = [
  "1m",   # soon
  "1h30m",
]
expire = "2d12h"
[[account]]
address = "bob@example.org"
password = "a:b,c"
quota = "5G"
`)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Limits.MessageBytes != 1000000 || cfg.Queue.Expire != Duration(60*time.Hour) || len(cfg.SMTP.Listen) != 2 ||
		!slices.Equal(cfg.Queue.Retry, []Duration{Duration(time.Minute), Duration(90 * time.Minute)}) ||
		cfg.Accounts[0].Quota != 5<<30 || cfg.POP3.Listen[0] != ":110" {
		t.Errorf("%+v", cfg)
	}
}

func TestEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(file, []byte("carol@c.test:with:colon\n\ndave@c.test:x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadText(t, "hostname = \"file.test\"\n[imap]\nlisten = [\":1\"]\n",
		"POSTRIDER_HOSTNAME=env.test", "POSTRIDER_DOMAINS=a.test, b.test", "POSTRIDER_SMTP_LISTEN=:2525",
		"POSTRIDER_IMAP_LISTEN=", "POSTRIDER_LIMITS_MESSAGE_BYTES=1MB", "POSTRIDER_LIMITS_CONNECTIONS_PER_IP=7",
		"POSTRIDER_QUEUE_RETRY=1m,2m", "POSTRIDER_AUTH_PLAINTEXT_NETWORKS=10.1.2.3/8",
		"POSTRIDER_ACCOUNTS=alice@a.test:se@cr:et, bob@b.test:x", "POSTRIDER_ACCOUNTS_FILE="+file,
		"POSTRIDER_PORT_25_TCP_ADDR=10.0.0.1", "POSTRIDER_SERVICE_HOST=10.0.0.1", "POSTRIDER_SMTP_SERVICE_PORT=25",
		"POSTRIDER_PORT=tcp://10.0.0.1:25", "POSTRIDER_CONFIG=/nowhere", "PATH=/bin")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Hostname != "env.test" || !slices.Equal(cfg.Domains, []string{"a.test", "b.test"}) ||
		!slices.Equal(cfg.SMTP.Listen, []string{":2525"}) || len(cfg.IMAP.Listen) != 0 || cfg.Limits.MessageBytes != 1<<20 ||
		cfg.Limits.ConnectionsPerIP != 7 || len(cfg.Queue.Retry) != 2 || cfg.Auth.PlaintextNetworks[0].String() != "10.0.0.0/8" {
		t.Errorf("%+v", cfg)
	}
	want := []AccountConfig{{Address: "alice@a.test", Password: "se@cr:et"}, {Address: "bob@b.test", Password: "x"},
		{Address: "carol@c.test", Password: "with:colon"}, {Address: "dave@c.test", Password: "x"}}
	if !slices.Equal(cfg.Accounts, want) {
		t.Errorf("accounts %+v", cfg.Accounts)
	}
}

// Every key can be set from the environment, whatever its type.
func TestEveryKeyFromEnvironment(t *testing.T) {
	cfg := DefaultConfig()
	names, fields := keysOf(reflect.ValueOf(cfg).Elem(), "")
	for _, n := range names {
		if n == "account" || n == "route" {
			continue
		}
		text := map[string]string{"string": "x", "int": "7", "bool": "true", "main.Size": "7MB", "main.Duration": "7h",
			"[]string": "x,y", "[]main.Duration": "7h", "[]netip.Prefix": "10.0.0.0/8"}[fields[n].Type().String()]
		if fields[n].Kind() == reflect.Bool {
			text = strconv.FormatBool(!fields[n].Bool())
		}
		before := reflect.ValueOf(fields[n].Interface())
		name := "POSTRIDER_" + strings.ToUpper(strings.ReplaceAll(n, ".", "_"))
		if err := loadEnv(cfg, []string{name + "=" + text}, origins{}); text == "" || err != nil {
			t.Errorf("%s=%s: %v", name, text, err)
		}
		if reflect.DeepEqual(before.Interface(), fields[n].Interface()) {
			t.Errorf("%s=%s changes nothing", name, text)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"hostname = \n", "c.toml:1: "},
		{"a = 1\na = 2\n", "c.toml:2: "},
		{"\nhostnam = \"x\"\n", `c.toml:2: there is no key "hostnam"; did you mean "hostname"?`},
		{"[smtp]\nlisen = []\n", `c.toml:2: there is no key "smtp.lisen"; did you mean "smtp.listen"?`},
		{"[imap]\nlisten = []\nlisten-tls = []\n", `c.toml:3: there is no key "imap.listen-tls"; did you mean "imap.listen_tls"?`},
		{"[smpt]\nlisten = []\n", `c.toml:1: there is no section [smpt]; did you mean [smtp]?`},
		{"[nosuch]\nx = 1\n", "c.toml:1: there is no section [nosuch]; config.toml.example lists"},
		{"[routes]\nname = \"x\"\n", "c.toml:1: there is no section [routes]; did you mean [[route]]?"},
		{"frobnicate = 1\n", `c.toml:1: there is no key "frobnicate"; config.toml.example lists`},
		{"smtp.listn = []\n", `c.toml:1: there is no key "smtp.listn"; did you mean "smtp.listen"?`},
		{"smtp = 1\n", "c.toml:1: smtp is a section"},
		{"[[account]]\naddres = \"x\"\n", `c.toml:2: there is no key "addres"; did you mean "address"?`},
		{"[account]\naddress = \"x\"\n", "c.toml:1: account is a list of tables"},
		{"hostname = 1\n", "c.toml:1: hostname: 1 is no text"},
		{"domains = \"a.test\"\n", "c.toml:1: domains: a.test is no list"},
		{"domains = [1]\n", "c.toml:1: domains: 1 is no text"},
		{"[queue]\nport = \"25\"\n", "c.toml:2: queue.port: 25 is no whole number"},
		{"[queue]\nport = 70000\n", "c.toml:2: queue.port: 70000 is no port"},
		{"[limits]\nmessage_bytes = \"50XB\"\n", `c.toml:2: limits.message_bytes: "50XB" is no size; write`},
		{"[limits]\nmessage_bytes = \"99999999999G\"\n", "is no size"},
		{"[limits]\nmessage_bytes = \"-1\"\n", "is no size"},
		{"[limits]\nmessage_bytes = 0\n", "c.toml:2: limits.message_bytes: 0 is too little; RFC 5321 asks for 64KB at least"},
		{"[limits]\nmessage_bytes = 65535\n", "c.toml:2: limits.message_bytes: 65535 is too little"},
		{"[limits]\nrecipients = 99\n", "c.toml:2: limits.recipients: 99 is too few; RFC 5321 asks for 100 at least"},
		{"[limits]\nreceived = 1\n", "c.toml:2: limits.received: "},
		{"[limits]\nconnections = -1\n", "c.toml:2: limits.connections: -1 is negative"},
		{"[limits]\nconnections_per_ip = -1\n", "c.toml:2: limits.connections_per_ip: -1 is negative"},
		{"[limits]\nfetch_cache = 100\n", "c.toml:2: limits.fetch_cache: less than 1 MiB"},
		{"[limits]\ndrain = \"soon\"\n", `c.toml:2: limits.drain: "soon" is no duration; write`},
		{"[limits]\ndrain = 5\n", "c.toml:2: limits.drain: 5 is no text"},
		{"[queue]\nexpire = \"-5d\"\n", "is no duration"},
		{"[queue]\nexpire = \"5d-1h\"\n", "is no duration"},
		{"[queue]\nexpire = \"\"\n", "is no duration"},
		{"[queue]\nexpire = \"99999999d\"\n", "is no duration"},
		{"[queue]\nexpire = \"0s\"\n", "c.toml:2: queue.expire: mail must be kept"},
		{"[queue]\nretry = []\n", "c.toml:2: queue.retry: at least one"},
		{"[queue]\nretry = [\"5m\",\n\"1ms\"]\n", "c.toml:2: queue.retry: 1ms is too short"},
		{"[queue]\nworkers = 0\n", "c.toml:2: queue.workers: 0 is too few"},
		{"[queue]\nper_destination = 0\n", "c.toml:2: queue.per_destination: 0 is too few"},
		{"[queue]\nsmarthost = \"relay\"\n", `c.toml:2: queue.smarthost: "relay" is no host with a port`},
		{"[queue]\nsmarthost_user = \"me\"\n", "c.toml:2: queue.smarthost_user: smarthost_user and smarthost_password belong together"},
		{"[queue]\nsmarthost_user = \"me\"\nsmarthost_password = \"x\"\n", "c.toml:2: queue.smarthost_user: there is no smarthost to log in to"},
		{"[queue]\nsmarthost_password = \"x\"\n", "c.toml:2: queue.smarthost_password: smarthost_user and"},
		{"[queue]\nsmarthost_tls = \"yes\"\n", `c.toml:2: queue.smarthost_tls: "yes" is no way`},
		{"[queue]\nresolver = \"dns.test\"\n", `c.toml:2: queue.resolver: "dns.test" is no IP address with a port`},
		{"[auth]\nplaintext_networks = [\"10.0.0.1\"]\n", `c.toml:2: auth.plaintext_networks: "10.0.0.1" is no network; write`},
		{"hostname = \"not a host\"\n", `c.toml:1: hostname: "not a host" is no host name`},
		{"data_dir = \"\"\n", "c.toml:1: data_dir: a data directory is needed"},
		{"domains = [\"a..b\"]\n", `c.toml:1: domains: "a..b" is no domain`},
		{"[log]\nlevel = \"loud\"\n", `c.toml:2: log.level: "loud" is no level`},
		{"[log]\nformat = \"xml\"\n", `c.toml:2: log.format: "xml" is no format`},
		{"[tls]\ncertificate = \"x\"\n", "c.toml:2: tls.certificate: certificate and key belong together"},
		{"[tls]\nkey = \"x\"\n", "c.toml:2: tls.key: certificate and key belong together"},
		{"[smtp]\nlisten = [\"25\"]\n", `c.toml:2: smtp.listen: "25" is no address; write ":25"`},
		{"[smtp]\nlisten = [\"example.org:25\"]\n", `smtp.listen: "example.org:25" does not begin with an IP address`},
		{"[smtp]\nlisten = [\":smtp\"]\n", "has no port from 0 to 65535"},
		{"[smtp]\nlisten = [\":65536\"]\n", "has no port from 0 to 65535"},
		{"[smtp]\nlisten = [\"unix:x\"]\n", "has no absolute path"},
		{"[smtp]\nlisten = [\":25\", \":25\"]\n", `c.toml:2: smtp.listen: ":25" stands there twice; take one out`},
		{"[smtp]\nlisten = [\":587\"]\n", `c.toml:2: smtp.listen: ":587" stands in smtp.listen and in submission.listen; give each service an address of its own`},
		{"[lmtp]\nlisten = [\":24\"]\n", `c.toml:2: lmtp.listen: ":24" is open to others, and LMTP has no login`},
		{"[lmtp]\nlisten = [\"192.0.2.1:24\"]\n", "LMTP has no login"},
		{"[http]\nlisten = [\"80\"]\n", `c.toml:2: http.listen: "80" is no address`},
		{"[mta_sts]\nmode = \"strict\"\n", `c.toml:2: mta_sts.mode: "strict" is no mode`},
		{"[mta_sts]\nmode = \"enforce\"\n", "c.toml:2: mta_sts.mode: the policy is told over HTTPS; add http.listen_tls"},
		{"[mta_sts]\nmx = [\"a b\"]\n", `c.toml:2: mta_sts.mx: "a b" is no host`},
		{"hostname = \"mail.a.test\"\n[acme]\ndirectory = \"https://ca.test/\"\n", "acme.challenge: http-01 is asked for at port 80; add http.listen"},
		{"hostname = \"mail.a.test\"\n[acme]\ndirectory = \"https://ca.test/\"\nchallenge = \"dns-01\"\n", "acme.challenge: dns-01 needs a name server; add dns_server"},
		{"[acme]\nchallenge = \"http\"\n", `c.toml:2: acme.challenge: "http" is no challenge; write "http-01"`},
		{"[acme]\ncontact = \"me\"\n", `c.toml:2: acme.contact: "me" is no address`},
		{"[acme]\nnames = [\"a b\"]\n", `c.toml:2: acme.names: "a b" is no host name`},
		{"[acme]\nkey_id = \"1\"\nkey = \"%\"\n", "c.toml:3: acme.key: key_id and key belong together"},
		{"[acme]\ndns_server = \"ns.test\"\n", `c.toml:2: acme.dns_server: "ns.test" is no IP address with a port`},
		{"hostname = \"mail.a.test\"\n[acme]\ndirectory = \"http://ca.test/\"\n", `acme.directory: "http://ca.test/" is no HTTPS address`},
		{"hostname = \"mail\"\n[acme]\ndirectory = \"https://ca.test/\"\n", "acme.directory: no authority certifies \"mail\""},
		{"[[account]]\naddress = \"bob\"\npassword = \"x\"\n", `c.toml:2: address: "bob" is no address`},
		{"[[account]]\naddress = \"bob@b.test\"\n", "c.toml:2: address: bob@b.test has no password"},
		{"[[account]]\naddress = \"bob@b.test\"\npassword = \"x\"\n\n[[account]]\naddress = \"BOB@b.test\"\npassword = \"x\"\n",
			"c.toml:6: address: BOB@b.test stands there twice"},
		{"[[account]]\naddress = \"bob@b.test\"\nadmin = \"yes\"\n", "c.toml:3: admin: yes is neither true nor false"},
	} {
		_, err := loadText(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: more than one line: %v", c.text, err)
		}
	}
	if _, err := Load("/nowhere/c.toml", nil); err == nil || !strings.Contains(err.Error(), "/nowhere/c.toml") {
		t.Errorf("no file: %v", err)
	}
}

func TestEnvironmentRefusals(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"POSTRIDER_SMTP_LISTN=:25", "POSTRIDER_SMTP_LISTN: there is no such setting; did you mean POSTRIDER_SMTP_LISTEN?"},
		{"POSTRIDER_FROBNICATE=1", "POSTRIDER_FROBNICATE: there is no such setting; config.toml.example lists"},
		{"POSTRIDER_SMTP_LISTEN=25", `POSTRIDER_SMTP_LISTEN: "25" is no address`},
		{"POSTRIDER_QUEUE_PORT=x", `POSTRIDER_QUEUE_PORT: "x" is no whole number`},
		{"POSTRIDER_LIMITS_DRAIN=x", `POSTRIDER_LIMITS_DRAIN: "x" is no duration`},
		{"POSTRIDER_ACCOUNTS=bob@b.test", "POSTRIDER_ACCOUNTS: entry 1 has no address and password; write bob@example.org:password"},
		{"POSTRIDER_ACCOUNTS=bob@b.test:", "POSTRIDER_ACCOUNTS: bob@b.test has no password"},
		{"POSTRIDER_ACCOUNTS=@:secret", "POSTRIDER_ACCOUNTS: "},
		{"POSTRIDER_ACCOUNTS_FILE=/nowhere", "POSTRIDER_ACCOUNTS_FILE: "},
	} {
		_, err := Load("", []string{c.env})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.env, err, c.want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("a password is in %v", err)
		}
	}
}

func TestUnitsRoundTrip(t *testing.T) {
	for _, s := range []Size{0, 1, 1023, 1024, 50 << 20, 5 << 30, 3 << 40, 1025} {
		var back Size
		if err := back.UnmarshalText([]byte(s.String())); err != nil || back != s {
			t.Errorf("%d is written %s and read %d, %v", s, s, back, err)
		}
	}
	for text, want := range map[string]Size{"50MB": 50 << 20, "50M": 50 << 20, "5g": 5 << 30, "7": 7, "7B": 7, "1 KB": 1024} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
	}
	for _, d := range []time.Duration{0, time.Second, 90 * time.Minute, 5 * 24 * time.Hour, 60 * time.Hour, 1500 * time.Millisecond, 10 * time.Minute, 10 * time.Hour} {
		var back Duration
		if err := back.UnmarshalText([]byte(Duration(d).String())); err != nil || back != Duration(d) {
			t.Errorf("%v is written %s and read %s, %v", d, Duration(d), back, err)
		}
	}
	for d, want := range map[time.Duration]string{5 * time.Minute: "5m", 4 * time.Hour: "4h", 24 * time.Hour: "1d", 36 * time.Hour: "1d12h", 20 * time.Second: "20s"} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is written %s", d, got)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"smtp.listen", "smtp", "imap.listen_tls"}
	for in, want := range map[string]string{"smpt.listen": "smtp.listen", "imap.listentls": "imap.listen_tls", "smt": "smtp"} {
		if got := nearest(in, names); got != want {
			t.Errorf("nearest to %s is %s", in, got)
		}
	}
}

// Whatever a file says, the answer is a configuration that passes its own
// checks, or one line that names the file.
func FuzzLoad(f *testing.F) {
	example, err := os.ReadFile("../../config.toml.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(example))
	f.Add("smtp = { listen = [\":25\"] }\n[[account]]\naddress = \"a@b.test\"\npassword = \"x\"\n")
	f.Add("[imap]\nlisten_tls = [1, \"x\"]\n[a.b]\n\"c d\" = 1979-05-27\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, o := DefaultConfig(), origins{}
		err := loadTOML(c, "c.toml", []byte(text), o)
		if err == nil {
			if p := c.check(); p != nil {
				err = errors.New(o.of(p) + ": " + p.what)
			}
		}
		if err != nil && (strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "c.toml:")) {
			t.Errorf("%q", err)
		}
	})
}
