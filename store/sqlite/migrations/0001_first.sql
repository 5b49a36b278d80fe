-- The first schema. Rules: mailbox data is keyed by the account first, all
-- integers are 64 bits, times are Unix microseconds, truth values are 0 and 1,
-- there are no triggers, and every counter is changed by our own statements in
-- the transaction that changes what it counts. Ids of body, out and out_rcpt
-- rise with time, so that rows are appended and pages fill up in order.

PRAGMA application_id = 1349481332; -- "Post"

------------------------------------------------------------------- directory

CREATE TABLE domain (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	name    TEXT    NOT NULL UNIQUE, -- lower-case A-labels
	created INTEGER NOT NULL
) STRICT;

-- A number is never given to a second account, hence AUTOINCREMENT.
CREATE TABLE account (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	address  TEXT    NOT NULL UNIQUE, -- key of its main address
	admin    INTEGER NOT NULL DEFAULT 0,
	disabled INTEGER NOT NULL DEFAULT 0,
	created  INTEGER NOT NULL
) STRICT;

-- Every address that is here: an account's, or with a NULL account an alias.
-- A domain's catch-all has an empty local part.
CREATE TABLE address (
	key     TEXT    PRIMARY KEY, -- mail.Address.Key
	domain  INTEGER NOT NULL REFERENCES domain (id),
	account INTEGER REFERENCES account (id),
	local   TEXT    NOT NULL,    -- as it was written
	host    TEXT    NOT NULL     -- domain as it was written
) STRICT, WITHOUT ROWID;
CREATE INDEX address_domain  ON address (domain);
CREATE INDEX address_account ON address (account) WHERE account IS NOT NULL;

CREATE TABLE alias_target (
	key   TEXT    NOT NULL REFERENCES address (key) ON DELETE CASCADE,
	n     INTEGER NOT NULL,
	local TEXT    NOT NULL,
	host  TEXT    NOT NULL,
	PRIMARY KEY (key, n)
) STRICT, WITHOUT ROWID;

-- What a login is compared with. Kind is '' for the password itself; other
-- kinds have a label for people and a scope.
CREATE TABLE credential (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	account         INTEGER NOT NULL REFERENCES account (id) ON DELETE CASCADE,
	kind            TEXT    NOT NULL DEFAULT '',
	label           TEXT    NOT NULL DEFAULT '',
	scope           TEXT    NOT NULL DEFAULT '',
	argon2id        TEXT    NOT NULL DEFAULT '',
	scram_salt      BLOB,
	scram_iter      INTEGER NOT NULL DEFAULT 0,
	stored_key      BLOB,
	server_key      BLOB,
	created         INTEGER NOT NULL,
	last_used       INTEGER,
	UNIQUE (account, kind, label)
) STRICT;

CREATE TABLE filter_script (
	acct   INTEGER NOT NULL,
	name   TEXT    NOT NULL,
	active INTEGER NOT NULL DEFAULT 0,
	script BLOB    NOT NULL,
	saved  INTEGER NOT NULL,
	PRIMARY KEY (acct, name)
) STRICT, WITHOUT ROWID;

-- Settings of the whole server have account 0.
CREATE TABLE setting (
	acct  INTEGER NOT NULL,
	name  TEXT    NOT NULL,
	value BLOB    NOT NULL,
	PRIMARY KEY (acct, name)
) STRICT, WITHOUT ROWID;

-------------------------------------------------------------------- mailboxes

-- An account's mail: one row for each account, changed first by every change
-- to its mailboxes. A quota of 0 is none.
CREATE TABLE acct (
	id               INTEGER PRIMARY KEY,
	modseq           INTEGER NOT NULL DEFAULT 1,
	bytes            INTEGER NOT NULL DEFAULT 0,
	count            INTEGER NOT NULL DEFAULT 0,
	quota            INTEGER NOT NULL DEFAULT 0,
	quota_count      INTEGER NOT NULL DEFAULT 0,
	next_mbox        INTEGER NOT NULL DEFAULT 1,
	last_uidvalidity INTEGER NOT NULL DEFAULT 0,
	epoch            INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE mailbox (
	acct           INTEGER NOT NULL,
	id             INTEGER NOT NULL,
	name           TEXT    NOT NULL, -- NFC
	use            TEXT    NOT NULL DEFAULT '',
	uidvalidity    INTEGER NOT NULL,
	uidnext        INTEGER NOT NULL DEFAULT 1,
	modseq         INTEGER NOT NULL,
	total          INTEGER NOT NULL DEFAULT 0,
	unseen         INTEGER NOT NULL DEFAULT 0,
	deleted        INTEGER NOT NULL DEFAULT 0,
	bytes          INTEGER NOT NULL DEFAULT 0,
	deleted_bytes  INTEGER NOT NULL DEFAULT 0,
	gone_floor     INTEGER NOT NULL DEFAULT 0, -- expunges up to this modseq are forgotten
	created_modseq INTEGER NOT NULL,
	epoch          INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (acct, id),
	UNIQUE (acct, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE gone_mbox (
	acct   INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	mbox   INTEGER NOT NULL,
	name   TEXT    NOT NULL,
	PRIMARY KEY (acct, modseq)
) STRICT, WITHOUT ROWID;

-- Subscriptions outlive mailboxes (RFC 9051 §6.3.7).
CREATE TABLE subscription (
	acct INTEGER NOT NULL,
	name TEXT    NOT NULL,
	PRIMARY KEY (acct, name)
) STRICT, WITHOUT ROWID;

--------------------------------------------------------------------- messages

-- A message's row is written once and never changed; what of it is in views,
-- with what changes, is in its page. Sum is the first 8 bytes of a SHA-256 over
-- the body's hash, the prefix, the cuts and the size, XOR uid, mbox << 32 and
-- acct << 44: it ties the row to its body and to its place.
CREATE TABLE message (
	acct           INTEGER NOT NULL,
	mbox           INTEGER NOT NULL,
	uid            INTEGER NOT NULL,
	created_modseq INTEGER NOT NULL,
	received       INTEGER NOT NULL,
	saved          INTEGER NOT NULL,
	size           INTEGER NOT NULL, -- of what is served
	shape          INTEGER NOT NULL DEFAULT 0, -- store.Shape of what is served
	body           INTEGER NOT NULL,
	email_id       INTEGER NOT NULL, -- RFC 8474
	thread_id      INTEGER NOT NULL,
	sum            INTEGER NOT NULL,
	origin         TEXT    NOT NULL DEFAULT '', -- the journey's id
	prefix         BLOB,    -- header fields of ours, put before the body
	cut            BLOB,    -- ranges of the body that readers do not see
	PRIMARY KEY (acct, mbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_shape ON message (acct, mbox) WHERE shape <> 0;

-- What views know of neighbouring messages: page.go has the form of the data.
-- A page holds UIDs from lo to below the next page's lo; modseq is the highest
-- of its messages.
CREATE TABLE message_page (
	acct   INTEGER NOT NULL,
	mbox   INTEGER NOT NULL,
	lo     INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	data   BLOB    NOT NULL,
	PRIMARY KEY (acct, mbox, lo)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_page_modseq ON message_page (acct, mbox, modseq);

-- Expunged messages: a run of UIDs for each row.
CREATE TABLE gone (
	acct   INTEGER NOT NULL,
	mbox   INTEGER NOT NULL,
	modseq INTEGER NOT NULL,
	uid_lo INTEGER NOT NULL,
	uid_hi INTEGER NOT NULL,
	PRIMARY KEY (acct, mbox, modseq, uid_lo)
) STRICT, WITHOUT ROWID;

-- A body is stored once however many messages and outgoing rows refer to it.
-- Place 0: in body_data; 1: in segment seg at off; 2: an object, by key. The
-- data has a table of its own, so that a new reference rewrites one small row.
CREATE TABLE body (
	id         INTEGER PRIMARY KEY,
	refs       INTEGER NOT NULL,
	size       INTEGER NOT NULL,
	place      INTEGER NOT NULL,
	seg        INTEGER NOT NULL DEFAULT 0,
	off        INTEGER NOT NULL DEFAULT 0,
	hash       BLOB    NOT NULL, -- SHA-256
	meta       BLOB    NOT NULL, -- mail.Meta of the body less the cuts
	object_key TEXT
) STRICT;
CREATE INDEX body_segment ON body (seg, off, size) WHERE place = 1; -- size, so that it answers what a segment holds

CREATE TABLE body_data (
	id   INTEGER PRIMARY KEY,
	data BLOB    NOT NULL
) STRICT;

-- Objects in a body store outside: pending until their row is committed, dead
-- when the last reference has gone.
CREATE TABLE object (
	key   TEXT    PRIMARY KEY,
	state INTEGER NOT NULL,
	at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Which thread a Message-ID belongs to; hash is the first 8 bytes of its
-- SHA-256.
CREATE TABLE msgref (
	acct   INTEGER NOT NULL,
	hash   INTEGER NOT NULL,
	thread INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	PRIMARY KEY (acct, hash)
) STRICT, WITHOUT ROWID;

-- What an idempotency key did. Account 0 for what has several accounts.
CREATE TABLE op (
	acct   INTEGER NOT NULL,
	op     TEXT    NOT NULL,
	kind   TEXT    NOT NULL,
	result BLOB    NOT NULL,
	at     INTEGER NOT NULL,
	PRIMARY KEY (acct, op)
) STRICT, WITHOUT ROWID;
CREATE INDEX op_at ON op (at);

------------------------------------------------------------------------ queue

CREATE TABLE out (
	id           INTEGER PRIMARY KEY,
	acct         INTEGER NOT NULL, -- who submitted it; 0 is the system
	body         INTEGER NOT NULL,
	size         INTEGER NOT NULL, -- of what is sent
	sum          INTEGER NOT NULL, -- as in message, without a place
	origin       TEXT    NOT NULL,
	sender_local TEXT    NOT NULL, -- both empty: the null reverse-path
	sender_host  TEXT    NOT NULL,
	body_type    TEXT    NOT NULL DEFAULT '', -- BODY= (RFC 6152)
	utf8         INTEGER NOT NULL DEFAULT 0,  -- RFC 6531
	require_tls  INTEGER NOT NULL DEFAULT 0,  -- RFC 8689
	ret          TEXT    NOT NULL DEFAULT '', -- RFC 3461
	envid        TEXT    NOT NULL DEFAULT '',
	created      INTEGER NOT NULL,
	expires      INTEGER NOT NULL,
	prefix       BLOB,
	cut          BLOB
) STRICT;

-- One recipient until its outcome is final; then the row goes.
CREATE TABLE out_rcpt (
	id           INTEGER PRIMARY KEY,
	out          INTEGER NOT NULL REFERENCES out (id),
	dest         TEXT    NOT NULL, -- lower-case A-labels
	local        TEXT    NOT NULL,
	host         TEXT    NOT NULL,
	final        TEXT    NOT NULL DEFAULT '', -- Final-Recipient, if it differs
	notify       INTEGER NOT NULL DEFAULT 0,  -- mail.Notify
	orcpt        TEXT    NOT NULL DEFAULT '',
	state        INTEGER NOT NULL DEFAULT 0,  -- store.RcptState
	due          INTEGER NOT NULL,
	owner        TEXT    NOT NULL DEFAULT '', -- who leased it
	leased_until INTEGER NOT NULL DEFAULT 0,
	fence        INTEGER NOT NULL DEFAULT 0,
	tries        INTEGER NOT NULL DEFAULT 0,
	last         TEXT    NOT NULL DEFAULT '',
	last_at      INTEGER NOT NULL DEFAULT 0,
	delayed      INTEGER NOT NULL DEFAULT 0   -- a notice of delay went out
) STRICT;
CREATE INDEX out_rcpt_out ON out_rcpt (out, dest, due);
CREATE INDEX out_rcpt_due ON out_rcpt (dest, due) WHERE state = 0;

-- Where active recipients wait. Due is the earliest of its active recipients,
-- NULL if it has none.
CREATE TABLE dest (
	name       TEXT    PRIMARY KEY,
	due        INTEGER,
	open_until INTEGER NOT NULL DEFAULT 0, -- no attempts before, after failures to connect
	concurrent INTEGER NOT NULL DEFAULT 0  -- 0 is the server's own limit
) STRICT, WITHOUT ROWID;
CREATE INDEX dest_due ON dest (due) WHERE due IS NOT NULL;

------------------------------------------------------------------------ nodes

-- Single jobs, for one process at a time.
CREATE TABLE lease (
	name  TEXT    PRIMARY KEY,
	owner TEXT    NOT NULL,
	fence INTEGER NOT NULL,
	until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
	id   INTEGER PRIMARY KEY,
	addr TEXT    NOT NULL,
	beat INTEGER NOT NULL
) STRICT;

---------------------------------------------------------------------- journey

CREATE TABLE journey_head (
	id   TEXT    PRIMARY KEY, -- mail.ID
	hash INTEGER NOT NULL,    -- of the Message-ID, as in msgref
	at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX journey_head_hash ON journey_head (hash);
CREATE INDEX journey_head_at   ON journey_head (at);

CREATE TABLE journey (
	id   TEXT    NOT NULL,
	at   INTEGER NOT NULL,
	n    INTEGER NOT NULL,
	kind TEXT    NOT NULL,
	data BLOB    NOT NULL,
	PRIMARY KEY (id, at, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE journey_acct (
	acct INTEGER NOT NULL,
	id   TEXT    NOT NULL,
	role TEXT    NOT NULL,
	PRIMARY KEY (acct, id, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX journey_acct_id ON journey_acct (id);
