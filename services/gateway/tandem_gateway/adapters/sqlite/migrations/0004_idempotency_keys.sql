-- The key that a client gave to its ingest, and the hash of what it sent; NULL without a key, or when the key has expired.
ALTER TABLE jobs ADD COLUMN idempotency_key TEXT;
ALTER TABLE jobs ADD COLUMN request_hash BLOB;
UPDATE jobs SET checksum = row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at,
  finished_at, truncated, unreadable, idempotency_key, request_hash);
CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
