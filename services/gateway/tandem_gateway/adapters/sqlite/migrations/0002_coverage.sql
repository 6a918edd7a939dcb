-- How much of the text the vector stands for, see model.Coverage; NULL while there is no vector, or if nobody said.
ALTER TABLE documents ADD COLUMN truncated INTEGER;
ALTER TABLE documents ADD COLUMN unknown REAL;
ALTER TABLE jobs ADD COLUMN truncated INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;
UPDATE jobs SET checksum = row_checksum(job_id, collection, total, processed, unchanged, failed, created_at, started_at,
  finished_at, truncated, unreadable);
