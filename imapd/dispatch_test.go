package imapd

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestStates compares the dispatch table with the sections of the RFCs that say
// in which states a command is valid.
func TestStates(t *testing.T) {
	want := map[string]stateSet{}
	for states, names := range map[stateSet]string{
		inAny:     "CAPABILITY NOOP LOGOUT ID",   // RFC 9051 §6.1, RFC 2971 §3.1
		inNotAuth: "STARTTLS AUTHENTICATE LOGIN", // §6.2
		loggedIn: "ENABLE SELECT EXAMINE CREATE DELETE RENAME SUBSCRIBE UNSUBSCRIBE LIST NAMESPACE STATUS APPEND IDLE " + // §6.3
			"LSUB " + // RFC 3501 §6.3.9
			"SETACL DELETEACL GETACL LISTRIGHTS MYRIGHTS " + // RFC 4314 §3
			"GETQUOTA GETQUOTAROOT SETQUOTA " + // RFC 9208 §4.1
			"GETMETADATA SETMETADATA " + // RFC 5464 §4
			"COMPRESS UNAUTHENTICATE NOTIFY ESEARCH", // RFC 4978 §3, RFC 8437 §2, RFC 5465 §3, RFC 7377 §2
		inSelected: "CLOSE UNSELECT EXPUNGE SEARCH FETCH STORE COPY MOVE " + // §6.4
			"UID_FETCH UID_STORE UID_SEARCH UID_COPY UID_MOVE UID_EXPUNGE " +
			"CHECK SORT THREAD UID_SORT UID_THREAD " + // RFC 3501 §6.4.1, RFC 5256 §3
			"REPLACE UID_REPLACE CANCELUPDATE UIDBATCHES", // RFC 8508 §3, RFC 5267 §4.4, RFC 10022
	} {
		for name := range strings.SplitSeq(names, " ") {
			want[strings.ReplaceAll(name, "_", " ")] = states
		}
	}
	have := commands()
	for name, c := range have {
		if c.states != want[name] {
			t.Errorf("%s: states %b, want %b", name, c.states, want[name])
		}
	}
	for name := range want {
		if _, ok := have[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestExpungeTold compares the table with where EXPUNGE must not be told: while
// no command is in progress, and while one is that names messages by numbers
// and leaves them there (RFC 9051 §7.5.1; RFC 5256 §3 for SORT and THREAD).
func TestExpungeTold(t *testing.T) {
	never := []string{"FETCH", "STORE", "SEARCH", "SORT", "THREAD"}
	// These end the time in which numbers have a meaning, or come before it.
	outside := []string{"LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "UNAUTHENTICATE", "SELECT", "EXAMINE", "UNSELECT", "CLOSE"}
	for name, c := range commands() {
		if want := !slices.Contains(never, name) && !slices.Contains(outside, name); c.expunge != want {
			t.Errorf("%s: EXPUNGE may be told: %t", name, c.expunge)
		}
		numbers := append([]string{"COPY", "MOVE", "REPLACE"}, never...)
		if want := slices.Contains(numbers, name); c.numbers != want {
			t.Errorf("%s: names messages by numbers: %t", name, c.numbers)
		}
	}
	all := slices.Collect(maps.Keys(commands()))
	for _, name := range never {
		if !slices.Contains(all, "UID "+name) || !commands()["UID "+name].expunge {
			t.Errorf("UID %s is not there, or may not tell", name)
		}
	}
}
