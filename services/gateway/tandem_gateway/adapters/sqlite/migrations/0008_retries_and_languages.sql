-- The last versions of documents that failed for good, for a retry of their jobs. A later write of the document drops
-- them. "document_id" is the number that the version had, and has again after a retry. "bytes" counts for the limit.
CREATE TABLE failed_documents (
  document_id   INTEGER PRIMARY KEY,
  collection_id INTEGER NOT NULL REFERENCES collections,
  doc_id        TEXT NOT NULL,
  text          TEXT NOT NULL,
  metadata      TEXT NOT NULL,
  content_hash  BLOB NOT NULL,
  format        TEXT NOT NULL,
  source        TEXT,
  hash          TEXT,
  failed_at     REAL NOT NULL,
  bytes         INTEGER NOT NULL,
  checksum      INTEGER
) STRICT;
CREATE UNIQUE INDEX failed_documents_doc ON failed_documents (collection_id, doc_id);
CREATE INDEX failed_documents_oldest ON failed_documents (failed_at, document_id);
CREATE INDEX failed_documents_source ON failed_documents (collection_id, source) WHERE source IS NOT NULL;

-- The documents of a job for which a version failed: what ``waiting`` was until then.
CREATE TABLE failed_waiting (
  document_id INTEGER NOT NULL,
  job_id      TEXT NOT NULL REFERENCES jobs,
  documents   INTEGER NOT NULL,
  checksum    INTEGER,
  PRIMARY KEY (document_id, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX failed_waiting_job ON failed_waiting (job_id, document_id);

ALTER TABLE collections ADD COLUMN failed_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TRIGGER failed_documents_added AFTER INSERT ON failed_documents BEGIN
  UPDATE collections SET failed_bytes = failed_bytes + NEW.bytes WHERE collection_id = NEW.collection_id;
END;
CREATE TRIGGER failed_documents_removed AFTER DELETE ON failed_documents BEGIN
  UPDATE collections SET failed_bytes = failed_bytes - OLD.bytes WHERE collection_id = OLD.collection_id;
END;

-- By which language the words of the collection have stems in keyword search.
ALTER TABLE collections ADD COLUMN language TEXT NOT NULL DEFAULT 'english';
UPDATE collections SET checksum = row_checksum(collection_id, name, removal_floor, removed, chunking, language);

-- When failed documents of the job began to wait again; NULL if none did.
ALTER TABLE jobs ADD COLUMN retried_at REAL;
UPDATE jobs SET checksum = row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at,
  finished_at, truncated, unreadable, idempotency_key, request_hash, cancelled, skipped, retried_at);
-- grows with each retry: pending documents then no longer have ascending numbers
INSERT INTO counters (name, value, checksum) VALUES ('retry', 0, row_checksum('retry', 0));
