package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// readFolder reads the *.eml files of a folder, in the order of their names,
// as DATA carries them.
func readFolder(dir string) ([][]byte, error) {
	names, err := filepath.Glob(filepath.Join(globQuote(dir), "*.eml"))
	if err != nil {
		return nil, err
	}
	var all [][]byte
	size := 0
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if size += len(b); size > maxRendered {
			return nil, fmt.Errorf("the messages in %s have more than %d octets", dir, maxRendered)
		}
		all = append(all, dotStuffed(b))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no *.eml in %s", dir)
	}
	return all, nil
}

// globQuote has filepath.Glob take a folder's name as it is.
func globQuote(dir string) string {
	var b []byte
	for _, c := range []byte(dir) {
		if bytes.IndexByte([]byte(`*?[\`), c) >= 0 {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}

// dotStuffed is a message as DATA carries it: every line ends with CRLF, as
// also the last, and one that begins with a dot has one more (RFC 5321 §4.5.2).
func dotStuffed(m []byte) []byte {
	out := make([]byte, 0, len(m)+len(m)/16+2)
	for len(m) > 0 {
		line, rest, _ := bytes.Cut(m, []byte("\n"))
		m = rest
		if line = bytes.TrimSuffix(line, []byte("\r")); bytes.HasPrefix(line, []byte(".")) {
			out = append(out, '.')
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}
