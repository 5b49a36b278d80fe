package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/mattn/go-sqlite3"
)

// stmt is a prepared statement of a connection. It is the driver's own: what
// database/sql does around each call, and the second copy that it makes of each
// blob, is more than what many of our statements cost. One goroutine uses it
// at a time, and never again while its rows are read.
type stmt struct {
	s   *sqlite3.SQLiteStmt
	in  []driver.NamedValue // parameters, used again
	row []driver.Value      // of the row under way, used again

	scanRow func(dest ...any) error // scan
}

func newStmt(s *sqlite3.SQLiteStmt) *stmt {
	n := &stmt{s: s}
	n.scanRow = n.scan
	return n
}

// bind puts args into s.in.
func (s *stmt) bind(args []any) error {
	s.in = s.in[:0]
	for i, a := range args {
		var v driver.Value
		switch x := a.(type) {
		case nil, int64, string, []byte, bool, float64:
			v = x
		case int:
			v = int64(x)
		default:
			var err error
			if v, err = driver.DefaultParameterConverter.ConvertValue(a); err != nil {
				return fmt.Errorf("parameter %d: %w", i+1, err)
			}
		}
		s.in = append(s.in, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return nil
}

// query runs s to its first row. The parameters and that step are one call of
// C.
func (s *stmt) query(args []any) (driver.Rows, error) {
	if err := s.bind(args); err != nil {
		return nil, err
	}
	rows, err := s.s.QueryContext(context.Background(), s.in)
	clear(s.in) // bodies are large
	return rows, err
}

// run runs a statement that answers nothing.
func (s *stmt) run(args []any) error {
	rows, err := s.query(args)
	if err != nil {
		return err
	}
	return rows.Close()
}

// exec runs a statement and tells what it changed.
func (s *stmt) exec(args []any) (driver.Result, error) {
	if err := s.bind(args); err != nil {
		return nil, err
	}
	r, err := s.s.ExecContext(context.Background(), s.in)
	clear(s.in)
	return r, err
}

// get reads the first row into dest: sql.ErrNoRows if there is none.
func (s *stmt) get(args, dest []any) error {
	rows, err := s.query(args)
	if err != nil {
		return err
	}
	err = s.next(rows)
	found := err == nil
	if found {
		err = s.scan(dest...)
	} else if err == io.EOF {
		err = nil
	}
	if closed := rows.Close(); err == nil {
		err = closed
	}
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

// each calls fn for every row.
func (s *stmt) each(args []any, fn func(scan func(dest ...any) error) error) error {
	rows, err := s.query(args)
	if err != nil {
		return err
	}
	closed := false
	defer func() {
		if !closed { // fn failed
			rows.Close()
		}
	}()
	for {
		if err := s.next(rows); err == io.EOF {
			closed = true
			return rows.Close()
		} else if err != nil {
			return err
		}
		if err := fn(s.scanRow); err != nil {
			return err
		}
	}
}

// next reads the next row: io.EOF if there is none.
func (s *stmt) next(rows driver.Rows) error {
	if n := len(rows.Columns()); len(s.row) != n {
		s.row = make([]driver.Value, n)
	}
	return rows.Next(s.row)
}

// scan assigns the row to dest.
func (s *stmt) scan(dest ...any) error {
	if len(dest) != len(s.row) {
		return fmt.Errorf("%d columns for %d destinations", len(s.row), len(dest))
	}
	for i, d := range dest {
		if err := assign(d, s.row[i]); err != nil {
			return fmt.Errorf("column %d: %w", i+1, err)
		}
	}
	return nil
}

// assign gives dest the value of a column, as database/sql does it, but that a
// number is no text and a text no number. Blobs are dest's own.
func assign(dest any, v driver.Value) error {
	switch x := v.(type) {
	case int64:
		switch d := dest.(type) {
		case *int64:
			*d = x
			return nil
		case *int:
			*d = int(x)
			return nil
		case **int64:
			*d = &x
			return nil
		}
	case []byte:
		switch d := dest.(type) {
		case *[]byte:
			*d = x
			return nil
		case *sql.RawBytes:
			*d = x
			return nil
		case *string:
			*d = string(x)
			return nil
		}
	case string:
		switch d := dest.(type) {
		case *string:
			*d = x
			return nil
		case *[]byte:
			*d = []byte(x)
			return nil
		}
	case nil:
		switch d := dest.(type) {
		case *[]byte:
			*d = nil
			return nil
		case *sql.RawBytes:
			*d = nil
			return nil
		case **int64:
			*d = nil
			return nil
		}
	}
	switch d := dest.(type) {
	case *any:
		*d = v
		return nil
	case sql.Scanner:
		return d.Scan(v)
	}
	p := reflect.ValueOf(dest)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return fmt.Errorf("%T is no destination", dest)
	}
	return assignTo(p.Elem(), v)
}

// assignTo is assign for types of a name of their own, and for pointers.
func assignTo(d reflect.Value, v driver.Value) error {
	if d.Kind() == reflect.Pointer {
		if v == nil {
			d.SetZero()
			return nil
		}
		p := reflect.New(d.Type().Elem())
		if err := assign(p.Interface(), v); err != nil {
			return err
		}
		d.Set(p)
		return nil
	}
	wrong := fmt.Errorf("a value of type %T for a %s", v, d.Type())
	number, isNumber := v.(int64)
	text, isText := asText(v)
	switch d.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if !isNumber || d.OverflowInt(number) {
			return wrong
		}
		d.SetInt(number)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if !isNumber || number < 0 || d.OverflowUint(uint64(number)) {
			return wrong
		}
		d.SetUint(uint64(number))
	case reflect.Bool:
		if number != 0 && number != 1 || !isNumber {
			return wrong
		}
		d.SetBool(number == 1)
	case reflect.Float64:
		x, ok := v.(float64)
		if isNumber {
			x, ok = float64(number), true
		}
		if !ok {
			return wrong
		}
		d.SetFloat(x)
	case reflect.String:
		if !isText {
			return wrong
		}
		d.SetString(text)
	case reflect.Slice:
		if d.Type().Elem().Kind() != reflect.Uint8 || v != nil && !isText {
			return wrong
		}
		if v == nil {
			d.SetZero()
		} else {
			d.SetBytes([]byte(text))
		}
	default:
		return wrong
	}
	return nil
}

func asText(v driver.Value) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case []byte:
		return string(x), true
	}
	return "", false
}

var errNotOurs = errors.New("not a connection of SQLite's driver")
