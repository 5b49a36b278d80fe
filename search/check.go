package search

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"postrider/store"
)

// Check reads every index below dir and returns what it found wrong, nil if
// nothing. It may run beside an open Index. What it finds needs no repair: a
// block that is damaged is made anew when it is next opened or read.
func Check(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		id, err := strconv.ParseInt(e.Name(), 10, 64)
		if err != nil {
			continue
		}
		names, _, err := blockFiles(filepath.Join(dir, e.Name()))
		if err != nil {
			return found, err
		}
		for _, name := range names {
			err := checkBlock(filepath.Join(dir, e.Name(), name))
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // one that was replaced meanwhile
				found = append(found, fmt.Sprintf("search index of account %d: %v; it is made anew", store.AccountID(id), err))
			}
		}
	}
	return found, nil
}

// checkBlock reads the whole of a block.
func checkBlock(path string) error {
	b, err := openBlock(path)
	if err != nil {
		return err
	}
	defer b.f.Close()
	if err := b.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (b *block) check() error {
	for c := range columns {
		var buf []byte
		if _, err := b.column(c, &buf); err != nil {
			return err
		}
	}
	last := -1
	return b.eachList(func(g gram, l postings) error {
		sound := int(g) > last
		last = int(g)
		prev := -1
		err := l.each(func(doc int) {
			sound = sound && doc > prev && doc < len(b.emails)
			prev = doc
		})
		if err == nil && !sound {
			err = errDamaged
		}
		return err
	})
}
