package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/lab"
	"postrider/internal/oddmail"
)

// imapOf logs a user in at a site.
func imapOf(t *testing.T, s *lab.Site, user string) *rawIMAP {
	t.Helper()
	return imapAt(t, "Postrider", s.Addr["imap"], user, password)
}

// fill appends messages with these subjects to Bob's inbox.
func fill(t *testing.T, s *lab.Site, subjects ...string) {
	t.Helper()
	c := imapOf(t, s, bob)
	for _, subject := range subjects {
		if tagged, ok := c.append("INBOX", []byte(message(subject))); !ok {
			t.Fatal(tagged)
		}
	}
}

func numbered(word string, n int) []string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf("%s %d", word, i))
	}
	return out
}

// TestMbsyncThousand moves 1,000 messages each way at once; the second run
// moves nothing.
func TestMbsyncThousand(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const each = 1000
	fill(t, s, numbered("far", each)...)
	maildir := t.TempDir()
	for _, dir := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(maildir, "INBOX", dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i, subject := range numbered("near", each) {
		name := filepath.Join(maildir, "INBOX", "cur", fmt.Sprintf("%d.near:2,S", i))
		if err := os.WriteFile(name, []byte(strings.ReplaceAll(message(subject), "\r\n", "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rc := mbsyncrc(t, s, maildir)
	t.Log(client(t, "", "mbsync", "-c", rc, "-a"))
	here := func() []string {
		files, _ := filepath.Glob(filepath.Join(maildir, "INBOX", "*", "*"))
		return files
	}
	c := imapOf(t, s, bob)
	there := func() []string { return c.ok("STATUS INBOX (MESSAGES UIDNEXT UNSEEN HIGHESTMODSEQ)") }
	files, status := here(), there()
	if len(files) != 2*each || !strings.Contains(status[0], fmt.Sprintf("MESSAGES %d ", 2*each)) || !strings.Contains(status[0], fmt.Sprintf("UNSEEN %d", each)) {
		t.Fatalf("after the first run %d messages here, there %q", len(files), status)
	}
	t.Log(client(t, "", "mbsync", "-c", rc, "-a"))
	if got := there(); !slices.Equal(got, status) || !slices.Equal(here(), files) {
		t.Errorf("the second run moves something: %d messages here, there %q, before %q", len(here()), got, status)
	}
}

func TestOfflineIMAP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	fill(t, s, numbered("message", 20)...)
	_, port := split(s, "imap-tls")
	dir := t.TempDir()
	rc := file(t, "offlineimaprc", fmt.Sprintf(`[general]
accounts = a
metadata = %s/meta
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %s/mail
sep = /
[Repository far]
type = IMAP
remotehost = localhost
remoteport = %s
remoteuser = %s
remotepass = %s
ssl = yes
sslcacertfile = %s
`, dir, dir, port, bob, password, certificate(s)))
	t.Log(client(t, "", "offlineimap", "-o", "-c", rc, "-u", "basic"))
	files := func() []string {
		f, _ := filepath.Glob(filepath.Join(dir, "mail", "INBOX", "*", "*"))
		return f
	}
	before := files()
	if len(before) != 20 {
		t.Fatalf("%d messages came: %q", len(before), before)
	}
	for _, folder := range []string{"Archive", "Drafts", "Junk", "Sent", "Trash"} {
		if _, err := os.Stat(filepath.Join(dir, "mail", folder)); err != nil {
			t.Errorf("no folder %s: %v", folder, err)
		}
	}
	out := client(t, "", "offlineimap", "-o", "-c", rc, "-u", "basic")
	if got := files(); !slices.Equal(got, before) || strings.Contains(out, "Copy message") {
		t.Errorf("the second run moves something:\n%s", out)
	}
	// The other way: one flagged, one new.
	flagged := before[0][:strings.LastIndexByte(before[0], ',')+1] + "F"
	flagged = strings.Replace(flagged, "/new/", "/cur/", 1)
	if err := os.Rename(before[0], flagged); err != nil {
		t.Fatal(err)
	}
	draft := filepath.Join(dir, "mail", "Drafts", "cur", "1.here:2,DS")
	if err := os.WriteFile(draft, []byte(strings.ReplaceAll(message("a draft"), "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Log(client(t, "", "offlineimap", "-o", "-c", rc, "-u", "basic"))
	c := imapOf(t, s, bob)
	c.ok("EXAMINE INBOX")
	if got := c.ok("SEARCH FLAGGED"); len(got) != 1 || strings.TrimPrefix(got[0], "* SEARCH") == "" {
		t.Errorf("the flag did not come back: %q", got)
	}
	if got := c.ok("STATUS Drafts (MESSAGES)"); !strings.Contains(got[0], "MESSAGES 1") {
		t.Errorf("the draft did not come back: %q", got)
	}
}

func TestIMAPFilter(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	fill(t, s, "buy this", "a letter", "buy that", "grüße")
	_, port := split(s, "imap")
	rc := file(t, "config.lua", fmt.Sprintf(`options.certificates = false
options.starttls = true
a = IMAP { server = "localhost", port = %s, username = %q, password = %q }
mailboxes, folders = a:list_all()
for _, m in ipairs(mailboxes) do print("mailbox " .. m) end
all = a.INBOX:select_all()
print("messages " .. #all)
junk = a.INBOX:contain_subject("buy")
junk:mark_seen()
junk:move_messages(a.Junk)
letters = a.INBOX:contain_body("grüße") * a.INBOX:is_unseen() * a.INBOX:contain_subject("letter")
letters:mark_flagged()
a:create_mailbox("Projekte/Größe")
exist, unread, unseen, uidnext = a.INBOX:check_status()
print("left " .. exist)
`, port, bob, password))
	out := client(t, "", "imapfilter", "-t", certificate(s), "-c", rc)
	t.Log(out)
	if !strings.Contains(out, "messages 4") || !strings.Contains(out, "left 2") {
		t.Error("imapfilter counts otherwise")
	}
	c := imapOf(t, s, bob)
	if got := c.ok("STATUS Junk (MESSAGES UNSEEN)"); !strings.Contains(got[0], "MESSAGES 2 UNSEEN 0") {
		t.Errorf("Junk: %q", got)
	}
	c.ok("EXAMINE INBOX")
	if got := c.ok("SEARCH FLAGGED SUBJECT letter"); got[0] != "* SEARCH 2" && got[0] != "* SEARCH 1" {
		t.Errorf("flagged: %q", got)
	}
	if got := c.ok(`LIST "" "Projekte/*"`); len(got) != 1 {
		t.Errorf("the new mailbox: %q", got)
	}
}

// TestAerc opens a message, flags it, moves one and deletes one.
func TestAerc(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	fill(t, s, "to be deleted", "to be moved", "to be read")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "aerc"), 0o700); err != nil {
		t.Fatal(err)
	}
	user := strings.ReplaceAll(bob, "@", "%40") + ":" + strings.ReplaceAll(password, " ", "%20")
	_, port := split(s, "imap")
	accounts := fmt.Sprintf("[bob]\nsource = imap://%s@localhost:%s\ndefault = INBOX\nfrom = %s\ncache-headers = false\n", user, port, bob)
	if err := os.WriteFile(filepath.Join(dir, "aerc", "accounts.conf"), []byte(accounts), 0o600); err != nil {
		t.Fatal(err)
	}
	// Each run does one thing to a list that stands still: the newest is first.
	aerc := func(steps ...string) {
		t.Helper()
		args := []string{"SSL_CERT_FILE=" + certificate(s), "python3", "testdata/aerc.py", dir, s.Addr["imap"], bob, password}
		for _, subject := range []string{"to be deleted", "to be read"} {
			args = append(args, "screen:"+subject)
		}
		args = append(args, steps...)
		t.Log(client(t, "", "env", append(args, "type::quit\n")...))
	}
	aerc("type::select 0\n:view\n", "screen:and one with two", `server:INBOX 1 SUBJECT "to be read" SEEN`,
		"type::close\n:flag\n", `server:INBOX 1 SUBJECT "to be read" FLAGGED`)
	aerc("type::select 1\n:mv Archive\n", `server:Archive 1 SUBJECT "to be moved"`, "server:INBOX 2 ALL")
	aerc("type::select 1\n:delete\n", "server:INBOX 1 ALL")
	c := imapOf(t, s, bob)
	c.ok("EXAMINE INBOX")
	for key, want := range map[string]string{"ALL": "* SEARCH 1", `SUBJECT "to be read" FLAGGED SEEN`: "* SEARCH 1"} {
		if got := c.ok("SEARCH %s", key); got[len(got)-1] != want {
			t.Errorf("SEARCH %s: %q, want %q", key, got, want)
		}
	}
}

// doveadm runs Dovecot's administration on mailboxes that it reads from a
// site by IMAP. It is a strict reader: what it cannot parse is an error.
func doveadm(t *testing.T, s *lab.Site, dir string, args ...string) (string, error) {
	t.Helper()
	host, port := split(s, "imap")
	conf := filepath.Join(dir, "dovecot.conf")
	text := fmt.Sprintf("base_dir = %s/run\nssl = no\nmail_location = imapc:%s/imapc\nimapc_host = %s\nimapc_port = %s\nimapc_user = %s\nimapc_password = %s\n"+
		"imapc_features = rfc822.size fetch-headers fetch-bodystructure search modseq\nfirst_valid_uid = 0\nfirst_valid_gid = 0\nlog_path = /dev/stderr\n"+
		"namespace inbox {\n  inbox = yes\n  separator = /\n  prefix =\n}\n", dir, dir, host, port, bob, password)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "doveadm", append([]string{"-c", conf}, args...)...)
	cmd.Env = []string{"USER=nobody", "HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestDoveadm reads odd mail and copies whole mailboxes by Dovecot's IMAP
// client.
func TestDoveadm(t *testing.T) {
	if _, err := exec.LookPath("doveadm"); err != nil {
		t.Fatalf("%v: run scripts/install-test-tools", err)
	}
	t.Parallel()
	s := newSite(t)
	dir := dovecotDir(t)
	c := imapOf(t, s, bob)
	c.ok("CREATE odd/inner")
	n := 0
	for _, m := range oddmail.Messages() {
		if len(m.Raw) == 0 || strings.HasPrefix(m.Name, "lf/") { // Dovecot makes CRLF of LF by itself
			continue
		}
		if tagged, ok := c.append("odd/inner", m.Raw); !ok {
			t.Fatal(tagged)
		}
		n++
	}
	out, err := doveadm(t, s, dir, "fetch", "uid flags date.received size.virtual imap.envelope imap.bodystructure text", "mailbox", "odd/inner")
	if got := strings.Count(out, "imap.bodystructure:"); err != nil || got != n || strings.Contains(out, "Error:") {
		t.Errorf("doveadm fetch: %v, %d of %d messages\n%s", err, got, n, errorsOf(out))
	}
	fill(t, s, numbered("message", 30)...)
	c.ok("SELECT INBOX")
	c.ok(`STORE 3:5 +FLAGS (\Flagged $Work)`)
	maildir := "mail_location=maildir:" + dir + "/mail:LAYOUT=fs"
	for range 2 {
		if out, err := doveadm(t, s, dir, "-o", maildir, "backup", "-R", "imapc:"); err != nil || strings.Contains(out, "Error:") {
			t.Fatalf("doveadm backup: %v\n%s", err, errorsOf(out))
		}
	}
	out, err = doveadm(t, s, dir, "-o", maildir, "mailbox", "status", "messages", "INBOX", "odd/inner", "Sent")
	if want := fmt.Sprintf("odd/inner messages=%d", n); err != nil || !strings.Contains(out, want) || !strings.Contains(out, "INBOX messages=30") {
		t.Errorf("after the copy: %v %s, want %s", err, out, want)
	}
	if out, err = doveadm(t, s, dir, "-o", maildir, "search", "mailbox", "INBOX", "keyword", "$Work", "flagged"); err != nil || strings.Count(out, "\n") != 3 {
		t.Errorf("the flags: %v %q", err, out)
	}
}

// errorsOf returns the lines of Dovecot's that tell of errors.
func errorsOf(out string) string {
	var lines []string
	for line := range strings.Lines(out) {
		if strings.Contains(line, "Error:") || strings.Contains(line, "Panic:") || strings.Contains(line, "Fatal:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
