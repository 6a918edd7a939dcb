-- The documents of a job in the order of its ingest, some hundred in a row, so that an ingest writes few rows. "entries"
-- is MessagePack, see ``job_documents``. "place" is that of its first document, "bytes" the size for the store's limit.
CREATE TABLE job_lists (
  list_id  INTEGER PRIMARY KEY,
  job_id   TEXT NOT NULL REFERENCES jobs,
  place    INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  entries  BLOB NOT NULL,
  checksum INTEGER
) STRICT;
CREATE UNIQUE INDEX job_lists_place ON job_lists (job_id, place, bytes);

-- How a document version ended for a job that waited for it; no row if it was embedded as a whole. The version may be
-- gone. "reason" is NULL if the table of failures has it.
CREATE TABLE job_outcomes (
  job_id      TEXT NOT NULL REFERENCES jobs,
  document_id INTEGER NOT NULL,
  status      TEXT NOT NULL,
  reason      TEXT,
  checksum    INTEGER,
  PRIMARY KEY (job_id, document_id)
) STRICT, WITHOUT ROWID;

-- Documents that were not valid and were left out; "total" does not count them.
ALTER TABLE jobs ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET checksum = row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at,
  finished_at, truncated, unreadable, idempotency_key, request_hash, cancelled, skipped);
