package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"postrider/store"
)

var errNotText = errors.New("a number is no text")

// TestAssign compares what a statement puts into its destinations with what
// database/sql puts there.
func TestAssign(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	values := []string{"0", "1", "-1", "300", "9223372036854775807", "'text'", "''", "x'6162'", "x''", "NULL", "1.5"}
	mixed := map[string]bool{"int64": true, "float64": true} // what is no text here
	dests := []func() any{
		func() any { return new(int64) }, func() any { return new(int) }, func() any { return new(bool) },
		func() any { return new(string) }, func() any { return new([]byte) }, func() any { return new(*int64) },
		func() any { return new(sql.NullInt64) }, func() any { return new(store.UID) }, func() any { return new(store.AccountID) },
		func() any { return new(store.OpID) }, func() any { return new(uint8) }, func() any { return new(float64) }, func() any { return new(any) },
	}
	err := e.read(t.Context(), "test", func(tx *tx) error {
		for _, v := range values {
			for _, dest := range dests {
				want, got := dest(), dest()
				wantErr := tx.c.QueryRowContext(t.Context(), "SELECT "+v).Scan(want)
				err := tx.get("SELECT "+v, nil, got)
				if _, isText := asText(reflect.ValueOf(got).Elem().Interface()); isText {
					var raw any
					if tx.get("SELECT "+v, nil, &raw) == nil && mixed[fmt.Sprintf("%T", raw)] {
						wantErr = errNotText
					}
				}
				if (err == nil) != (wantErr == nil) {
					t.Errorf("%s into a %T: %v, by database/sql %v", v, got, err, wantErr)
				} else if err == nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%s into a %T: %v, by database/sql %v", v, got, reflect.ValueOf(got).Elem(), reflect.ValueOf(want).Elem())
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestParameters sees that what goes in comes out.
func TestParameters(t *testing.T) {
	e := openTest(t, t.TempDir(), Options{})
	err := e.read(t.Context(), "test", func(tx *tx) error {
		for _, c := range []struct{ in, want any }{
			{int64(1), int64(1)}, {7, int64(7)}, {true, int64(1)}, {"", ""}, {"ä", "ä"}, {[]byte("x"), []byte("x")}, {[]byte(nil), nil},
			{[]byte{}, []byte{}}, {nil, nil}, {store.UID(5), int64(5)}, {store.OpID("op"), "op"}, {sql.NullInt64{}, nil}, {uint8(3), int64(3)}, {(*int64)(nil), nil},
		} {
			var got any
			if err := tx.get("SELECT ?1", args(c.in), &got); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%T %v: %T %v, %v", c.in, c.in, got, got, err)
			}
		}
		if err := tx.get("SELECT ?1", args(struct{}{}), new(any)); err == nil {
			t.Error("a struct is no parameter")
		}
		if err := tx.get("SELECT 1 WHERE 0", nil, new(int)); !errors.Is(err, sql.ErrNoRows) {
			t.Error(err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
