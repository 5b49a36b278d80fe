package main

// imapRows are the rows of reading, searching and changing mailboxes by IMAP.
// One run of a workload serves all rows that name it with the same flags.
func imapRows() []Row {
	time := func(name, workload, result string, ratio float64, args ...string) Row {
		return Row{Name: name, Workload: workload, Args: args, Result: result, Figure: byP50, Unit: "ms", Targets: []Target{{Ratio: ratio}}}
	}
	fetch := func(name, result string, ratio float64) Row { return time(name, "fetch", result, ratio) }
	search := func(name, result string, ratio float64) Row {
		return time(name, "search", result, ratio, "--settle", "10s", "--repeat", "1")
	}
	sort := func(name, result string) Row { return time(name, "sort", result, 0.5) }
	return []Row{
		fetch("SELECT, cold", "select-cold", 1),
		fetch("SELECT, warm", "select-warm", 1),
		fetch("FETCH 1:* FLAGS", "flags", 1),
		fetch("UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)", "sizes", 0.2),
		fetch("FETCH 1:* ENVELOPE", "envelope", 0.7),
		fetch("FETCH 1:* BODYSTRUCTURE", "bodystructure", 0.3),
		fetch("FETCH 1:* seven header fields", "header", 0.5),
		fetch("FETCH 1:* BODY.PEEK[], 100 MB", "body", 1),
		search("SEARCH SUBJECT, no match", "subject-none", 0.5),
		search("SEARCH SUBJECT, one match", "subject-one", 0.5),
		search("SEARCH SUBJECT, a tenth", "subject-many", 0.5),
		search("SEARCH FROM, no match", "from-none", 0.5),
		search("SEARCH FROM, one match", "from-one", 0.5),
		search("SEARCH FROM, many", "from-many", 0.5),
		search("SEARCH BODY, no match", "body-none", 0.1),
		search("SEARCH BODY, one match", "body-one", 0.1),
		search("SEARCH BODY, a tenth", "body-many", 0.1),
		search("SEARCH TEXT, no match", "text-none", 0.1),
		search("SEARCH TEXT, one match", "text-one", 0.1),
		search("SEARCH TEXT, a tenth", "text-many", 0.1),
		sort("SORT (SUBJECT)", "sort-subject"),
		sort("SORT (REVERSE DATE)", "sort-date"),
		sort("SORT (FROM DATE)", "sort-from"),
		sort("THREAD REFERENCES", "thread-references"),
		sort("THREAD REFS", "thread-refs"),
		sort("THREAD ORDEREDSUBJECT", "thread-subject"),
		time("COPY 1:*", "change", "copy", 0.2, "--repeat", "1"),
		time("STORE 1:* +FLAGS.SILENT", "change", "store", 2, "--repeat", "1"),
		time("EXPUNGE of 10,000", "change", "expunge", 1, "--repeat", "1"),
		{Name: "32 clients in a mix, one mailbox", Workload: "mix", Figure: byRate, Unit: "sessions/s", Targets: []Target{{Ratio: 4}}},
		{Name: "32 clients in a mix, a mailbox of 100 each", Workload: "mix", Args: []string{"--users", "32", "--count", "100"},
			Figure: byRate, Unit: "sessions/s", Targets: []Target{{Ratio: 4}}},
		{Name: "idle connections, 1,000: memory of each", Workload: "idle", Args: []string{"--connections", "1000"}, Rounds: 1,
			Figure: byValue, Unit: "octets", Targets: []Target{{Ratio: 0.1}}},
		{Name: "idle connections, 10,000 at once", Workload: "idle", Args: []string{"--connections", "10000"}, Rounds: 1, Alone: true,
			Figure: byCount, Unit: "connections", Targets: []Target{{Absolute: 10000}}},
		{Name: "delivery to the last of 500 watchers", Workload: "watch", Figure: byMax, Unit: "ms", Targets: []Target{{Absolute: 50}}},
	}
}
