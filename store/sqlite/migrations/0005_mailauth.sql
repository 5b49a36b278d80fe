-- What this server proves itself by, and what others have proved.

-- Keys that sign the mail of our domains (RFC 6376). Times are microseconds
-- since 1970.
CREATE TABLE domain_key (
  domain    INTEGER NOT NULL REFERENCES domain (id) ON DELETE CASCADE,
  selector  TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  private   BLOB NOT NULL,      -- PKCS #8
  state     INTEGER NOT NULL,   -- store.KeyState
  created   INTEGER NOT NULL,
  changed   INTEGER NOT NULL,   -- when it got its state
  PRIMARY KEY (domain, selector)
) STRICT, WITHOUT ROWID;

-- Random bytes that all who serve this data share.
CREATE TABLE secret (
  name    TEXT PRIMARY KEY,
  value   BLOB NOT NULL,
  created INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages of other domains, counted for the reports that they ask for (RFC
-- 9990): by day (UTC, days since 1970), where the policy was found, and what
-- was found in the message, which what tells as JSON.
CREATE TABLE dmarc_count (
  day      INTEGER NOT NULL,
  domain   TEXT NOT NULL,
  what     TEXT NOT NULL,
  messages INTEGER NOT NULL,
  PRIMARY KEY (day, domain, what)
) STRICT, WITHOUT ROWID;
