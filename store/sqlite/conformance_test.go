package sqlite

import (
	"testing"

	"postrider/store"
	"postrider/store/storetest"
)

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) store.Engine {
		t.Helper()
		e, err := Open(dir, Options{Reserve: -1})
		if err != nil {
			t.Fatal(err)
		}
		return e
	})
}
