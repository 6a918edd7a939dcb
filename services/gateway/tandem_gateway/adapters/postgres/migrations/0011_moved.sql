-- The move of a store from SQLite into this database; no row if there was none. While "finished_at" is NULL, the move
-- has not ended, and no gateway serves the store. The rest says which numbers the documents have: SQLite had one
-- sequence for all collections. Up to "documents", no two documents of the collections up to "collections" have the same
-- number within their collection; a move back keeps these numbers.
CREATE TABLE moved (
  one         boolean PRIMARY KEY DEFAULT true CHECK (one),
  origin      text NOT NULL,  -- the id of the store in SQLite
  started_at  timestamptz NOT NULL DEFAULT now(),
  finished_at timestamptz,
  documents   bigint NOT NULL DEFAULT 0,
  collections bigint NOT NULL DEFAULT 0
);
