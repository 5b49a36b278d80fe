package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"postrider/internal/lab"
)

// Environment of the process in the namespaces.
const (
	envBinary = "INTEROP_BINARY"
	envDir    = "INTEROP_DIR"
)

// peersDir is where scripts/install-test-tools unpacks the programs.
func peersDir() string {
	if d := os.Getenv("INTEROP_PEERS"); d != "" {
		return d
	}
	return "/var/cache/postrider-peers"
}

// binary is the postrider executable, dir what all of the tests may write to.
var binary, dir string

func TestMain(m *testing.M) {
	binary, dir = os.Getenv(envBinary), os.Getenv(envDir)
	if binary == "" {
		os.Exit(outside(m))
	}
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// outside runs the tests again in namespaces, or here, where they skip.
func outside(m *testing.M) int {
	if !possible() {
		return m.Run()
	}
	tmp, err := os.MkdirTemp("", "postrider-interop-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(tmp)
	os.Chmod(tmp, 0o755) // the peers have users of their own
	built, err := lab.Build(tmp)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	args := append([]string{"--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child", self}, os.Args[1:]...)
	cmd := exec.Command("unshare", args...)
	cmd.Env = append(os.Environ(), envBinary+"="+built, envDir+"="+tmp)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	return 0
}

// possible tells whether the tests can run: as root, with the peers there.
func possible() bool {
	_, err := os.Stat(filepath.Join(peersDir(), "postfix"))
	return os.Geteuid() == 0 && err == nil
}

// need skips a test where it cannot run, but never in continuous integration.
func need(t *testing.T) {
	t.Helper()
	if binary != "" {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal("interop needs root and the programs that scripts/install-test-tools unpacks")
	}
	t.Skip("this test needs root, and the programs that scripts/install-test-tools unpacks")
}

// furnish makes the namespaces habitable.
func furnish() error {
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	for file, more := range map[string]string{
		"/etc/passwd": "postfix:x:20010:20010::/nonexistent:/bin/false\nDebian-exim:x:20020:20020::/nonexistent:/bin/false\n" +
			"opensmtpd:x:20030:20030::/var/empty:/bin/false\nopensmtpq:x:20031:20031::/var/empty:/bin/false\nbob:x:20040:20040::/nonexistent:/bin/false\n",
		"/etc/group": "postfix:x:20010:\npostdrop:x:20011:\nDebian-exim:x:20020:\nopensmtpd:x:20030:\nopensmtpq:x:20031:\nbob:x:20040:\n",
	} {
		was, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var b strings.Builder
		for line := range strings.Lines(string(was)) { // the machine's own may have other numbers
			name, _, _ := strings.Cut(line, ":")
			if !strings.Contains("\n"+more, "\n"+name+":") {
				b.WriteString(line)
			}
		}
		if err := replace(file, b.String()+more); err != nil {
			return err
		}
	}
	if err := replace("/etc/resolv.conf", "nameserver "+dnsHost+"\noptions trust-ad edns0 timeout:2\n"); err != nil {
		return err
	}
	if err := replace("/etc/hosts", "127.0.0.1 localhost\n"); err != nil {
		return err
	}
	for _, d := range []string{"/var/spool", "/var/empty", "/run"} {
		os.MkdirAll(d, 0o755) // /var/empty may not be there
		if err := syscall.Mount("tmpfs", d, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", d, err)
		}
	}
	return nil
}

// replace puts text in place of a file, for this namespace alone.
func replace(file, text string) error {
	own := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
	if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
		return err
	}
	if err := syscall.Mount(own, file, "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", file, err)
	}
	return nil
}

// loopbackUp brings the loopback interface up, with the addresses that the
// peers look for on an interface of their own.
func loopbackUp() error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	up := [24]byte{syscall.IFF_UP | syscall.IFF_RUNNING}
	if err := ioctl(s, syscall.SIOCSIFFLAGS, "lo", up); err != nil {
		return err
	}
	for i, host := range []string{ourHost, postfixHost, eximHost, openSMTPDHost} {
		addr := [24]byte{0: syscall.AF_INET}
		copy(addr[4:], net.ParseIP(host).To4()) // struct sockaddr_in
		if err := ioctl(s, syscall.SIOCSIFADDR, fmt.Sprintf("lo:%d", i+1), addr); err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
	}
	return nil
}

// ioctl changes an interface; see netdevice(7).
func ioctl(socket int, what uintptr, name string, value [24]byte) error {
	var req struct {
		name  [16]byte
		value [24]byte
	}
	copy(req.name[:], name)
	req.value = value
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(socket), what, uintptr(unsafe.Pointer(&req))); errno != 0 {
		return errno
	}
	return nil
}
