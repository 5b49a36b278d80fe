package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"postrider/store"
)

// salvage reads what can be read of a damaged database, table by table in the
// order of their keys, and steps over what cannot.
type salvage struct {
	old   *sql.Conn
	new   *tx
	holes map[string]int // places that could not be read, by table
	lost  map[string]int // rows that cannot be what was written, by table
}

// tableShape is a table of the newest schema.
type tableShape struct {
	name      string
	columns   string // list of names
	marks     string // list of parameters
	width     int
	key       []string
	at        []int  // where the key's columns stand
	isInt     []bool // of the key
	selectAll string
}

func shapeOfTable(t *tx, name string) (*tableShape, error) {
	s := &tableShape{name: name}
	keyAt := map[int]int{}
	ints := map[int]bool{}
	var columns []string
	err := t.each("SELECT name, type, pk FROM pragma_table_info(?1)", args(name), func(scan func(...any) error) error {
		var column, kind string
		var pk int
		if err := scan(&column, &kind, &pk); err != nil {
			return err
		}
		if pk > 0 {
			keyAt[pk], ints[pk] = len(columns), kind == "INTEGER"
		}
		columns = append(columns, column)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for pk := 1; pk <= len(keyAt); pk++ {
		s.at, s.isInt = append(s.at, keyAt[pk]), append(s.isInt, ints[pk])
		s.key = append(s.key, columns[keyAt[pk]])
	}
	if len(s.key) == 0 {
		return nil, fmt.Errorf("table %s has no key", name)
	}
	s.width = len(columns)
	s.columns = strings.Join(columns, ", ")
	s.marks = strings.TrimSuffix(strings.Repeat("?, ", s.width), ", ")
	s.selectAll = "SELECT " + s.columns + " FROM " + name
	return s, nil
}

// from is a query for the rows above a key, or from it on; nil is all.
func (s *tableShape) from(key []any, op, order string) string {
	q := s.selectAll
	if key != nil {
		marks := strings.TrimSuffix(strings.Repeat("?, ", len(key)), ", ")
		q += fmt.Sprintf(" WHERE (%s) %s (%s)", strings.Join(s.key, ", "), op, marks)
	}
	return q + " ORDER BY " + strings.Join(s.key, order+", ") + order
}

// maxHoles bounds how often a table is read on behind what cannot be read.
const maxHoles = 10_000

// table copies a table, forwards from hole to hole, and if there are any then
// backwards: a damaged key may have led past rows.
func (s *salvage) table(name string) error {
	shape, err := shapeOfTable(s.new, name)
	if err != nil {
		return err
	}
	var highest []any // key that was read, or tried
	for op := ">"; s.holes[name] < maxHoles; op = ">=" {
		got, ordered, err := s.rows(shape, shape.from(highest, op, ""), highest)
		if errors.Is(err, errWriting) {
			return err
		}
		if got != nil && compareKeys(got, highest) > 0 {
			highest = got
		}
		if err == nil && ordered && s.holes[name] == 0 {
			return nil
		}
		s.holes[name]++
		if err == nil {
			break
		}
		if highest = s.resume(shape, highest); highest == nil {
			break
		}
	}
	if _, _, err = s.rows(shape, shape.from(nil, "", " DESC"), nil); errors.Is(err, errWriting) {
		return err
	}
	return nil // what the way back does not reach either is lost
}

var errWriting = errors.New("writing the new database")

// rows copies what a query with these parameters answers, unless it is there
// already, and returns the last key, and whether keys rose.
func (s *salvage) rows(shape *tableShape, query string, params []any) (last []any, ordered bool, err error) {
	rows, err := s.old.QueryContext(context.Background(), query, params...)
	if err != nil {
		return nil, true, err
	}
	defer rows.Close()
	ordered = true
	for rows.Next() {
		row := make([]any, shape.width)
		into := make([]any, shape.width)
		for i := range row {
			into[i] = &row[i]
		}
		if err := rows.Scan(into...); err != nil {
			return last, ordered, err
		}
		_, err := s.new.exec("INSERT OR IGNORE INTO "+shape.name+" ("+shape.columns+") VALUES ("+shape.marks+")", row...)
		if err != nil && (isFull(err) || isBroken(err)) {
			return last, ordered, fmt.Errorf("%w: %w", errWriting, err)
		}
		if err != nil { // it is of a type that it cannot be
			s.lost[shape.name]++
		}
		key := shape.keyOf(row)
		if last != nil && compareKeys(key, last) <= 0 {
			ordered = false
		}
		last = key
	}
	return last, ordered, rows.Err()
}

// single copies the row with a key, if it can be read: what lies between two
// places that cannot is not always found by going through a table.
func (s *salvage) single(shape *tableShape, key ...any) error {
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(key)), ", ")
	query := fmt.Sprintf("%s WHERE (%s) = (%s)", shape.selectAll, strings.Join(shape.key, ", "), marks)
	if _, _, err := s.rows(shape, query, key); errors.Is(err, errWriting) {
		return err
	}
	return nil
}

// missing looks for the rows that others refer to, one by one: messages that
// views know of, and bodies of messages.
func (s *salvage) missing() error {
	for _, m := range []struct{ table, keys string }{
		{"body", "SELECT body FROM message UNION SELECT body FROM out EXCEPT SELECT id FROM body"},
		{"body_data", "SELECT id FROM body WHERE place = 0 EXCEPT SELECT id FROM body_data"},
	} {
		shape, err := shapeOfTable(s.new, m.table)
		if err != nil {
			return err
		}
		ids, err := values[int64](s.new, m.keys, nil)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := s.single(shape, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// missingMessages looks for the rows of messages that pages name.
func (s *salvage) missingMessages() error {
	shape, err := shapeOfTable(s.new, "message")
	if err != nil {
		return err
	}
	var keys [][]any
	err = s.new.each("SELECT acct, mbox, data FROM message_page", nil, func(scan func(...any) error) error {
		var box store.MailboxID
		var data []byte
		var rows store.Rows
		if err := scan(&box.Account, &box.N, &data); err != nil {
			return err
		}
		if decodePage(data, box, &rows) != nil {
			return nil
		}
		for _, uid := range rows.UID {
			var there bool
			key := args(int64(box.Account), box.N, int64(uid))
			if err := s.new.get("SELECT EXISTS (SELECT 1 FROM message WHERE acct = ?1 AND mbox = ?2 AND uid = ?3)", key, &there); err != nil {
				return err
			}
			if !there {
				keys = append(keys, key)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.single(shape, key...); err != nil {
			return err
		}
	}
	return nil
}

func (s *tableShape) keyOf(row []any) []any {
	key := make([]any, len(s.at))
	for i, at := range s.at {
		key[i] = row[at]
	}
	return key
}

// compareKeys orders keys as SQLite does, numbers before texts before blobs.
func compareKeys(a, b []any) int {
	for i := range min(len(a), len(b)) {
		if c := compareValues(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

func compareValues(a, b any) int {
	switch x := a.(type) {
	case int64:
		if y, ok := b.(int64); ok {
			return cmp.Compare(x, y)
		}
		return -1
	case string:
		switch y := b.(type) {
		case string:
			return cmp.Compare(x, y)
		case int64:
			return 1
		}
		return -1
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Compare(x, y)
		}
		return 1
	}
	return 0
}

// resume finds the lowest key above last from which on rows can be read
// again; nil if there is none. It looks for it in steps that double, since one
// damaged page makes many neighbours unreadable.
func (s *salvage) resume(shape *tableShape, last []any) []any {
	key := make([]any, len(shape.key))
	for i := range key {
		if key[i] = any(int64(math.MinInt64)); !shape.isInt[i] {
			key[i] = ""
		}
	}
	if last != nil {
		copy(key, last)
	}
	for at := len(key) - 1; at >= 0; at-- {
		if base, ok := key[at].(int64); ok && shape.isInt[at] {
			if found := s.leap(shape, key, at, base); found != nil {
				return found
			}
			key[at] = int64(math.MinInt64)
		} else {
			key[at] = ""
		}
	}
	return nil
}

// leap is resume in one column of the key.
func (s *salvage) leap(shape *tableShape, key []any, at int, base int64) []any {
	try := func(v int64) bool {
		k := append([]any{}, key...)
		k[at] = v
		return s.readable(shape, k)
	}
	bad := base
	for step := int64(1); ; step *= 2 {
		good := base + step
		if good < base || step <= 0 {
			return nil
		}
		if !try(good) {
			bad = good
			continue
		}
		for bad+1 < good {
			if mid := bad + (good-bad)/2; try(mid) {
				good = mid
			} else {
				bad = mid
			}
		}
		k := append([]any{}, key...)
		k[at] = good
		return k
	}
}

// readable tells whether the first row from key on, if there is one, can be
// read.
func (s *salvage) readable(shape *tableShape, key []any) bool {
	rows, err := s.old.QueryContext(context.Background(), shape.from(key, ">=", "")+" LIMIT 1", key...)
	if err != nil {
		return false
	}
	defer rows.Close()
	for rows.Next() {
		row := make([]any, shape.width)
		into := make([]any, shape.width)
		for i := range row {
			into[i] = &row[i]
		}
		if rows.Scan(into...) != nil || compareKeys(shape.keyOf(row), key) < 0 {
			return false
		}
	}
	return rows.Err() == nil
}

// dbPage is the size of our databases' pages.
const dbPage = 4096

// graftSchema gives a copy of a damaged database the schema of fresh. Both went
// through the same migrations, and so their tables begin at the same pages: in
// a database that can be vacuumed step by step, SQLite puts the first page of a
// new table behind those of the others and moves what lies there. But the
// pages under page 1 that hold the schema lie where there was room; they are
// put at the end, so that nothing of the damaged database is overwritten.
func graftSchema(damagedPath, freshPath string) error {
	fresh, err := os.ReadFile(freshPath)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(damagedPath, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	leaves, err := schemaPages(fresh)
	if err != nil {
		return err
	}
	if info.Size() < int64(len(leaves))*dbPage {
		return errors.New("there is next to nothing in it")
	}
	first := bytes.Clone(fresh[:dbPage])
	end := uint32(info.Size() / dbPage)
	for i, n := range leaves[1:] {
		if end++; end == lockPage {
			end++
		}
		if _, err := f.WriteAt(fresh[(n-1)*dbPage:n*dbPage], int64(end-1)*dbPage); err != nil {
			return err
		}
		binary.BigEndian.PutUint32(first[schemaPointer(first, i):], end)
	}
	binary.BigEndian.PutUint32(first[28:], end)
	clear(first[32:40]) // free pages are not looked for
	if _, err := f.WriteAt(first, 0); err != nil {
		return err
	}
	return f.Truncate(int64(end) * dbPage)
}

// lockPage is the page that SQLite never uses, since it locks bytes in it.
const lockPage = 1<<30/dbPage + 1

// schemaPointer returns where an interior page 1 has the number of the i-th
// page under it: at the beginning of a cell, the last one in the header.
func schemaPointer(first []byte, i int) int {
	const header = 100
	if i == int(binary.BigEndian.Uint16(first[header+3:])) {
		return header + 8
	}
	return int(binary.BigEndian.Uint16(first[header+12+2*i:]))
}

// schemaPages returns the numbers of the pages that hold the schema: page 1,
// then the leaves under it, in order, if it is an interior page.
func schemaPages(db []byte) ([]int, error) {
	const header, leaf, interior = 100, 0x0d, 0x05
	pages := []int{1}
	if len(db) < dbPage || db[header] == leaf {
		return pages, nil
	}
	if db[header] != interior {
		return nil, errors.New("page 1 is no page of a table")
	}
	cells := int(binary.BigEndian.Uint16(db[header+3:]))
	for i := range cells + 1 {
		at := schemaPointer(db, i)
		if at > dbPage-4 {
			return nil, errors.New("page 1 is damaged")
		}
		pages = append(pages, int(binary.BigEndian.Uint32(db[at:])))
	}
	for _, n := range pages {
		if n < 1 || n*dbPage > len(db) || n > 1 && db[(n-1)*dbPage] != leaf {
			return nil, errors.New("the schema is larger than expected")
		}
	}
	return pages, nil
}
