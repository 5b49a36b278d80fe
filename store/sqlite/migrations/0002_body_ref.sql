-- How many rows of message and out name a body, if more than one does: a body
-- without a row here has one. So a delivery writes nothing for it, and a COPY
-- or an EXPUNGE small rows that stand close together, in the place of the
-- bodies' own, which are large.
CREATE TABLE body_ref (
	id   INTEGER PRIMARY KEY,
	refs INTEGER NOT NULL
) STRICT;
INSERT INTO body_ref (id, refs) SELECT id, refs FROM body WHERE refs > 1;
ALTER TABLE body DROP COLUMN refs;
