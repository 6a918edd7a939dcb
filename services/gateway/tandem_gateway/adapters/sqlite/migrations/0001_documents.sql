CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL, checksum INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE identity (store_id TEXT PRIMARY KEY, checksum INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE collections (
  collection_id INTEGER PRIMARY KEY,
  name          TEXT NOT NULL UNIQUE,
  fingerprint   TEXT,
  model         TEXT,
  dim           INTEGER,
  live          INTEGER NOT NULL DEFAULT 0,
  pending       INTEGER NOT NULL DEFAULT 0,
  -- tombstones up to this change are gone: an index that has not reached it must be built anew
  tombstone_floor INTEGER NOT NULL DEFAULT 0,
  checksum      INTEGER
) STRICT;

CREATE TABLE documents (
  row_id        INTEGER PRIMARY KEY,
  collection_id INTEGER NOT NULL REFERENCES collections,
  doc_id        TEXT NOT NULL,
  text          TEXT NOT NULL,
  metadata      TEXT NOT NULL,
  content_hash  BLOB NOT NULL,
  change        INTEGER,
  vector        BLOB,
  checksum      INTEGER,
  CHECK ((change IS NULL) = (vector IS NULL))
) STRICT;
CREATE UNIQUE INDEX documents_live ON documents (collection_id, doc_id) WHERE change IS NOT NULL;
CREATE UNIQUE INDEX documents_pending ON documents (collection_id, doc_id) WHERE change IS NULL;
CREATE INDEX documents_waiting ON documents (row_id, collection_id) WHERE change IS NULL;
CREATE UNIQUE INDEX documents_change ON documents (collection_id, change) WHERE change IS NOT NULL;

CREATE TABLE tombstones (
  collection_id INTEGER NOT NULL,
  change        INTEGER NOT NULL,
  row_id        INTEGER NOT NULL,
  checksum      INTEGER,
  PRIMARY KEY (collection_id, change)
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
  job_id      TEXT PRIMARY KEY,
  collection  TEXT NOT NULL,
  total       INTEGER NOT NULL,
  processed   INTEGER NOT NULL,
  unchanged   INTEGER NOT NULL,
  failed      INTEGER NOT NULL,
  created_at  REAL NOT NULL,
  started_at  REAL,
  finished_at REAL,
  checksum    INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- A job's document that is not embedded yet; more than one job may wait for the same row.
CREATE TABLE waiting (
  row_id    INTEGER NOT NULL REFERENCES documents,
  job_id    TEXT NOT NULL REFERENCES jobs,
  documents INTEGER NOT NULL,
  checksum  INTEGER,
  PRIMARY KEY (row_id, job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_job ON waiting (job_id, documents);

CREATE TABLE failures (
  job_id   TEXT NOT NULL REFERENCES jobs,
  ordinal  INTEGER NOT NULL,
  doc_id   TEXT NOT NULL,
  error    TEXT NOT NULL,
  checksum INTEGER,
  PRIMARY KEY (job_id, ordinal)
) STRICT, WITHOUT ROWID;

-- The counts that healthz shows, kept by the store itself so that no statement can forget them.
CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
  UPDATE collections SET live = live + (NEW.change IS NOT NULL), pending = pending + (NEW.change IS NULL)
    WHERE collection_id = NEW.collection_id;
END;
CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
  UPDATE collections SET live = live - (OLD.change IS NOT NULL), pending = pending - (OLD.change IS NULL)
    WHERE collection_id = OLD.collection_id;
END;
CREATE TRIGGER documents_went_live AFTER UPDATE OF change ON documents
  WHEN (NEW.change IS NULL) <> (OLD.change IS NULL) BEGIN
  UPDATE collections
    SET live = live + (NEW.change IS NOT NULL) - (OLD.change IS NOT NULL),
        pending = pending + (NEW.change IS NULL) - (OLD.change IS NULL)
    WHERE collection_id = NEW.collection_id;
END;
