package test

import (
	"bufio"
	"image/color"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestThunderbird sets up an account in Thunderbird and works with it, by
// testdata/thunderbird.py. Pictures of its window are kept in the test's
// artefacts (go test -artifacts).
func TestThunderbird(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, subject := range []string{"to be read", "to be deleted"} {
		client(t, "", "curl", "-sS", "smtp://"+s.Addr["smtp"], "--mail-from", "bob@elsewhere.test", "--mail-rcpt", alice, "-T", file(t, "m", message(subject)))
	}
	pictures := []string{filepath.Join(t.ArtifactDir(), "thunderbird.png"), filepath.Join(t.ArtifactDir(), "thunderbird-sent.png")}
	out := client(t, "", "env", "DISPLAY="+display(t), "python3", "testdata/thunderbird.py", t.TempDir(),
		s.Addr["imap"], s.Addr["submission"], certificate(s), alice, password, bob, pictures[0], pictures[1])
	t.Log(out)
	for _, picture := range pictures {
		checkPicture(t, picture)
	}
	c := imapAt(t, "Postrider", s.Addr["imap"], alice, password)
	for _, want := range []struct{ mailbox, key, found string }{
		{"INBOX", "ALL", "* SEARCH"},
		{"Archive", `SUBJECT "to be read" SEEN FLAGGED`, "* SEARCH 1"},
		{"Trash", `SUBJECT "to be deleted"`, "* SEARCH 1"},
		{"Sent", `SUBJECT "sent by Thunderbird" SEEN BODY "Thunderbird"`, "* SEARCH 1"},
	} {
		c.ok("EXAMINE %s", want.mailbox)
		if got := c.ok("SEARCH %s", want.key); got[len(got)-1] != want.found {
			t.Errorf("%s: SEARCH %s: %q, want %q", want.mailbox, want.key, got, want.found)
		}
	}
	if got := inbox(t, s, bob); len(got) != 1 || !strings.Contains(got[0], "this is Thunderbird. Grüße!") {
		t.Errorf("Bob has %q", got)
	}
}

// checkPicture checks that a picture shows something: a window of that size
// with many colours.
func checkPicture(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	size, colours := img.Bounds().Size(), map[color.Color]bool{}
	for y := range size.Y {
		for x := range size.X {
			colours[img.At(x, y)] = true
		}
	}
	if size.X < 800 || size.Y < 600 || len(colours) < 100 {
		t.Errorf("%s is of %v with %d colours", name, size, len(colours))
	}
}

// display starts an X server without a screen and returns its name.
func display(t *testing.T) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvfb", "-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp")
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatalf("%v: run scripts/install-test-tools", err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	number, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb gives no display: %v", err)
	}
	return ":" + strings.TrimSpace(number)
}
