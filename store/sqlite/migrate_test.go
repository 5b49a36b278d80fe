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
	"32814464c406b0ee5189cbccab05d9ee7a204eee5f6cf55f26f45741e9aa7e45",
	"a53c8a1bedab2adb7e031284f372c80253711802ed96bdc8b2f127d2fbf40b96",
	"c7cb5a570e9ac8821d88675707f872a2d24ea8027b73e671b8a53c9ce5c43fc8",
	"70851b9996d220a14fb583c21d6adeeb1577d97668d43b0af19ece5a389d2789",
	"c7b4eae3af6af9a81e4ad6fab7123516cae1fc39622b8839b1133b9379ae241e",
}

func TestMigrationsAreNotEdited(t *testing.T) {
	texts, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	if len(texts) < len(released) {
		t.Fatalf("%d migrations, %d of them released", len(texts), len(released))
	}
	for i, text := range texts[:len(released)] {
		sum := sha256.Sum256([]byte(text))
		if got := hex.EncodeToString(sum[:]); got != released[i] {
			t.Errorf("migration %d was edited: its SHA-256 is %s, and was %s", i+1, got, released[i])
		}
	}
}
