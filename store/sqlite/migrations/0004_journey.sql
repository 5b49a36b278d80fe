-- What became of messages: one row for all events of an acceptance, one more
-- for each later change of its state. Data is the events, a line of JSON each.
-- Ids rise with time, so that rows are appended.
DROP TABLE journey_acct;
DROP TABLE journey_head;
DROP TABLE journey;
CREATE TABLE journey (
	id   TEXT    NOT NULL, -- mail.ID
	n    INTEGER NOT NULL, -- rises; of an acceptance its body
	hash INTEGER NOT NULL DEFAULT 0, -- of an acceptance's Message-ID, as in msgref; 0 without one
	data TEXT    NOT NULL,
	PRIMARY KEY (id, n)
) STRICT, WITHOUT ROWID;

-- Where Message-IDs are, made in the background for ids up to the highest
-- slot: an index of journey itself would be written to in random places by
-- each message. A slot is the last id of those that were entered together.
CREATE TABLE journey_msgid (
	slot TEXT    NOT NULL,
	hash INTEGER NOT NULL,
	id   TEXT    NOT NULL,
	PRIMARY KEY (slot, hash, id)
) STRICT, WITHOUT ROWID;

-- When an account's copy was first read.
CREATE TABLE journey_fetch (
	id   TEXT    NOT NULL,
	acct INTEGER NOT NULL,
	at   INTEGER NOT NULL,
	how  TEXT    NOT NULL,
	PRIMARY KEY (id, acct)
) STRICT, WITHOUT ROWID;

-- When the messages of a run were expunged; 0 is not known.
ALTER TABLE gone ADD COLUMN at INTEGER NOT NULL DEFAULT 0;

-- An operator gave this recipient up: it is returned and not sent.
ALTER TABLE out_rcpt ADD COLUMN doomed INTEGER NOT NULL DEFAULT 0;

-- How often in a row a destination could not be spoken with.
ALTER TABLE dest ADD COLUMN fails INTEGER NOT NULL DEFAULT 0;

-- Addresses elsewhere that nothing is sent to until a time, since mail to them
-- came back n times, the last at at; 0 is not yet.
CREATE TABLE suppressed (
	dest   TEXT    NOT NULL,
	local  TEXT    NOT NULL, -- lower case
	until  INTEGER NOT NULL,
	n      INTEGER NOT NULL,
	at     INTEGER NOT NULL,
	reason TEXT    NOT NULL,
	PRIMARY KEY (dest, local)
) STRICT, WITHOUT ROWID;

-- What an account has submitted in a day, counted since 1970, and to whom it
-- has ever sent; only while there are limits.
CREATE TABLE sent (
	acct     INTEGER NOT NULL,
	day      INTEGER NOT NULL,
	messages INTEGER NOT NULL,
	fresh    INTEGER NOT NULL, -- recipients it had not sent to before
	PRIMARY KEY (acct, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE sent_to (
	acct  INTEGER NOT NULL,
	dest  TEXT    NOT NULL,
	local TEXT    NOT NULL,
	at    INTEGER NOT NULL,
	PRIMARY KEY (acct, dest, local)
) STRICT, WITHOUT ROWID;

-- Messages from before have no journey.
INSERT INTO setting (acct, name, value) SELECT 0, 'journey-since', CAST(max(origin) AS BLOB)
	FROM (SELECT origin FROM message UNION ALL SELECT origin FROM out) HAVING max(origin) <> '';
