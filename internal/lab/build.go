package lab

import (
	"fmt"
	"os/exec"
	"path/filepath"
)

// Build makes the postrider executable in dir, with the tags of the Makefile,
// for tests that run whole servers. It takes the Go toolchain and must be
// called inside the module.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "postrider")
	build := exec.Command("go", "build", "-tags", "sqlite_fts5 sqlite_omit_load_extension netgo osusergo",
		"-o", binary, "postrider/cmd/postrider")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building postrider: %w\n%s", err, out)
	}
	return binary, nil
}
