package test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postrider/internal/lab"
)

func TestCurl(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := message("sent by curl")
	msg := file(t, "message", want)
	out := client(t, "", "curl", "-v", "-sS", "-k", "--ssl-reqd", "smtp://"+s.Addr["submission"]+"/laptop.a.test",
		"--mail-from", alice, "--mail-rcpt", bob, "--upload-file", msg, "-u", alice+":"+password)
	t.Log(out)
	oneMessage(t, s, bob, want)

	url := "imap://" + s.Addr["imap"]
	got := client(t, "", "curl", "-sS", "-k", "--ssl-reqd", url+"/INBOX;UID=1", "-u", bob+":"+password)
	isOurs(t, got, want)
	client(t, "", "curl", "-sS", "-T", msg, url+"/Archive", "-u", bob+":"+password)
	got = client(t, "", "curl", "-sS", url+"/Archive;UID=1", "-u", bob+":"+password)
	if got != want {
		t.Errorf("APPEND and FETCH by curl: %q, want %q", got, want)
	}
	if out := client(t, "", "curl", "-sS", url+"/INBOX?SUBJECT%20curl", "-u", bob+":"+password); !strings.Contains(out, "* SEARCH 1") {
		t.Errorf("SEARCH by curl: %q", out)
	}
	if out, err := tryClient(t, "", "curl", "-sS", url+"/INBOX;UID=1", "-u", bob+":wrong"); err == nil {
		t.Errorf("a wrong password was accepted: %s", out)
	}
	implicit := "pop3s://" + s.Addr["pop3-tls"] + "/1"
	isOurs(t, client(t, "", "curl", "-sS", "-k", implicit, "-u", bob+":"+password), want)
}

func TestSwaks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	host, port := split(s, "submission")
	out := client(t, "", "swaks", "--server", host, "--port", port, "--tls", "--auth", "LOGIN", "--auth-user", alice,
		"--auth-password", password, "--from", alice, "--to", bob, "--ehlo", "laptop.a.test", "--suppress-data")
	t.Log(out)
	host, port = split(s, "smtp")
	client(t, "", "swaks", "--server", host, "--port", port, "--from", "carol@elsewhere.test", "--to", bob, "--pipeline")
	if out, err := tryClient(t, "", "swaks", "--server", host, "--port", port, "--from", "carol@elsewhere.test", "--to", "nobody@a.test"); err == nil || !strings.Contains(out, "550 5.1.1") {
		t.Errorf("unknown recipient: %v\n%s", err, out)
	}
	if out, err := tryClient(t, "", "swaks", "--server", host, "--port", port, "--from", "carol@elsewhere.test", "--to", "dave@far.test"); err == nil || !strings.Contains(out, "550 5.7.1") {
		t.Errorf("relaying: %v\n%s", err, out)
	}
	host, port = split(s, "lmtp")
	client(t, "", "swaks", "--protocol", "LMTP", "--server", host, "--port", port, "--from", "carol@elsewhere.test", "--to", bob)
	if got := len(inbox(t, s, bob)); got != 3 {
		t.Errorf("Bob has %d messages, want 3", got)
	}
}

func TestMsmtp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	host, port := split(s, "submission")
	rc := file(t, "msmtprc", fmt.Sprintf("account default\nhost %s\nport %s\nfrom %s\nuser %s\npassword %s\nauth plain\ntls on\ntls_starttls on\ntls_certcheck off\n",
		host, port, alice, alice, password))
	want := message("sent by msmtp")
	t.Log(client(t, strings.ReplaceAll(want, "\r\n", "\n"), "msmtp", "-v", "-C", rc, "-t", "--", bob))
	oneMessage(t, s, bob, want)
}

// certificate is the one that a site made itself, for clients to trust.
func certificate(s *lab.Site) string { return filepath.Join(s.DataDir(), "tls", "self-signed.crt") }

// muttrc is a configuration that mutt and neomutt share: send by submission,
// keep a copy in Sent, read by IMAP, all under TLS.
func muttrc(t *testing.T, s *lab.Site, user string) string {
	dir := t.TempDir()
	return file(t, "muttrc", fmt.Sprintf(`set from = %q
set realname = "Alice"
set use_from = yes
set smtp_url = "smtp://%s@%s"
set smtp_pass = %q
set imap_user = %q
set imap_pass = %q
set folder = "imap://%s/"
set spoolfile = "+INBOX"
set record = "+Sent"
set ssl_starttls = yes
set ssl_force_tls = yes
set certificate_file = %q
set header_cache = %q
set ssl_verify_dates = no
set ssl_verify_host = no
set quit = yes
set move = no
set confirmcreate = no
set confirmappend = no
set wait_key = no
`, user, strings.ReplaceAll(user, "@", "%40"), s.Addr["submission"], password, user, password, s.Addr["imap"],
		certificate(s), filepath.Join(dir, "cache")))
}

func TestMutt(t *testing.T)    { t.Parallel(); muttTest(t, "mutt") }
func TestNeomutt(t *testing.T) { t.Parallel(); muttTest(t, "neomutt") }

// muttTest sends in batch mode, with the copy in Sent, and reads by keys
// pushed at the start, on a terminal of script's.
func muttTest(t *testing.T, mutt string) {
	s := newSite(t)
	client(t, "Hello Bob,\nthis is "+mutt+".\n", mutt, "-F", muttrc(t, s, alice), "-s", "sent by "+mutt, bob)
	got := inbox(t, s, bob)
	if len(got) != 1 || !strings.Contains(got[0], "this is "+mutt+".\r\n") {
		t.Fatalf("Bob has %q", got)
	}
	if mutt == "mutt" { // neomutt saves no copy by IMAP in batch mode
		sent := client(t, "", "curl", "-sS", "imap://"+s.Addr["imap"]+"/Sent;UID=1", "-u", alice+":"+password)
		if !strings.Contains(sent, "Subject: sent by "+mutt) {
			t.Errorf("the copy in Sent: %q", sent)
		}
	}
	saved := filepath.Join(t.TempDir(), "saved")
	keys := "push '<copy-message>" + saved + "<enter><flag-message><sync-mailbox><quit>'"
	cmd := fmt.Sprintf("%s -F %s -e \"%s\"", mutt, muttrc(t, s, bob), keys)
	client(t, "", "script", "-qefc", cmd, "/dev/null")
	if b, err := os.ReadFile(saved); err != nil || !strings.Contains(string(b), "this is "+mutt+".") {
		t.Errorf("what %s read by IMAP: %q, %v", mutt, b, err)
	}
	flags := client(t, "", "curl", "-sS", "imap://"+s.Addr["imap"]+"/INBOX", "-X", "FETCH 1 FLAGS", "-u", bob+":"+password)
	if !strings.Contains(flags, `\Flagged`) {
		t.Errorf("the flag set in %s: %q", mutt, flags)
	}
}

func TestMuttQresync(t *testing.T)    { t.Parallel(); qresyncTest(t, "mutt") }
func TestNeomuttQresync(t *testing.T) { t.Parallel(); qresyncTest(t, "neomutt") }

// qresyncTest opens a mailbox twice with QRESYNC on: what has gone and come in
// between is in what the second run has, which is taken from its cache but for
// the news. What they say is compressed; Debian's neomutt is built without.
func qresyncTest(t *testing.T, mutt string) {
	s := newSite(t)
	fill(t, s, numbered("message", 10)...)
	home := t.TempDir()
	rc, err := os.ReadFile(muttrc(t, s, bob))
	if err != nil {
		t.Fatal(err)
	}
	debug, log := "-d 3 -l "+home+"/log", home+"/log0"
	if mutt == "mutt" {
		debug, log = "-d 3", home+"/.muttdebug0"
	}
	text := string(rc) + "set imap_condstore = yes\nset imap_qresync = yes\n"
	deflate := mutt == "mutt" || strings.Contains(client(t, "", mutt, "-F", "/dev/null", "-D"), "imap_deflate")
	if deflate {
		text += "set imap_deflate = yes\n"
	}
	config := file(t, "muttrc", text)
	saved := filepath.Join(home, "saved")
	open := func(keys string) string {
		cmd := fmt.Sprintf("HOME=%s %s %s -F %s -e \"push '%s'\"", home, mutt, debug, config, keys)
		client(t, "", "script", "-qefc", cmd, "/dev/null")
		b, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	first := open("<quit>")
	if deflate && !regexp.MustCompile(`> (a\d+) COMPRESS DEFLATE[^>]*< a\d+ OK `).MatchString(first) {
		t.Errorf("no compression:\n%s", first)
	}
	c := imapOf(t, s, bob)
	c.ok("SELECT INBOX")
	c.ok(`STORE 2,5 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	c.ok(`STORE 1 +FLAGS (\Flagged)`)
	fill(t, s, "a new one")
	second := open("<tag-pattern>~A<enter><tag-prefix><copy-message>" + saved + "<enter><quit>")
	if !strings.Contains(second, "ENABLE QRESYNC") || !regexp.MustCompile(`CHANGEDSINCE \d+ VANISHED`).MatchString(second) || !strings.Contains(second, "Handling VANISHED") {
		t.Errorf("the second run does not resynchronise:\n%s", second)
	}
	b, err := os.ReadFile(saved)
	if got := strings.Count(string(b), "\nSubject: "); err != nil || got != 9 {
		t.Errorf("the second run has %d messages, %v", got, err)
	}
	for _, subject := range []string{"message 0", "message 2", "message 3", "message 5", "message 9", "a new one"} {
		if !strings.Contains(string(b), "Subject: "+subject+"\n") {
			t.Errorf("%q is missing", subject)
		}
	}
}

// mbsyncrc is a configuration that keeps all mailboxes of Bob's and a maildir
// in step, both ways.
func mbsyncrc(t *testing.T, s *lab.Site, maildir string) string {
	t.Helper()
	host, port := split(s, "imap")
	return file(t, "mbsyncrc", fmt.Sprintf(`IMAPAccount bob
Host %s
Port %s
User %s
Pass %q
SSLType STARTTLS
CertificateFile %s

IMAPStore far
Account bob

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`, host, port, bob, password, certificate(s), maildir, maildir))
}

func TestMbsync(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const messages = 25
	for i := range messages {
		msg := file(t, "m", message(fmt.Sprintf("number %d", i)))
		client(t, "", "curl", "-sS", "smtp://"+s.Addr["submission"], "--mail-from", alice, "--mail-rcpt", bob, "-T", msg, "-u", alice+":"+password)
	}
	maildir := t.TempDir()
	rc := mbsyncrc(t, s, maildir)
	t.Log(client(t, "", "mbsync", "-c", rc, "-a"))
	new, _ := filepath.Glob(filepath.Join(maildir, "INBOX", "new", "*"))
	if len(new) != messages {
		t.Fatalf("%d messages came, want %d", len(new), messages)
	}
	before := mbsyncState(t, s, maildir)
	t.Log(client(t, "", "mbsync", "-c", rc, "-a"))
	if after := mbsyncState(t, s, maildir); after != before {
		t.Errorf("the second run moves something:\n%s\nwas before\n%s", after, before)
	}
	// The other way: a message written here, one marked seen, one deleted.
	write := filepath.Join(maildir, "Drafts", "cur", "1.draft:2,DS")
	if err := os.WriteFile(write, []byte(strings.ReplaceAll(message("a draft"), "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := filepath.Join(maildir, "INBOX", "cur", filepath.Base(new[0])+"S")
	if !strings.Contains(filepath.Base(new[0]), ":2,") {
		seen = filepath.Join(maildir, "INBOX", "cur", filepath.Base(new[0])+":2,S")
	}
	if err := os.Rename(new[0], seen); err != nil {
		t.Fatal(err)
	}
	os.Remove(new[1])
	client(t, "", "mbsync", "-c", rc, "-a")
	url := "imap://" + s.Addr["imap"]
	status := client(t, "", "curl", "-sS", url, "-X", "STATUS INBOX (MESSAGES UNSEEN)", "-u", bob+":"+password)
	if !strings.Contains(status, fmt.Sprintf("MESSAGES %d", messages-1)) || !strings.Contains(status, fmt.Sprintf("UNSEEN %d", messages-2)) {
		t.Errorf("after the way back: %s", status)
	}
	if got := client(t, "", "curl", "-sS", url+"/Drafts", "-X", "FETCH 1 FLAGS", "-u", bob+":"+password); !strings.Contains(got, `\Draft`) {
		t.Errorf("the draft's flags: %s", got)
	}
}

// mbsyncState is what mbsync keeps in step: the messages here, by file name,
// and there, by count and UID.
func mbsyncState(t *testing.T, s *lab.Site, maildir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(maildir, "*", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	status := client(t, "", "curl", "-sS", "imap://"+s.Addr["imap"], "-X", "STATUS INBOX (MESSAGES UIDNEXT UNSEEN)", "-u", bob+":"+password)
	return strings.Join(files, "\n") + "\n" + status
}

func TestFetchmail(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := message("for fetchmail")
	client(t, "", "curl", "-sS", "smtp://"+s.Addr["smtp"], "--mail-from", "carol@elsewhere.test", "--mail-rcpt", bob, "-T", file(t, "m", want))
	for _, proto := range []string{"imap", "pop3"} {
		host, port := split(s, proto)
		dir := t.TempDir()
		out := filepath.Join(dir, "mail")
		rc := file(t, "fetchmailrc", fmt.Sprintf("poll %s service %s protocol %s user %q password %q\nsslproto TLS1.2+ no sslcertck keep mda \"sh -c 'cat >> %s'\"\n",
			host, port, proto, bob, password, out))
		t.Log(client(t, "", "fetchmail", "-f", rc, "--nosyslog", "--pidfile", filepath.Join(dir, "pid"), "-i", filepath.Join(dir, "ids"), "-a", "-v"))
		if b, err := os.ReadFile(out); err != nil || !strings.Contains(string(b), "..and one with two") {
			t.Errorf("fetchmail by %s: %q, %v", proto, b, err)
		}
	}
}

func TestGetmail(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	want := message("for getmail")
	client(t, "", "curl", "-sS", "smtp://"+s.Addr["smtp"], "--mail-from", "carol@elsewhere.test", "--mail-rcpt", bob, "-T", file(t, "m", want))
	for proto, kind := range map[string]string{"imap-tls": "SimpleIMAPSSLRetriever", "pop3-tls": "SimplePOP3SSLRetriever"} {
		host, port := split(s, proto)
		dir := t.TempDir()
		out := filepath.Join(dir, "mail")
		rc := file(t, "getmailrc", fmt.Sprintf("[retriever]\ntype = %s\nserver = %s\nport = %s\nusername = %s\npassword = %s\n[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat > %s\")\nallow_root_commands = true\n[options]\ndelete = false\n",
			kind, host, port, bob, password, out))
		t.Log(client(t, "", "getmail", "--getmaildir", dir, "--rcfile", rc))
		if b, err := os.ReadFile(out); err != nil || !strings.Contains(string(b), "..and one with two") {
			t.Errorf("getmail by %s: %q, %v", proto, b, err)
		}
	}
}

func TestPython(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	args := []string{"testdata/client.py", password}
	for _, l := range []string{"submission", "submission-tls", "pop3", "pop3-tls", "imap", "imap-tls"} {
		args = append(args, s.Addr[l])
	}
	t.Log(client(t, "", "python3", args...))
}
