-- What is remembered of how other servers want their mail, and how sending it
-- went.

-- MTA-STS policies (RFC 8461): one for each domain that has told one. They
-- outlive what told them, the DNS and a web server, until they end by
-- themselves. Times are microseconds since 1970.
CREATE TABLE sts_policy (
  domain  TEXT PRIMARY KEY,
  id      TEXT NOT NULL,        -- of the TXT record that announced it
  policy  TEXT NOT NULL,        -- as it was fetched
  fetched INTEGER NOT NULL,
  expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sts_policy_fetched ON sts_policy (fetched);

-- Connections to a domain's hosts, counted for the reports that domains ask
-- for (RFC 8460): by day (UTC, days since 1970), policy and what went wrong,
-- which what names as JSON.
CREATE TABLE tls_count (
  day      INTEGER NOT NULL,
  domain   TEXT NOT NULL,
  what     TEXT NOT NULL,
  sessions INTEGER NOT NULL,
  PRIMARY KEY (day, domain, what)
) STRICT, WITHOUT ROWID;
