-- A document is stored and returned. Its passages are embedded and indexed. Vectors belong to spaces: a space holds the
-- vectors of one collection by one model. A passage's id is its key in every index, and is never reused.

-- Model, fingerprint and dim are NULL until the first vector. A collection serves from one space and may fill another.
CREATE TABLE spaces (
  space_id      INTEGER PRIMARY KEY,
  collection_id INTEGER NOT NULL REFERENCES collections,
  state         TEXT NOT NULL CHECK (state IN ('serving', 'filling', 'retired')),
  fingerprint   TEXT,
  model         TEXT,
  dim           INTEGER,
  -- the last change that concerns the space: an index that has reached it has nothing to do
  last_change   INTEGER NOT NULL DEFAULT 0,
  checksum      INTEGER
) STRICT;
INSERT INTO spaces (space_id, collection_id, state, fingerprint, model, dim, last_change)
  SELECT c.collection_id, c.collection_id, 'serving', c.fingerprint, c.model, c.dim, max(
    c.tombstone_floor,
    coalesce((SELECT max(d.change) FROM documents d WHERE d.collection_id = c.collection_id AND d.change NOT NULL), 0),
    coalesce((SELECT max(t.change) FROM tombstones t WHERE t.collection_id = c.collection_id), 0))
  FROM collections c;
UPDATE spaces
  SET checksum = row_checksum(space_id, collection_id, state, fingerprint, model, dim, last_change);
CREATE UNIQUE INDEX spaces_serving ON spaces (collection_id) WHERE state = 'serving';
CREATE INDEX spaces_collection ON spaces (collection_id);
CREATE INDEX spaces_last_change ON spaces (last_change);

-- A span of a document's text in characters. "stop" is NULL for a span that reaches the end of the text.
CREATE TABLE passages (
  passage_id  INTEGER PRIMARY KEY,
  document_id INTEGER NOT NULL REFERENCES documents,
  ordinal     INTEGER NOT NULL,
  start       INTEGER NOT NULL,
  stop        INTEGER,
  checksum    INTEGER
) STRICT;
INSERT INTO passages (passage_id, document_id, ordinal, start, stop, checksum)
  SELECT row_id, row_id, 0, 0, NULL, row_checksum(row_id, row_id, 0, 0, NULL) FROM documents ORDER BY row_id;
CREATE UNIQUE INDEX passages_document ON passages (document_id, ordinal);

-- "change" is NULL while other passages of the document have no vector: an index gets all of them at once.
-- "truncated" and "unknown" say how much of the passage the vector stands for; NULL if the embedder did not report it.
CREATE TABLE vectors (
  passage_id INTEGER NOT NULL REFERENCES passages,
  space_id   INTEGER NOT NULL REFERENCES spaces,
  change     INTEGER,
  vector     BLOB NOT NULL,
  truncated  INTEGER,
  unknown    REAL,
  checksum   INTEGER
) STRICT;
INSERT INTO vectors (passage_id, space_id, change, vector, truncated, unknown, checksum)
  SELECT row_id, collection_id, change, vector, truncated, unknown,
    row_checksum(row_id, collection_id, change, vector, truncated, unknown)
  FROM documents WHERE change NOT NULL ORDER BY row_id;
CREATE UNIQUE INDEX vectors_passage ON vectors (passage_id, space_id);
-- Not partial, like documents_versions: the checks of references to a removed space or collection use them.
CREATE UNIQUE INDEX vectors_change ON vectors (space_id, change, passage_id);

CREATE TABLE new_documents (
  document_id   INTEGER PRIMARY KEY,
  collection_id INTEGER NOT NULL REFERENCES collections,
  doc_id        TEXT NOT NULL,
  text          TEXT NOT NULL,
  metadata      TEXT NOT NULL,
  content_hash  BLOB NOT NULL,
  live          INTEGER NOT NULL CHECK (live IN (0, 1)),
  checksum      INTEGER
) STRICT;
INSERT INTO new_documents (document_id, collection_id, doc_id, text, metadata, content_hash, live, checksum)
  SELECT row_id, collection_id, doc_id, text, metadata, content_hash, change NOT NULL,
    row_checksum(row_id, collection_id, doc_id, text, metadata, content_hash)
  FROM documents ORDER BY row_id;
DROP TABLE documents;
ALTER TABLE new_documents RENAME TO documents;
CREATE UNIQUE INDEX documents_versions ON documents (collection_id, doc_id, live);
CREATE INDEX documents_waiting ON documents (collection_id, document_id) WHERE live = 0;
CREATE TRIGGER documents_added AFTER INSERT ON documents BEGIN
  UPDATE collections SET live = live + NEW.live, pending = pending + (1 - NEW.live)
    WHERE collection_id = NEW.collection_id;
END;
CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
  UPDATE collections SET live = live - OLD.live, pending = pending - (1 - OLD.live)
    WHERE collection_id = OLD.collection_id;
END;
CREATE TRIGGER documents_went_live AFTER UPDATE OF live ON documents WHEN NEW.live <> OLD.live BEGIN
  UPDATE collections SET live = live + NEW.live - OLD.live, pending = pending - NEW.live + OLD.live
    WHERE collection_id = NEW.collection_id;
END;

ALTER TABLE waiting RENAME COLUMN row_id TO document_id;

-- Passages that were removed, with or without a vector. They share one sequence of numbers with the additions.
CREATE TABLE removals (
  collection_id INTEGER NOT NULL,
  change        INTEGER NOT NULL,
  passage_id    INTEGER NOT NULL,
  checksum      INTEGER,
  PRIMARY KEY (collection_id, change)
) STRICT, WITHOUT ROWID;
INSERT INTO removals (collection_id, change, passage_id, checksum)
  SELECT collection_id, change, row_id, checksum FROM tombstones;
DROP TABLE tombstones;

-- An index that follows a collection's changes needs no removal up to its position.
CREATE TABLE followers (
  collection_id INTEGER NOT NULL REFERENCES collections,
  follower      TEXT NOT NULL,
  position      INTEGER NOT NULL,
  checksum      INTEGER,
  PRIMARY KEY (collection_id, follower)
) STRICT, WITHOUT ROWID;
INSERT INTO followers (collection_id, follower, position, checksum)
  SELECT collection_id, 'space ' || collection_id, tombstone_floor,
    row_checksum(collection_id, 'space ' || collection_id, tombstone_floor)
  FROM collections;

ALTER TABLE collections DROP COLUMN fingerprint;
ALTER TABLE collections DROP COLUMN model;
ALTER TABLE collections DROP COLUMN dim;
ALTER TABLE collections RENAME COLUMN tombstone_floor TO removal_floor;
-- 1: deleted, and its content is being removed
ALTER TABLE collections ADD COLUMN removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1));
UPDATE collections SET checksum = row_checksum(collection_id, name, removal_floor, removed);
CREATE INDEX collections_removed ON collections (collection_id) WHERE removed = 1;

INSERT INTO counters (name, value) SELECT 'document', value FROM counters WHERE name = 'row';
INSERT INTO counters (name, value) SELECT 'passage', value FROM counters WHERE name = 'row';
INSERT INTO counters (name, value) SELECT 'space', value FROM counters WHERE name = 'collection';
-- grows when a collection or space appears, is pinned to a model, or goes
INSERT INTO counters (name, value) SELECT 'catalogue', 0 FROM counters WHERE name = 'row';
DELETE FROM counters WHERE name = 'row';
UPDATE counters SET checksum = row_checksum(name, value);
