-- The versions of documents that belong to a source, with the hash that the client gave; NULL if it gave none.
CREATE TABLE document_sources (
  document_id INTEGER PRIMARY KEY REFERENCES documents,
  source      TEXT NOT NULL,
  hash        TEXT,
  checksum    INTEGER
) STRICT;
CREATE INDEX document_sources_source ON document_sources (source, document_id);
