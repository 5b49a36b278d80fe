-- Who besides its owner may do what in a mailbox (RFC 4314), and what clients
-- note about mailboxes and the server (RFC 5464).

-- Who is an account; 0 is anyone. Rights are the bits of store.Rights.
CREATE TABLE acl (
	acct     INTEGER NOT NULL, -- the owner
	mbox     INTEGER NOT NULL,
	who      INTEGER NOT NULL,
	negative INTEGER NOT NULL, -- the rights are taken away
	rights   INTEGER NOT NULL,
	PRIMARY KEY (acct, mbox, who, negative)
) STRICT, WITHOUT ROWID;
CREATE INDEX acl_who ON acl (who, acct, mbox);

-- Account and mailbox 0 are the server's. Who is whose private annotation this
-- is; 0 is shared.
CREATE TABLE annotation (
	acct  INTEGER NOT NULL,
	mbox  INTEGER NOT NULL,
	who   INTEGER NOT NULL,
	name  TEXT    NOT NULL, -- lower case, without /private or /shared
	value BLOB    NOT NULL,
	PRIMARY KEY (acct, mbox, who, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX annotation_who ON annotation (who) WHERE who <> 0;
