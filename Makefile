# Postrider. `make demo` runs the main job, `make test` all that tests it.
TAGS   = sqlite_fts5 sqlite_omit_load_extension netgo osusergo
GOTAGS = -tags "$(TAGS)"
# SQLite as its authors advise for Linux: fdatasync, which leaves a file's times
# out of a commit, and no count of all its memory under one lock.
export CGO_CFLAGS ?= -O2 -g -DHAVE_FDATASYNC=1 -DSQLITE_DEFAULT_MEMSTATUS=0
FUZZTIME ?= 10s
SOAK ?= all
comma := ,

.PHONY: build demo test test-clients test-512mb soak caps lint fuzz bench bench-peers bench-growth bench-checks docker-test clean

build:
	@mkdir -p bin
	CGO_ENABLED=1 go build $(GOTAGS) -o bin/ ./cmd/...

# Alice to Bob in six steps: two complete servers and a DNS, on loopback.
demo: build
	@bin/postrider demo

# Installs the clients that the tests use (by apt, where it may), then runs
# every test under the race detector.
test:
	@scripts/install-test-tools
	@mkdir -p bin
	CGO_ENABLED=1 go test $(GOTAGS) -race -timeout 20m -artifacts -outputdir $(CURDIR)/bin ./...

# Real mail programs against a running server; make test runs them, too. A
# picture of Thunderbird stays in bin/_artifacts.
test-clients: build
	@scripts/install-test-tools
	CGO_ENABLED=1 go test $(GOTAGS) -count 1 -v -timeout 20m -artifacts -outputdir $(CURDIR)/bin ./test

# The proofs of docs/reliability.md with their full figures, with a table at the
# end; it says what it does and how long that takes. `make soak
# SOAK=powercut,kill` runs some of them, imap ten minutes of clients that change
# one mailbox; SOAK_SEED=N begins elsewhere.
soak:
ifneq (,$(filter all imap,$(subst $(comma), ,$(SOAK))))
	@echo "imap      about 10 min: clients of all kinds change one mailbox"
	POSTRIDER_STRESS=10m CGO_ENABLED=1 go test $(GOTAGS) -race -count 1 -v -timeout 20m -run '^TestStress$$' ./imapd
endif
ifneq (imap,$(SOAK))
	SOAK=$(SOAK) CGO_ENABLED=1 go test $(GOTAGS) -count 1 -v -timeout 60m ./test/soak
endif

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "not gofmt-ed: $$unformatted" >&2; exit 1; fi
	go vet $(GOTAGS) ./...
	go tool staticcheck $(GOTAGS) ./...

# What IMAP announces, and which dialogues show that it works, what it refuses,
# and what two sessions at once see of it, in both revisions.
caps:
	@go test $(GOTAGS) -count 1 -v -run '^TestCaps$$' ./imapd

# Every fuzz target for FUZZTIME each.
fuzz:
	@scripts/fuzz-all $(FUZZTIME) "$(TAGS)"

# The whole suite with 512 MB of memory for each package (root; not -race, which
# takes many times the memory).
test-512mb:
	@scripts/install-test-tools
	CGO_ENABLED=1 go test $(GOTAGS) -p 1 -timeout 20m -exec $(CURDIR)/scripts/in-512mb ./...

bench:
	go test $(GOTAGS) -run '^$$' -bench . -benchmem ./...

# Postrider beside Dovecot and Postfix, every load on each in turn; one table.
# Needs root. ROWS=REGEXP chooses rows; scripts/bench-peers tells more.
bench-peers: build
	@ROWS='$(ROWS)' scripts/bench-peers

# How the cost grows to a million messages in one mailbox and 10,000 mailboxes:
# docs/growth.json and .svg. SIZES=1000,10000 is quicker; scripts/bench-growth
# tells more.
bench-growth: SIZES ?= 1000,10000,100000,1000000
bench-growth: build
	@SIZES='$(SIZES)' scripts/bench-growth

# What finding out who mail is from costs a message: checks on and off, A B A B.
# scripts/bench-checks tells more.
bench-checks: build
	@scripts/install-test-tools
	@scripts/bench-checks

# Two organisations and a DNS in containers: Alice's message by MX to Bob.
docker-test:
	@scripts/install-test-tools
	@scripts/docker-test

clean:
	rm -rf bin
