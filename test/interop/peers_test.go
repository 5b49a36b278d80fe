package interop

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is longer than anything takes on a busy machine.
const patience = 20 * time.Second

// peer is another mail server: its domain is NAME.test, its host
// mail.NAME.test at an address of its own.
type peer struct {
	name, host string
	// configure writes its files into a directory and returns the command that
	// runs it in the foreground. Certificate and key are in tls.pem and tls.key,
	// the authority to trust in ca.pem.
	configure func(t *testing.T, p *peer) []string
	dir       string
	log       string // file
	deaf      bool   // its STARTTLS does not work
	differs   string // that its log has of one that DANE proved wrong; empty if it knows no DANE
	verified  string // that its log has of a certificate that DANE proved
}

func (p *peer) domain() string   { return p.name + ".test" }
func (p *peer) hostname() string { return "mail." + p.domain() }
func (p *peer) mailbox() string  { return filepath.Join(p.dir, "mail", "bob") }

func (p *peer) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs the peer until the test ends. Its own files are laid over /usr
// for it alone.
func (p *peer) start(t *testing.T) {
	t.Helper()
	p.dir = filepath.Join(dir, p.name)
	os.MkdirAll(filepath.Join(p.dir, "mail"), 0o777)
	os.Chmod(filepath.Join(p.dir, "mail"), 0o777)
	command := p.configure(t, p)
	script := fmt.Sprintf("mount -t overlay overlay -o lowerdir=%[1]s/%[2]s/usr:/usr /usr && mount --bind %[3]s/ca.pem /etc/ssl/certs/ca-certificates.crt && exec \"$@\"", peersDir(), p.name, p.dir)
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-c", script, "sh"}, command...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s\nand logged:\n%s", p.name, out.String(), p.logged())
		}
	})
	await(t, p.name+" to listen", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s\n%s", p.name, err, out.String(), p.logged())
		default:
		}
		c, err := net.Dial("tcp", p.host+":25")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// logged is what the peer has logged.
func (p *peer) logged() string {
	b, _ := os.ReadFile(p.log)
	return string(b)
}

// await polls for what others do in their own time.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func postfix() *peer {
	return &peer{name: "postfix", host: postfixHost, verified: "Verified TLS connection established", differs: "no matching DANE TLSA records", configure: func(t *testing.T, p *peer) []string {
		p.log = filepath.Join(p.dir, "log")
		p.write(t, "conf/main.cf", fmt.Sprintf(`
compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
shlib_directory = /usr/lib/postfix
meta_directory = %[1]s/conf
mail_owner = postfix
setgid_group = postdrop
myhostname = %[2]s
mydestination =
inet_interfaces = %[3]s
inet_protocols = ipv4
smtp_bind_address = %[3]s
mynetworks = 127.0.0.1/32
virtual_mailbox_domains = %[4]s, sts-%[4]s, sts-none-%[4]s
virtual_mailbox_base = %[1]s/mail
virtual_mailbox_maps = static:bob
virtual_uid_maps = static:20040
virtual_gid_maps = static:20040
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = %[1]s/tls.key, %[1]s/tls.pem
smtpd_tls_received_header = yes
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec
smtp_tls_loglevel = 1
smtp_tls_CAfile = %[1]s/ca.pem
minimal_backoff_time = 1s
queue_run_delay = 1s
`, p.dir, p.hostname(), p.host, p.domain()))
		p.write(t, "conf/master.cf", strings.ReplaceAll(`
smtp inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, "\t", " "))
		p.write(t, "conf/dynamicmaps.cf", "")
		for _, d := range []string{"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace"} {
			p.mkdir(t, "queue/"+d, 20010, 0, 0o700)
		}
		p.mkdir(t, "queue/maildrop", 20010, 20011, 0o730)
		p.mkdir(t, "queue/public", 20010, 20011, 0o710)
		p.mkdir(t, "queue/pid", 0, 0, 0o755)
		p.mkdir(t, "data", 20010, 20010, 0o700)
		return []string{"/usr/lib/postfix/sbin/master", "-d", "-c", filepath.Join(p.dir, "conf")}
	}}
}

func (p *peer) mkdir(t *testing.T, name string, uid, gid int, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func exim() *peer {
	return &peer{name: "exim", host: eximHost, verified: "CV=dane", differs: "DANE attempt failed", configure: func(t *testing.T, p *peer) []string {
		p.log = filepath.Join(p.dir, "log", "main")
		conf := p.write(t, "exim.conf", fmt.Sprintf(`
primary_hostname = %[2]s
domainlist local_domains = %[4]s : sts-%[4]s : sts-none-%[4]s
local_interfaces = %[3]s
daemon_smtp_ports = 25
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
log_selector = +dkim_verbose +tls_peerdn +tls_certificate_verified
tls_advertise_hosts = *
tls_certificate = %[1]s/tls.pem
tls_privatekey = %[1]s/tls.key
tls_on_connect_ports =
acl_smtp_rcpt = rcpt
dns_dnssec_ok = 1
queue_run_in_order
queue_only = false
keep_environment =
begin acl
rcpt:
  accept domains = +local_domains
  accept hosts = 127.0.0.1
  deny message = relay not permitted
begin routers
local:
  driver = accept
  domains = +local_domains
  transport = file
mx:
  driver = dnslookup
  transport = remote
  dnssec_request_domains = *
  self = send
  no_more
begin transports
file:
  driver = appendfile
  file = %[1]s/mail/bob
  user = bob
  group = bob
remote:
  driver = smtp
  interface = %[3]s
  hosts_try_dane = *
  dnssec_request_domains = *
  tls_verify_certificates = %[1]s/ca.pem
begin retry
*  *  F,1h,1s
`, p.dir, p.hostname(), p.host, p.domain()))
		p.mkdir(t, "spool", 20020, 20020, 0o750)
		p.mkdir(t, "log", 20020, 20020, 0o755)
		// With a configuration elsewhere than compiled in it has no privileges.
		return []string{"sh", "-c", "mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/exim4 && cp " + conf + " /var/lib/exim4/config.autogenerated && exec /usr/sbin/exim4 -bdf -q1s"}
	}}
}

// openSMTPD is 6.8, whose server side cannot use its private key with Debian's
// OpenSSL 3; and it knows neither DANE nor MTA-STS, but can demand that the
// certificate is one of an authority that it trusts.
func openSMTPD() *peer {
	return &peer{name: "opensmtpd", deaf: true, host: openSMTPDHost, verified: "server-cert-check result=\"success\"", configure: func(t *testing.T, p *peer) []string {
		p.log = filepath.Join(p.dir, "log")
		conf := p.write(t, "smtpd.conf", fmt.Sprintf(`
pki own cert "%[1]s/tls.pem"
pki own key "%[1]s/tls.key"
listen on %[3]s port 25 tls pki own hostname %[2]s
action "local" maildir "%[1]s/maildir" user bob
action "out" relay tls src %[3]s helo %[2]s
match from any for domain { "%[4]s", "sts-%[4]s", "sts-none-%[4]s" } action "local"
match from src 127.0.0.1 for any action "out"
`, p.dir, p.hostname(), p.host, p.domain()))
		for _, f := range []string{"tls.key", "tls.pem"} {
			os.Chmod(filepath.Join(p.dir, f), 0o600)
		}
		p.mkdir(t, "maildir", 20040, 20040, 0o700)
		os.MkdirAll("/var/spool/smtpd", 0o711)
		// In the foreground it logs to standard error.
		return []string{"sh", "-c", "mount -t tmpfs tmpfs /var/lib && mkdir -p /var/lib/opensmtpd/empty && exec /usr/sbin/smtpd -d -v -f " + conf + " >" + p.log + " 2>&1"}
	}}
}

// received returns the messages in the peer's mailbox.
func (p *peer) received() string {
	b, _ := os.ReadFile(p.mailbox())
	files, _ := filepath.Glob(filepath.Join(p.dir, "maildir", "new", "*"))
	for _, f := range files {
		m, _ := os.ReadFile(f)
		b = append(b, m...)
	}
	return string(b)
}
