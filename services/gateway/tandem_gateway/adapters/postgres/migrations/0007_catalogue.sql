-- Change and delete collections, and remove what is left of deleted ones: ``Catalogue``.

-- Create a collection or change its settings; false if it has documents that were split in another way, or whose vectors
-- are in another engine.
-- Error TD002: too many collections; the detail is the number that there is.
CREATE FUNCTION put_collection_v1(collection text, set_chunking boolean, chunking_ text, language_ text,
                                  engine_ text, max_collections bigint) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  k record;
  there bigint;
  made boolean := false;
  changed boolean;
BEGIN
  LOOP
    SELECT x.collection_id, x.chunking, x.language, x.engine, x.live + x.pending AS documents INTO k
      FROM collections x WHERE x.name = collection FOR UPDATE;
    EXIT WHEN FOUND;
    SELECT count(*) INTO there FROM collections x WHERE NOT x.removed;
    IF there >= max_collections THEN
      RAISE EXCEPTION 'too many collections' USING ERRCODE = 'TD002', DETAIL = there;
    END IF;
    made := make_collection_v1(collection) IS NOT NULL;
  END LOOP;
  IF k.documents > 0 AND ((set_chunking AND k.chunking IS DISTINCT FROM chunking_) OR k.engine <> coalesce(engine_, k.engine))
  THEN
    RETURN false;
  END IF;
  UPDATE collections x
    SET chunking = CASE WHEN set_chunking THEN chunking_ ELSE x.chunking END,
        language = coalesce(language_, x.language), engine = coalesce(engine_, x.engine)
    WHERE x.collection_id = k.collection_id
      AND ((set_chunking AND x.chunking IS DISTINCT FROM chunking_) OR x.language <> coalesce(language_, x.language)
        OR x.engine <> coalesce(engine_, x.engine));
  IF FOUND OR made THEN
    PERFORM advance_v1(0, 0, 1);
  END IF;
  RETURN true;
END $$;

-- Take a collection out of the catalogue; its name is free at once. No client can give a name with a slash.
CREATE FUNCTION delete_collection_v1(collection text) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  c bigint;
BEGIN
  SELECT k.collection_id INTO c FROM collections k WHERE k.name = collection FOR UPDATE;
  IF c IS NULL THEN
    RETURN false;
  END IF;
  UPDATE collections k SET removed = true, name = '/' || c WHERE k.collection_id = c;
  UPDATE spaces s SET state = 'retired' WHERE s.collection_id = c;
  DELETE FROM turns t WHERE t.collection_id = c;
  PERFORM advance_v1(0, 0, 1);
  RETURN true;
END $$;

-- Remove some content of a deleted collection or a dropped space, or the thing itself once it is empty; return whether
-- there may be more. What another transaction removes is passed over.
CREATE FUNCTION purge_v1(documents_ integer, characters bigint, removals_ integer, now_ double precision)
RETURNS boolean LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  space bigint;
  waited bigint[];
  lived bigint[];
  dropped bigint[];
  n bigint;
BEGIN
  SELECT k.collection_id INTO c FROM collections k WHERE k.removed ORDER BY k.collection_id LIMIT 1 FOR UPDATE SKIP LOCKED;
  IF c IS NULL THEN
    SELECT s.space_id, s.collection_id INTO space, c FROM spaces s WHERE s.state = 'retired' ORDER BY s.space_id LIMIT 1;
    PERFORM 1 FROM collections k WHERE k.collection_id = c FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
      RETURN false;
    END IF;
    WITH gone AS (
      DELETE FROM vectors v WHERE v.space_id = space AND v.change = ANY (ARRAY(
        SELECT x.change FROM vectors x WHERE x.space_id = space AND x.change IS NOT NULL ORDER BY x.change LIMIT documents_))
        RETURNING 1)
    SELECT count(*) INTO n FROM gone;
    IF n < documents_ THEN
      DELETE FROM spaces s WHERE s.space_id = space AND s.state = 'retired';
    END IF;
    RETURN true;
  END IF;
  SELECT coalesce(array_agg(x.document_id) FILTER (WHERE NOT x.live), '{}'),
         coalesce(array_agg(x.document_id) FILTER (WHERE x.live), '{}')
    INTO waited, lived
    FROM (SELECT d.document_id, d.live,
                 sum(length(d.text) + length(d.metadata)) OVER (ORDER BY d.document_id)
                   - length(d.text) - length(d.metadata) AS before
            FROM (SELECT * FROM documents y WHERE y.document_id > documents_of_v1(c)
                    AND y.document_id < documents_of_v1(c + 1) ORDER BY y.document_id LIMIT documents_) d) x
    WHERE x.before <= characters;
  n := cardinality(waited) + cardinality(lived);
  IF n > 0 THEN
    PERFORM release_v1(waited, array_fill('deleted'::text, ARRAY[cardinality(waited)]),
                       array_fill(0, ARRAY[cardinality(waited)]), array_fill(0, ARRAY[cardinality(waited)]), now_, NULL);
    PERFORM drop_versions_v1(waited || lived, false);
    UPDATE collections k SET live = k.live - cardinality(lived), pending = k.pending - cardinality(waited)
      WHERE k.collection_id = c;
    PERFORM advance_v1(0, 0, 0);
    RETURN true;
  END IF;
  WITH gone AS (
    DELETE FROM failed_documents f WHERE f.document_id = ANY (ARRAY(
      SELECT x.document_id FROM failed_documents x WHERE x.collection_id = c LIMIT documents_)) RETURNING f.document_id)
  SELECT coalesce(array_agg(g.document_id), '{}') INTO dropped FROM gone g;
  DELETE FROM failed_waiting w WHERE w.document_id = ANY (dropped);
  WITH gone AS (
    DELETE FROM removals r WHERE r.collection_id = c AND r.change = ANY (ARRAY(
      SELECT x.change FROM removals x WHERE x.collection_id = c ORDER BY x.change LIMIT removals_)) RETURNING 1)
  SELECT count(*) INTO n FROM gone;
  IF n = 0 AND cardinality(dropped) = 0 THEN
    DELETE FROM followers f WHERE f.collection_id = c;
    DELETE FROM turns t WHERE t.collection_id = c;
    DELETE FROM owner_turns t WHERE t.collection_id = c;
    DELETE FROM spaces s WHERE s.collection_id = c;
    DELETE FROM collections k WHERE k.collection_id = c;
  END IF;
  RETURN true;
END $$;
