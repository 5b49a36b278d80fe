package faultfs

import (
	"bufio"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/mattn/go-sqlite3"
)

const writers, each = 4, 25

// Whoever opens a database here is a process of its own: see Mount.
func TestMain(m *testing.M) {
	dsn := os.Getenv("FAULTFS_DATABASE")
	if dsn == "" {
		os.Exit(m.Run())
	}
	if err := child(dsn, os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func child(dsn, what string) error {
	if what != "count" {
		return insert(dsn, what)
	}
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	var n int
	var ok string
	if err := db.QueryRow("SELECT count(DISTINCT x) FROM t").Scan(&n); err != nil {
		return err
	}
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&ok); err != nil {
		return err
	}
	fmt.Println(n, ok)
	return nil
}

// insert writes rows on several connections, says so, and stays until its
// input ends.
func insert(dsn, round string) error {
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		db, err := sql.Open("sqlite3", dsn)
		if err != nil {
			return err
		}
		if _, err := db.Exec("CREATE TABLE IF NOT EXISTS t (x)"); err != nil {
			return err
		}
		wg.Go(func() {
			for i := range each {
				if _, err := db.Exec("INSERT INTO t VALUES (?)", fmt.Sprint(round, " ", w, " ", i)); err != nil {
					errs[w] = err
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Println("written")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// SQLite finds its locks and its shared memory here: several connections
// write to one database, and what they committed outlives a cut.
func TestDatabase(t *testing.T) {
	d, dir := mountTest(t)
	dsn := "file:" + filepath.Join(dir, "db") + "?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000&_txlock=immediate"
	run := func(what string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], what)
		cmd.Env = append(os.Environ(), "FAULTFS_DATABASE="+dsn)
		cmd.Stderr = os.Stderr
		return cmd
	}
	for round := range 2 {
		writer := run(fmt.Sprint(round))
		in, err := writer.StdinPipe()
		must(t, err)
		out, err := writer.StdoutPipe()
		must(t, err)
		must(t, writer.Start())
		said, err := bufio.NewReader(out).ReadString('\n')
		must(t, err)
		if said != "written\n" {
			t.Fatal(said)
		}
		fsyncDir(t, dir)
		d.Cut(true)
		must(t, writer.Process.Kill())
		writer.Wait()
		in.Close()
		must(t, d.Restore())
		got, err := run("count").Output()
		must(t, err)
		if want := fmt.Sprint((round+1)*writers*each, " ok"); strings.TrimSpace(string(got)) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
