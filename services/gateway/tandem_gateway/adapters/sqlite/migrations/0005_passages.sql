-- How the texts of a collection are split into passages, as JSON; NULL: each text is one passage. A collection that has
-- documents stays as it is, because they were not split.
ALTER TABLE collections ADD COLUMN chunking TEXT;
UPDATE collections SET chunking = '{}' WHERE live + pending = 0;
UPDATE collections SET checksum = row_checksum(collection_id, name, removal_floor, removed, chunking);

-- The documents whose format is not plain text.
CREATE TABLE document_formats (
  document_id INTEGER PRIMARY KEY REFERENCES documents,
  format      TEXT NOT NULL,
  checksum    INTEGER
) STRICT;

-- The passages after the first of their document. A store of short documents has none.
CREATE INDEX passages_later ON passages (document_id, passage_id) WHERE ordinal > 0;
