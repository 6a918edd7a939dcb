-- Second spaces: ``Reembeddings``. The caller checks what the functions need, and each looks again under the lock.

-- Make a second space; false if the collection has one, or serves from another space by now.
CREATE FUNCTION start_space_v1(collection bigint, serving bigint, model_ text, fp text, dim_ integer) RETURNS boolean
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  space bigint;
  last_ bigint;
BEGIN
  PERFORM 1 FROM collections k WHERE k.collection_id = collection AND NOT k.removed FOR UPDATE;
  IF NOT FOUND OR NOT EXISTS (SELECT 1 FROM spaces s WHERE s.space_id = serving AND s.state = 'serving')
      OR EXISTS (SELECT 1 FROM spaces s WHERE s.collection_id = collection AND s.state = 'filling') THEN
    RETURN false;
  END IF;
  SELECT a.change_before INTO last_ FROM advance_v1(0, 0, 1) a;
  INSERT INTO spaces (collection_id, state, fingerprint, model, dim, last_change)
    VALUES (collection, 'filling', fp, model_, dim_, last_) RETURNING space_id INTO space;
  INSERT INTO followers (collection_id, follower, position) VALUES (collection, 'space ' || space, last_);
  RETURN true;
END $$;

-- Lock a collection, and return whether its spaces have these roles.
CREATE FUNCTION lock_spaces_v1(collection bigint, second bigint, serving bigint) RETURNS boolean LANGUAGE plpgsql
  SET enable_seqscan = off AS $$
BEGIN
  PERFORM 1 FROM collections k WHERE k.collection_id = collection FOR UPDATE;
  RETURN EXISTS (SELECT 1 FROM spaces s WHERE s.space_id = second AND s.collection_id = collection AND s.state = 'filling')
     AND EXISTS (SELECT 1 FROM spaces s WHERE s.space_id = serving AND s.collection_id = collection AND s.state = 'serving');
END $$;

-- Store vectors in the second space, and return how many; passages that are gone or have one there are skipped.
CREATE FUNCTION add_second_v1(collection bigint, second bigint, serving bigint, passages_ bigint[], vecs bytea,
                              size integer, truncated_ boolean[], unknown_ double precision[]) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  places integer[];
  n bigint;
  last_ bigint;
BEGIN
  IF NOT lock_spaces_v1(collection, second, serving) THEN
    RETURN 0;
  END IF;
  SELECT array_agg(u.place ORDER BY u.place) INTO places
    FROM unnest(passages_) WITH ORDINALITY AS u(passage_id, place),
         LATERAL (SELECT x.document_id FROM passages x WHERE x.passage_id = u.passage_id LIMIT 1) p,
         LATERAL (SELECT 1 FROM documents x WHERE x.document_id = p.document_id AND x.live LIMIT 1) d
    WHERE array_position(passages_, u.passage_id) = u.place
      AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.passage_id = u.passage_id AND v.space_id = second);
  n := coalesce(cardinality(places), 0);
  IF n = 0 THEN
    RETURN 0;
  END IF;
  SELECT a.change_before INTO last_ FROM advance_v1(n, 0, 0) a;
  INSERT INTO vectors (passage_id, space_id, change, vector, truncated, unknown)
    SELECT passages_[u.place], second, last_ + u.number, substr(vecs, (u.place - 1) * size + 1, size),
           truncated_[u.place], unknown_[u.place]
      FROM unnest(places) WITH ORDINALITY AS u(place, number);
  UPDATE spaces s
    SET last_change = last_ + n, truncated = s.truncated + CASE WHEN s.space_id = second THEN
      (SELECT count(*) FROM unnest(places) AS u(place) WHERE truncated_[u.place]) ELSE 0 END
    WHERE s.collection_id = collection;
  RETURN n;
END $$;

-- Exchange the roles of the spaces; false if they are others by now, or a live passage has no vector in the second.
-- Documents that are not live wait for all vectors of the other model.
CREATE FUNCTION switch_v1(collection bigint, second bigint, serving bigint) RETURNS boolean LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
  IF NOT lock_spaces_v1(collection, second, serving)
      OR (SELECT count(*) FROM vectors v WHERE v.space_id = second AND v.change IS NOT NULL)
         <> (SELECT count(*) FROM vectors v WHERE v.space_id = serving AND v.change IS NOT NULL) THEN
    RETURN false;
  END IF;
  INSERT INTO pending (document_id, ordinal, passage_id)
    SELECT p.document_id, p.ordinal, p.passage_id FROM passages p,
           LATERAL (SELECT 1 FROM documents d WHERE d.document_id = p.document_id AND NOT d.live LIMIT 1) d
      WHERE p.document_id IN (SELECT w.document_id FROM pending w WHERE w.document_id > documents_of_v1(collection)
                                AND w.document_id < documents_of_v1(collection + 1))
    ON CONFLICT (document_id, ordinal) DO NOTHING;
  DELETE FROM vectors v WHERE v.space_id = serving AND v.change IS NULL AND v.passage_id IN (
    SELECT w.passage_id FROM pending w WHERE w.document_id > documents_of_v1(collection)
      AND w.document_id < documents_of_v1(collection + 1));
  -- In this order, because at most one space serves.
  UPDATE spaces s SET state = 'filling' WHERE s.space_id = serving;
  UPDATE spaces s SET state = 'serving' WHERE s.space_id = second;
  PERFORM advance_v1(0, 0, 1);
  RETURN true;
END $$;

-- Drop the second space of a collection; ``purge_v1`` removes its vectors.
CREATE FUNCTION drop_space_v1(collection text) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  c bigint;
  space bigint;
BEGIN
  SELECT k.collection_id INTO c FROM collections k WHERE k.name = collection FOR UPDATE;
  UPDATE spaces s SET state = 'retired' WHERE s.collection_id = c AND s.state = 'filling' RETURNING s.space_id INTO space;
  IF space IS NULL THEN
    RETURN false;
  END IF;
  DELETE FROM followers f WHERE f.collection_id = c AND f.follower = 'space ' || space;
  PERFORM advance_v1(0, 0, 1);
  RETURN true;
END $$;
