-- The tables of the store on PostgreSQL 14 or later: no extension, no superuser. The tables mean the same as those of
-- the store on SQLite; see ``adapters/sqlite/schema.py``. The scripts 0002 to 0009 have the functions of ingest, queue,
-- documents and followers.
--
-- Locks, always in this order: first the row of the collection, in a statement of its own; then whatever the write
-- changes; last the row of ``store``, which numbers passages and changes. A transaction holds the row of ``store`` until
-- it has committed. Numbers are therefore in commit order, and a follower that has read up to a number has all before it.
-- One call of a function is a whole transaction, so that no gateway can hold a lock across a round trip.
--
-- Numbers of documents hold their collection in the upper bits: collection_id << 40 | n. One column then tells the
-- documents of a collection, and no plan has to guess how many a collection has.
--
-- There are no foreign keys: the functions remove what belongs together, and each check would cost a row lock.

CREATE TABLE store (
  one          boolean PRIMARY KEY DEFAULT true CHECK (one),
  store_id     text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''),
  commits      bigint NOT NULL DEFAULT 0,  -- grows with each write that a follower or a reader can see
  last_change  bigint NOT NULL DEFAULT 0,
  last_passage bigint NOT NULL DEFAULT 0,
  catalogue    bigint NOT NULL DEFAULT 0,  -- grows when a collection or space appears, is pinned, changes, or goes
  mark         uuid NOT NULL DEFAULT gen_random_uuid()  -- of the last commit; see ``marks``
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
INSERT INTO store DEFAULT VALUES;

-- A random mark for each commit that is counted. After a fail-over that lost commits, or a restore, the store counts and
-- numbers anew, and a gateway's caches are of another history. The numbers may agree, the marks do not.
CREATE TABLE marks (
  commit bigint PRIMARY KEY,
  mark   uuid NOT NULL,
  at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX marks_at ON marks (at);

CREATE TABLE collections (
  collection_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- never used again
  name          text COLLATE "C" NOT NULL UNIQUE,
  chunking      text,
  language      text NOT NULL DEFAULT 'english',
  engine        text NOT NULL DEFAULT 'usearch',
  removed       boolean NOT NULL DEFAULT false,
  removal_floor bigint NOT NULL DEFAULT 0,
  last_document bigint NOT NULL DEFAULT 0,
  live          bigint NOT NULL DEFAULT 0,
  pending       bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX collections_removed ON collections (collection_id) WHERE removed;

CREATE TABLE spaces (
  space_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  collection_id bigint NOT NULL,
  state         text NOT NULL CHECK (state IN ('serving', 'filling', 'retired')),
  fingerprint   text,
  model         text,
  dim           integer,
  last_change   bigint NOT NULL DEFAULT 0,
  truncated     bigint NOT NULL DEFAULT 0  -- vectors of a second space that stand for a part of their passage
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE UNIQUE INDEX spaces_serving ON spaces (collection_id) WHERE state = 'serving';
CREATE INDEX spaces_collection ON spaces (collection_id);
CREATE INDEX spaces_last_change ON spaces (last_change);
CREATE INDEX spaces_retired ON spaces (space_id) WHERE state = 'retired';

CREATE TABLE documents (
  document_id   bigint PRIMARY KEY,
  collection_id bigint NOT NULL,
  doc_id        text COLLATE "C" NOT NULL,
  text          text NOT NULL,
  metadata      text NOT NULL,
  content_hash  bytea NOT NULL,
  format        text NOT NULL DEFAULT 'text',
  source        text COLLATE "C",
  hash          text COLLATE "C",
  live          boolean NOT NULL
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX documents_versions ON documents (collection_id, doc_id, live);
CREATE INDEX documents_source ON documents (source, document_id) WHERE source IS NOT NULL;

-- "stop" is NULL for a span that reaches the end of the text.
CREATE TABLE passages (
  passage_id  bigint PRIMARY KEY,
  document_id bigint NOT NULL,
  ordinal     integer NOT NULL,
  start       integer NOT NULL,
  stop        integer
);
CREATE UNIQUE INDEX passages_document ON passages (document_id, ordinal);
CREATE INDEX passages_later ON passages (document_id, passage_id) WHERE ordinal > 0;

-- The passages of pending documents that have no vector in the serving space yet, and their leases. Deleting a row here
-- is what lets a vector take effect once. Whoever makes a document pending adds its passages; a switch of spaces adds
-- those whose vectors it drops.
CREATE TABLE pending (
  document_id bigint NOT NULL,
  ordinal     integer NOT NULL,
  passage_id  bigint NOT NULL,
  worker      text,
  lease_until double precision NOT NULL DEFAULT 0,  -- seconds since the epoch, of the database's clock
  attempts    integer NOT NULL DEFAULT 0,           -- that ended badly
  owner       text COLLATE "C" NOT NULL DEFAULT '', -- whose document it is; empty if that is not known
  PRIMARY KEY (document_id, ordinal)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE UNIQUE INDEX pending_passage ON pending (passage_id);
CREATE INDEX pending_free ON pending (owner, document_id, ordinal) WHERE worker IS NULL;
CREATE INDEX pending_leased ON pending (lease_until, document_id) WHERE worker IS NOT NULL;

-- When the queue served a collection: the number of the claim, which is even, or an odd number if none did.
CREATE TABLE turns (
  collection_id bigint PRIMARY KEY,
  served        bigint NOT NULL
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The owners of a collection's documents, and the number of the claim that served each last; -1 if none did. Each
-- collection has the owner ''. "since" is the number of the owner's first document.
CREATE TABLE owner_turns (
  collection_id bigint NOT NULL,
  owner         text COLLATE "C" NOT NULL,
  served        bigint NOT NULL DEFAULT -1,
  since         bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (collection_id, owner)
) WITH (fillfactor = 30, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- "change" is NULL while other passages of the document have no vector.
CREATE TABLE vectors (
  passage_id bigint NOT NULL,
  space_id   bigint NOT NULL,
  change     bigint,
  vector     bytea NOT NULL,
  truncated  boolean,
  unknown    double precision,
  PRIMARY KEY (passage_id, space_id)
) WITH (toast_tuple_target = 8160);
-- Vectors lie in the row while it fits a page, uncompressed: the feed is then one scan.
ALTER TABLE vectors ALTER vector SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX vectors_change ON vectors (space_id, change) WHERE change IS NOT NULL;

CREATE TABLE removals (
  collection_id bigint NOT NULL,
  change        bigint NOT NULL,
  passage_id    bigint NOT NULL,
  PRIMARY KEY (collection_id, change)
);

-- The follower of a space has the name 'space ' || space_id.
CREATE TABLE followers (
  collection_id bigint NOT NULL,
  follower      text COLLATE "C" NOT NULL,
  position      bigint NOT NULL,
  PRIMARY KEY (collection_id, follower)
) WITH (fillfactor = 30);

-- Times are seconds since the epoch.
CREATE TABLE jobs (
  job_id          text COLLATE "C" PRIMARY KEY,
  collection      text COLLATE "C" NOT NULL,
  total           bigint NOT NULL,
  processed       bigint NOT NULL DEFAULT 0,
  unchanged       bigint NOT NULL DEFAULT 0,
  failed          bigint NOT NULL DEFAULT 0,
  created_at      double precision NOT NULL,
  started_at      double precision,
  finished_at     double precision,
  truncated       bigint NOT NULL DEFAULT 0,
  unreadable      bigint NOT NULL DEFAULT 0,
  cancelled       bigint NOT NULL DEFAULT 0,
  skipped         bigint NOT NULL DEFAULT 0,
  retried_at      double precision,
  idempotency_key text COLLATE "C",
  request_hash    bytea
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX jobs_idempotency_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX jobs_created ON jobs (created_at, job_id);
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE waiting (
  document_id bigint NOT NULL,
  job_id      text COLLATE "C" NOT NULL,
  documents   bigint NOT NULL,
  PRIMARY KEY (document_id, job_id)
);
CREATE INDEX waiting_job ON waiting (job_id, document_id);

CREATE TABLE failures (
  job_id  text COLLATE "C" NOT NULL,
  ordinal bigint NOT NULL,
  doc_id  text NOT NULL,
  error   text NOT NULL,
  PRIMARY KEY (job_id, ordinal)
);

-- The documents of a job in the order of its ingest, 500 in a row; "place" is that of the first. Element i of the
-- arrays is one document: its id, and the number of the version that the job waited for, or a status with an optional
-- reason. "bytes" counts for the limit of all lists.
CREATE TABLE job_lists (
  list_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id    text COLLATE "C" NOT NULL,
  place     integer NOT NULL,
  bytes     bigint NOT NULL,
  doc_ids   text[] NOT NULL,
  documents bigint[] NOT NULL,
  statuses  text[] NOT NULL,
  reasons   text[] NOT NULL
);
CREATE UNIQUE INDEX job_lists_place ON job_lists (job_id, place);

CREATE TABLE job_outcomes (
  job_id      text COLLATE "C" NOT NULL,
  document_id bigint NOT NULL,
  status      text NOT NULL,
  reason      text,
  PRIMARY KEY (job_id, document_id)
);

CREATE TABLE failed_documents (
  document_id   bigint PRIMARY KEY,
  collection_id bigint NOT NULL,
  doc_id        text COLLATE "C" NOT NULL,
  text          text NOT NULL,
  metadata      text NOT NULL,
  content_hash  bytea NOT NULL,
  format        text NOT NULL,
  source        text COLLATE "C",
  hash          text COLLATE "C",
  failed_at     double precision NOT NULL,
  bytes         bigint NOT NULL
);
CREATE UNIQUE INDEX failed_documents_doc ON failed_documents (collection_id, doc_id);
CREATE INDEX failed_documents_oldest ON failed_documents (failed_at, document_id) INCLUDE (bytes);
CREATE INDEX failed_documents_source ON failed_documents (collection_id, source) WHERE source IS NOT NULL;

CREATE TABLE failed_waiting (
  document_id bigint NOT NULL,
  job_id      text COLLATE "C" NOT NULL,
  documents   bigint NOT NULL,
  PRIMARY KEY (document_id, job_id)
);
CREATE INDEX failed_waiting_job ON failed_waiting (job_id, document_id);

-- API keys and the usage of callers by day.
CREATE TABLE access (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  enabled boolean NOT NULL DEFAULT false,
  secret  bytea,
  version bigint NOT NULL DEFAULT 0
);
INSERT INTO access DEFAULT VALUES;

CREATE TABLE keys (
  number          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id              text COLLATE "C" NOT NULL UNIQUE,
  name            text NOT NULL,
  role            text NOT NULL,
  collections     text NOT NULL,
  digest          bytea NOT NULL,
  created_at      double precision NOT NULL,
  expires_at      double precision,
  filter          text,
  revoked_at      double precision,
  last_used_at    double precision,
  previous_digest bytea,
  previous_until  double precision NOT NULL,
  limits          text
);

CREATE TABLE usage (
  day       bigint NOT NULL,
  caller    text COLLATE "C" NOT NULL,
  requests  bigint NOT NULL,
  tokens    bigint NOT NULL,
  documents bigint NOT NULL,
  PRIMARY KEY (day, caller)
) WITH (fillfactor = 50);
