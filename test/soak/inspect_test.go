package soak

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3"

	"postrider/internal/lab"
)

// inspectVar names the database that a process of this program is to inspect
// in place of running tests. SQLite maps its shared memory into the process,
// and who serves a mounted faultfs must not wait for a page of it.
const inspectVar = "SOAK_INSPECT"

// highest is a mailbox's highest modification number, which the IMAP server
// does not tell.
type highest struct {
	User, Mailbox string
	ModSeq        uint64
}

// inspect has SQLite verify the database file, beside what the server says of
// it, and reads the highest modification number of each mailbox.
func inspect(s *lab.Site) (map[box]uint64, error) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), inspectVar+"="+filepath.Join(s.DataDir(), "mail.db"))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("inspecting the database: %w: %s", err, out)
	}
	var list []highest
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	all := map[box]uint64{}
	for _, h := range list {
		all[box{h.User, h.Mailbox}] = h.ModSeq
	}
	return all, nil
}

// inspectFile is the other process's part.
func inspectFile(path string) (list []highest, err error) {
	db, err := sql.Open("sqlite3", "file:"+path+"?mode=ro&_query_only=1&_busy_timeout=10000")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		return nil, fmt.Errorf("integrity check: %s, %v", verdict, err)
	}
	rows, err := db.Query("SELECT a.address, m.name, m.modseq FROM mailbox m JOIN account a ON a.id = m.acct")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var h highest
		if err := rows.Scan(&h.User, &h.Mailbox, &h.ModSeq); err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, rows.Err()
}
