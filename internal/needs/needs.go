// Package needs is for tests that cannot run everywhere. Where their needs are
// not met they are skipped with a word, so that whoever has fewer rights can
// run all the others; but never in continuous integration (CI is set) nor in a
// soak (SOAK is set): there they run, and fail.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

func strict() bool { return os.Getenv("CI") != "" || os.Getenv("SOAK") != "" }

// Root is for tests that mount file systems or trace processes.
func Root(t testing.TB) {
	t.Helper()
	if !strict() && os.Geteuid() != 0 {
		t.Skip("this test mounts a file system or traces a process: run it as root")
	}
}

// Fuse is for tests that mount by FUSE.
func Fuse(t testing.TB) {
	t.Helper()
	Root(t)
	if _, err := os.Stat("/dev/fuse"); err != nil && !strict() {
		t.Skipf("this test mounts a file system by FUSE: %v", err)
	}
}

// Command is for tests that need another program: it is run with args, such as
// those that print its version, and has to succeed. scripts/install-test-tools
// installs what the tests need.
func Command(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		if strict() {
			t.Fatalf("this test needs %s: %v\n%s", name, err, out)
		}
		t.Skipf("this test needs %s, which scripts/install-test-tools installs: %v", name, err)
	}
}
