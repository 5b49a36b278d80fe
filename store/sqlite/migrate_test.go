package sqlite

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// released are the migrations that stores out there have been through. They
// are never edited: a store that took the old text would not get the new. A
// change to the schema is another file, and another line here.
var released = []string{
	"646212c8fb7e26649934f5bca452eeef62c23dafb4295a92567b9953c48bee3c",
}

func TestMigrationsAreNotEdited(t *testing.T) {
	texts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) != len(released) {
		t.Fatalf("%d migrations, %d of them released; add the new one's hash", len(texts), len(released))
	}
	for i, text := range texts {
		sum := sha256.Sum256([]byte(text))
		if got := hex.EncodeToString(sum[:]); got != released[i] {
			t.Errorf("migration %d was edited: its SHA-256 is %s, and was %s", i+1, got, released[i])
		}
	}
}
