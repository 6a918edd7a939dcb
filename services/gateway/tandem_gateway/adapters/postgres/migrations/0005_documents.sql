-- Deletions and changes of documents: ``DocumentStore``. Each is one commit.

-- Delete documents with all their versions, and drop what is kept of failed ones; return how many there were.
-- The transaction has locked the collection.
CREATE FUNCTION delete_documents_v1(collection bigint, ids text[], now_ double precision) RETURNS bigint LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  dropped bigint[];
  waited bigint[];
  lived bigint[];
  deleted bigint;
BEGIN
  WITH gone AS (DELETE FROM failed_documents f WHERE f.collection_id = collection AND f.doc_id = ANY (ids)
                  RETURNING f.document_id)
    SELECT array_agg(g.document_id) INTO dropped FROM gone g;
  IF dropped IS NOT NULL THEN
    DELETE FROM failed_waiting w WHERE w.document_id = ANY (dropped);
  END IF;
  SELECT coalesce(array_agg(v.document_id) FILTER (WHERE NOT v.live), '{}'),
         coalesce(array_agg(v.document_id) FILTER (WHERE v.live), '{}'), count(DISTINCT u.doc_id)
    INTO waited, lived, deleted
    FROM unnest(ids) AS u(doc_id), LATERAL (SELECT d.document_id, d.live FROM documents d
                                              WHERE d.collection_id = collection AND d.doc_id = u.doc_id LIMIT 2) v;
  IF deleted > 0 THEN
    PERFORM release_v1(waited, array_fill('deleted'::text, ARRAY[cardinality(waited)]),
                       array_fill(0, ARRAY[cardinality(waited)]), array_fill(0, ARRAY[cardinality(waited)]), now_, NULL);
    PERFORM finish_v1(collection, drop_versions_v1(waited || lived, false), '{}', '{}', 0,
                      -cardinality(lived), -cardinality(waited), 0);
  END IF;
  RETURN deleted;
END $$;

CREATE FUNCTION delete_v1(collection text, id text, now_ double precision) RETURNS boolean LANGUAGE plpgsql
  SET enable_seqscan = off AS $$
DECLARE
  c bigint;
BEGIN
  SELECT k.collection_id INTO c FROM collections k WHERE k.name = collection FOR UPDATE;
  RETURN c IS NOT NULL AND delete_documents_v1(c, ARRAY[id], now_) > 0;
END $$;

-- Delete the first of these documents: at most ``at_once``, and none after their texts and metadata reached
-- ``characters``. Only documents whose newest version is the expected one, if the caller has looked at it: the first
-- other one ends the call. A failed version that is kept counts as the newest if there is no other. Return how many ids are dealt with, and how many documents were deleted.
CREATE FUNCTION delete_some_v1(collection text, ids text[], expected bigint[], expected_hashes bytea[], at_once integer,
                               characters bigint, now_ double precision, OUT done integer, OUT deleted integer)
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  v record;
  chosen text[] := '{}';
  found_ integer := 0;
  read_ bigint := 0;
BEGIN
  done := 0;
  deleted := 0;
  SELECT k.collection_id INTO c FROM collections k WHERE k.name = collection FOR UPDATE;
  IF c IS NULL THEN
    done := coalesce(cardinality(ids), 0);
    RETURN;
  END IF;
  FOR i IN 1..coalesce(cardinality(ids), 0) LOOP
    EXIT WHEN found_ = at_once OR read_ > characters;
    SELECT count(*) AS versions, coalesce(sum(length(d.text) + length(d.metadata)), 0) AS size,
           (array_agg(d.document_id ORDER BY d.live))[1] AS newest, (array_agg(d.content_hash ORDER BY d.live))[1] AS hash
      INTO v FROM documents d WHERE d.collection_id = c AND d.doc_id = ids[i];
    IF v.versions = 0 AND expected IS NOT NULL THEN
      SELECT 0::bigint AS versions, 0::bigint AS size, max(f.document_id) AS newest, (array_agg(f.content_hash))[1] AS hash
        INTO v FROM failed_documents f WHERE f.collection_id = c AND f.doc_id = ids[i];
    END IF;
    EXIT WHEN expected IS NOT NULL AND (v.newest, v.hash) IS DISTINCT FROM (expected[i], expected_hashes[i]);
    done := i;
    chosen := chosen || ids[i];
    IF v.versions > 0 AND ids[i] <> ALL (chosen[:cardinality(chosen) - 1]) THEN
      found_ := found_ + 1;
      read_ := read_ + v.size;
    END IF;
  END LOOP;
  deleted := delete_documents_v1(c, chosen, now_);
END $$;

-- Give versions of a document other metadata. The caller has seen all versions of the document; return false if these
-- are others by now. ``metas`` has NULLs for versions that stay.
CREATE FUNCTION change_metadata_v1(collection text, id text, seen bigint[], seen_hashes bytea[], metas text[],
                                   hashes bytea[]) RETURNS boolean LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  v record;
  moved bigint[];
  dropped bigint;
BEGIN
  SELECT k.collection_id INTO c FROM collections k WHERE k.name = collection FOR UPDATE;
  SELECT coalesce(array_agg(d.document_id ORDER BY d.live), '{}') AS ids,
         coalesce(array_agg(d.content_hash ORDER BY d.live), '{}') AS hashes
    INTO v FROM documents d WHERE d.collection_id = c AND d.doc_id = id;
  IF (v.ids, v.hashes) IS DISTINCT FROM (seen, seen_hashes) THEN
    RETURN false;
  END IF;
  WITH changed AS (
    UPDATE documents d SET metadata = u.meta, content_hash = u.hash FROM unnest(seen, metas, hashes) AS u(version, meta, hash)
      WHERE u.meta IS NOT NULL AND d.document_id = u.version RETURNING d.document_id)
  SELECT array_agg(x.document_id) INTO moved FROM changed x;
  -- The jobs for which the version failed once did not have this content.
  DELETE FROM failed_waiting w WHERE w.document_id = ANY (moved);
  DELETE FROM failed_documents f WHERE f.collection_id = c AND f.doc_id = id RETURNING f.document_id INTO dropped;
  DELETE FROM failed_waiting w WHERE w.document_id = dropped;
  PERFORM finish_v1(c, '{}', moved, '{}', 0, 0, 0, 0);
  RETURN true;
END $$;

-- Delete the documents of a source that are not listed, and return all that it had: the newest version of each counts.
-- Error TD003: more than ``most`` would be deleted; the detail is their number.
CREATE FUNCTION synchronize_v1(collection text, source_ text, listed text[], most bigint, now_ double precision)
RETURNS TABLE (doc_id text, hash text) LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  held text[];
  held_hashes text[];
  unlisted text[];
BEGIN
  SELECT k.collection_id INTO c FROM collections k WHERE k.name = collection FOR UPDATE;
  IF c IS NULL THEN
    RETURN;
  END IF;
  SELECT coalesce(array_agg(d.doc_id ORDER BY d.document_id), '{}'), coalesce(array_agg(d.hash ORDER BY d.document_id), '{}')
    INTO held, held_hashes
    FROM documents d
    WHERE d.source = source_ AND d.document_id > documents_of_v1(c) AND d.document_id < documents_of_v1(c + 1)
      AND (NOT d.live OR NOT EXISTS (SELECT 1 FROM documents p
                                       WHERE p.collection_id = c AND p.doc_id = d.doc_id AND NOT p.live));
  SELECT coalesce(array_agg(u.doc_id), '{}') INTO unlisted FROM unnest(held) AS u(doc_id)
    WHERE u.doc_id NOT IN (SELECT l.doc_id FROM unnest(listed) AS l(doc_id));
  IF cardinality(unlisted) > most THEN
    RAISE EXCEPTION 'too many deletions' USING ERRCODE = 'TD003', DETAIL = cardinality(unlisted);
  END IF;
  WITH gone AS (
    DELETE FROM failed_documents f WHERE f.collection_id = c AND f.source = source_
      AND f.doc_id NOT IN (SELECT l.doc_id FROM unnest(listed) AS l(doc_id)) RETURNING f.document_id)
  DELETE FROM failed_waiting w WHERE w.document_id IN (SELECT g.document_id FROM gone g);
  IF cardinality(unlisted) > 0 THEN
    PERFORM delete_documents_v1(c, unlisted, now_);
  END IF;
  RETURN QUERY SELECT u.doc_id, u.hash FROM unnest(held, held_hashes) AS u(doc_id, hash);
END $$;
