-- The embedding queue: ``EmbeddingQueue``. Times are seconds since the epoch, of the database's clock unless the caller
-- passes one. Functions that lease or free passages do not lock the collection.

CREATE FUNCTION clock_v1(given double precision) RETURNS double precision LANGUAGE sql VOLATILE AS $$
  SELECT coalesce(given, extract(epoch FROM clock_timestamp())::double precision)
$$;

-- Lease passages of one owner in one collection, and return them in order; no row if every pending passage is leased or excluded.
-- A batch has texts to be split in one format, up to ``split_bytes``, or none to be split; a longer text comes alone.
CREATE FUNCTION claim_v1(worker_ text, limit_ integer, seconds double precision, batch_bytes bigint,
                         split_bytes bigint, without_ bigint[], given_now double precision)
RETURNS TABLE (collection_id bigint, name text, fingerprint text, chunking text, format text, whole boolean,
               passage_id bigint, content text, content_hash bytea, attempts integer, job text) LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  now_ double precision := clock_v1(given_now);
  last_ bigint;
  k record;
  o record;
  r record;
  ids bigint[];
  tries integer[];
  more bigint[];
  more_tries integer[];
  served_owner text;
  suspect integer;
  taken bigint;
  most bigint;
  splits boolean;
  picked bigint[] := '{}';
  texts text[] := '{}';
  hashes bytea[] := '{}';
  first_format text;
BEGIN
  WITH ended AS MATERIALIZED (
    SELECT p.passage_id FROM pending p WHERE p.worker IS NOT NULL AND p.lease_until <= now_
      ORDER BY p.lease_until FOR UPDATE SKIP LOCKED)
  UPDATE pending p SET worker = NULL, lease_until = 0, attempts = p.attempts + 1
    WHERE p.passage_id = ANY (ARRAY(SELECT e.passage_id FROM ended e));
  -- A collection that is new here comes right before the one that was served last.
  SELECT coalesce(max(t.served) FILTER (WHERE t.served % 2 = 0), 0) INTO last_ FROM turns t;
  INSERT INTO turns (collection_id, served)
    SELECT c.collection_id, last_ - 1 FROM collections c
      WHERE c.pending > 0 AND NOT c.removed AND c.collection_id <> ALL (without_)
        AND NOT EXISTS (SELECT 1 FROM turns t WHERE t.collection_id = c.collection_id)
      ORDER BY c.collection_id
    ON CONFLICT DO NOTHING;
  FOR k IN
    WITH leased AS MATERIALIZED (
      SELECT p.document_id >> 40 AS collection_id, count(*) AS passages FROM pending p WHERE p.worker IS NOT NULL
        GROUP BY 1)
    SELECT c.collection_id, c.name, c.chunking FROM collections c
      LEFT JOIN leased l ON l.collection_id = c.collection_id
      LEFT JOIN turns t ON t.collection_id = c.collection_id
      WHERE c.pending > 0 AND NOT c.removed AND c.collection_id <> ALL (without_)
      ORDER BY coalesce(l.passages, 0), t.served, c.collection_id
  LOOP
    ids := '{}';
    tries := '{}';
    -- Passages of the next owners fill the batch: a call with few texts takes nearly as long as a full one. Theirs that
    -- were tried before do not; such a passage comes alone, and so in the turn of its own owner.
    FOR o IN
      SELECT t.owner FROM owner_turns t WHERE t.collection_id = k.collection_id
        AND EXISTS (SELECT 1 FROM pending p WHERE p.owner = t.owner AND p.worker IS NULL
                      AND p.document_id > documents_of_v1(k.collection_id)
                      AND p.document_id < documents_of_v1(k.collection_id + 1))
        ORDER BY t.served, t.since
    LOOP
      SELECT array_agg(f.passage_id ORDER BY f.document_id, f.ordinal),
             array_agg(f.attempts ORDER BY f.document_id, f.ordinal)
        INTO more, more_tries
        FROM (SELECT p.document_id, p.ordinal, p.passage_id, p.attempts FROM pending p
                WHERE p.owner = o.owner AND p.worker IS NULL AND p.document_id > documents_of_v1(k.collection_id)
                  AND p.document_id < documents_of_v1(k.collection_id + 1) AND (cardinality(ids) = 0 OR p.attempts = 0)
                ORDER BY p.owner, p.document_id, p.ordinal LIMIT limit_ - cardinality(ids) FOR UPDATE SKIP LOCKED) f;
      CONTINUE WHEN more IS NULL;
      IF cardinality(ids) = 0 THEN
        served_owner := o.owner;
      END IF;
      ids := ids || more;
      tries := tries || more_tries;
      EXIT WHEN cardinality(ids) >= limit_;
    END LOOP;
    CONTINUE WHEN cardinality(ids) = 0;
    SELECT u.place INTO suspect FROM unnest(tries) WITH ORDINALITY AS u(tries, place) WHERE u.tries > 0
      ORDER BY u.place LIMIT 1;
    IF suspect IS NOT NULL THEN  -- alone, so that the next failure can only be its own
      ids := ids[suspect:suspect];
      tries := tries[suspect:suspect];
    END IF;
    taken := 0;
    FOR r IN
      SELECT u.passage_id, d.format, d.content_hash, p.ordinal = 0 AND p.stop IS NULL AS whole,
             CASE WHEN p.start = 0 AND p.stop IS NULL THEN d.text
                  WHEN p.stop IS NULL THEN substr(d.text, p.start + 1)
                  ELSE substr(d.text, p.start + 1, p.stop - p.start) END AS content
        FROM unnest(ids) WITH ORDINALITY AS u(passage_id, place),
             LATERAL (SELECT x.document_id, x.ordinal, x.start, x.stop FROM passages x
                        WHERE x.passage_id = u.passage_id LIMIT 1) p,
             LATERAL (SELECT x.text, x.format, x.content_hash FROM documents x
                        WHERE x.document_id = p.document_id LIMIT 1) d
        ORDER BY u.place
    LOOP
      IF cardinality(picked) = 0 THEN
        splits := k.chunking IS NOT NULL AND r.whole;
        first_format := r.format;
        most := CASE WHEN splits THEN least(batch_bytes, split_bytes) ELSE batch_bytes END;
      ELSE
        EXIT WHEN (k.chunking IS NOT NULL AND r.whole) <> splits OR (splits AND r.format <> first_format);
      END IF;
      taken := taken + octet_length(r.content);
      EXIT WHEN cardinality(picked) > 0 AND taken > most;
      picked := picked || r.passage_id;
      texts := texts || r.content;
      hashes := hashes || r.content_hash;
    END LOOP;
    UPDATE pending p SET worker = worker_, lease_until = now_ + seconds WHERE p.passage_id = ANY (picked);
    UPDATE turns t SET served = last_ + 2 WHERE t.collection_id = k.collection_id;
    UPDATE owner_turns t SET served = 1 + (SELECT max(x.served) FROM owner_turns x WHERE x.collection_id = k.collection_id)
      WHERE t.collection_id = k.collection_id AND t.owner = served_owner;
    RETURN QUERY
      SELECT k.collection_id, k.name, s.fingerprint, k.chunking, first_format, splits, u.passage_id, u.content, u.hash, u.tries,
             -- In the order of the key, so that no plan reads the jobs of all documents in their order.
             (SELECT w.job_id FROM waiting w WHERE w.document_id = p.document_id ORDER BY w.document_id, w.job_id LIMIT 1)
        FROM unnest(picked, texts, hashes, tries[1:cardinality(picked)]) WITH ORDINALITY
               AS u(passage_id, content, hash, tries, place),
             LATERAL (SELECT x.document_id FROM passages x WHERE x.passage_id = u.passage_id LIMIT 1) p,
             LATERAL (SELECT x.fingerprint FROM spaces x
                        WHERE x.collection_id = k.collection_id AND x.state = 'serving' LIMIT 1) s
        ORDER BY u.place;
    RETURN;
  END LOOP;
END $$;

-- Let the worker's leases run out later; return the passages that it still holds.
CREATE FUNCTION extend_v1(worker_ text, passages_ bigint[], seconds double precision, given_now double precision)
RETURNS bigint[] LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  now_ double precision := clock_v1(given_now);
  held bigint[];
BEGIN
  PERFORM 1 FROM pending p WHERE p.passage_id = ANY (passages_) ORDER BY p.passage_id FOR UPDATE;
  WITH extended AS (
    UPDATE pending p SET lease_until = now_ + seconds
      WHERE p.passage_id = ANY (passages_) AND p.worker = worker_ AND p.lease_until > now_ RETURNING p.passage_id)
  SELECT coalesce(array_agg(e.passage_id), '{}') INTO held FROM extended e;
  RETURN held;
END $$;

-- End the worker's leases on passages; count an attempt for each if they are suspects.
CREATE FUNCTION free_v1(worker_ text, passages_ bigint[], suspect boolean) RETURNS void LANGUAGE plpgsql
  SET enable_seqscan = off AS $$
BEGIN
  PERFORM 1 FROM pending p WHERE p.passage_id = ANY (passages_) ORDER BY p.passage_id FOR UPDATE;
  UPDATE pending p SET worker = NULL, lease_until = 0, attempts = p.attempts + suspect::integer
    WHERE p.passage_id = ANY (passages_) AND p.worker = worker_;
END $$;

-- Give passages their vectors, and return how many documents went live; -1, and the space's model, if that is another.
-- Row j of the arrays is one vector: the place of its passage in ``passages_``, its span of the text (NULLs if no text
-- was split), and how much of it the vector stands for (NULLs if unknown). ``vecs`` has the vectors one after the other.
-- ``hashes`` has what the documents of the passages were when they were claimed, or NULLs: after a fail-over that lost
-- commits, a passage of this number may be another text, which must not get the vector.
CREATE FUNCTION complete_v1(collection bigint, passages_ bigint[], hashes bytea[], of_ integer[], starts integer[], stops integer[],
                            vecs bytea, truncated_ boolean[], unknown_ double precision[],
                            unreadable_share double precision, fp text, model_ text, dim_ integer,
                            now_ double precision, started double precision,
                            OUT done integer, OUT name text, OUT pinned text) LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  size integer := dim_ * 4;
  space record;
  wanted bigint[];  taken bigint[];  of_taken bigint[];
  whole bigint[];  old bigint[];  removed bigint[];  waited bigint[];
  -- Of each vector that is stored: its place, its document, its position in the passage that was claimed, and its passage.
  r_place integer[];  r_document bigint[];  r_position bigint[];  r_passage bigint[];
  n_removed bigint;  n_waited bigint;  n_more bigint;  n_new bigint;
  upto bigint;
  last_ bigint;
  pins integer := 0;
  covered record;
BEGIN
  done := 0;
  SELECT k.name INTO name FROM collections k WHERE k.collection_id = collection AND NOT k.removed FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  SELECT s.space_id, s.fingerprint, s.dim INTO space FROM spaces s
    WHERE s.collection_id = collection AND s.state = 'serving';
  IF space.fingerprint IS NOT NULL AND (space.fingerprint <> fp OR space.dim <> dim_) THEN
    done := -1;
    pinned := space.fingerprint;
    RETURN;
  END IF;
  SELECT coalesce(array_agg(u.passage_id), '{}') INTO wanted
    FROM unnest(passages_, hashes) AS u(passage_id, hash),
         LATERAL (SELECT x.document_id FROM passages x WHERE x.passage_id = u.passage_id LIMIT 1) p,
         LATERAL (SELECT x.content_hash FROM documents x WHERE x.document_id = p.document_id LIMIT 1) d
    WHERE u.hash IS NULL OR u.hash = d.content_hash;
  PERFORM 1 FROM pending p WHERE p.passage_id = ANY (wanted) ORDER BY p.passage_id FOR UPDATE;
  -- Whoever deletes the row lets the vector take effect: a second completion finds none.
  WITH gone AS (
    DELETE FROM pending p WHERE p.passage_id = ANY (wanted) AND p.document_id > documents_of_v1(collection)
      AND p.document_id < documents_of_v1(collection + 1) RETURNING p.passage_id, p.document_id)
  SELECT array_agg(g.passage_id), array_agg(DISTINCT g.document_id) INTO taken, of_taken FROM gone g;
  IF taken IS NULL THEN
    RETURN;
  END IF;
  IF space.fingerprint IS NULL THEN
    UPDATE spaces s SET fingerprint = fp, model = model_, dim = dim_ WHERE s.space_id = space.space_id;
    pins := 1;
  END IF;
  SELECT coalesce(array_agg(u.document_id), '{}') INTO whole FROM unnest(of_taken) AS u(document_id)
    WHERE NOT EXISTS (SELECT 1 FROM pending p WHERE p.document_id = u.document_id);
  done := cardinality(whole);
  SELECT coalesce(array_agg(o.document_id), '{}') INTO old
    FROM unnest(whole) AS u(document_id),
         LATERAL (SELECT d.doc_id FROM documents d WHERE d.document_id = u.document_id LIMIT 1) n,
         LATERAL (SELECT d.document_id FROM documents d
                    WHERE d.collection_id = collection AND d.doc_id = n.doc_id AND d.live LIMIT 1) o;
  removed := drop_versions_v1(old, false);
  n_removed := cardinality(removed);
  UPDATE documents d SET live = true WHERE d.document_id = ANY (whole);
  -- The other passages of these documents, whose vectors waited for the last one.
  SELECT coalesce(array_agg(v.passage_id ORDER BY v.passage_id), '{}') INTO waited
    FROM passages p, LATERAL (SELECT x.passage_id FROM vectors x WHERE x.passage_id = p.passage_id
                                AND x.space_id = space.space_id AND x.change IS NULL LIMIT 1) v
    WHERE p.document_id = ANY (whole);
  n_waited := cardinality(waited);
  SELECT array_agg(x.place ORDER BY x.place), array_agg(x.document_id ORDER BY x.place),
         array_agg(x.position ORDER BY x.place), array_agg(x.passage_id ORDER BY x.place),
         count(*) FILTER (WHERE x.position > 0), count(*) FILTER (WHERE x.document_id = ANY (whole))
    INTO r_place, r_document, r_position, r_passage, n_more, n_new
    FROM (SELECT u.place::integer AS place, p.document_id, passages_[u.of_] AS passage_id,
                 row_number() OVER (PARTITION BY u.of_ ORDER BY u.place) - 1 AS position
            FROM unnest(of_) WITH ORDINALITY AS u(of_, place),
                 LATERAL (SELECT y.document_id FROM passages y WHERE y.passage_id = passages_[u.of_] LIMIT 1) p
            WHERE passages_[u.of_] = ANY (taken) AND array_position(passages_, passages_[u.of_]) = u.of_) x;
  IF done + n_more + pins > 0 THEN
    SELECT a.change_before, a.passage_before INTO upto, last_
      FROM advance_v1(n_removed + n_waited + n_new, n_more, pins) a;
  END IF;
  -- Removals precede additions.
  INSERT INTO removals (collection_id, change, passage_id)
    SELECT collection, upto + u.place, u.passage_id FROM unnest(removed) WITH ORDINALITY AS u(passage_id, place);
  upto := upto + n_removed;
  UPDATE vectors v SET change = upto + u.place
    FROM unnest(waited) WITH ORDINALITY AS u(passage_id, place)
    WHERE v.passage_id = u.passage_id AND v.space_id = space.space_id;
  upto := upto + n_waited;
  IF n_more > 0 THEN
    UPDATE passages p SET start = starts[u.place], stop = stops[u.place]
      FROM unnest(r_place, r_passage, r_position, r_position[2:]) AS u(place, passage_id, position, following)
      WHERE u.position = 0 AND u.following > 0 AND p.passage_id = u.passage_id;
    SELECT array_agg(x.passage_id ORDER BY x.place) INTO r_passage
      FROM (SELECT u.place, CASE WHEN u.position = 0 THEN u.passage_id
                                 ELSE last_ + count(*) FILTER (WHERE u.position > 0) OVER (ORDER BY u.place) END AS passage_id
              FROM unnest(r_place, r_passage, r_position) AS u(place, passage_id, position)) x;
    INSERT INTO passages (passage_id, document_id, ordinal, start, stop)
      SELECT u.passage_id, u.document_id, u.position, starts[u.place], stops[u.place]
        FROM unnest(r_place, r_document, r_position, r_passage) AS u(place, document_id, position, passage_id)
        WHERE u.position > 0;
  END IF;
  INSERT INTO vectors (passage_id, space_id, change, vector, truncated, unknown)
    SELECT x.passage_id, space.space_id, CASE WHEN x.is_whole THEN upto + x.number END,
           substr(vecs, (x.place - 1) * size + 1, size), truncated_[x.place], unknown_[x.place]
      FROM (SELECT u.place, u.passage_id, u.document_id = ANY (whole) AS is_whole,
                   count(*) FILTER (WHERE u.document_id = ANY (whole)) OVER (ORDER BY u.place) AS number
              FROM unnest(r_place, r_document, r_passage) AS u(place, document_id, passage_id)) x;
  IF done = 0 THEN
    RETURN;
  END IF;
  UPDATE spaces s SET last_change = upto + n_new WHERE s.collection_id = collection;
  SELECT array_agg(u.document_id) AS versions,
         array_agg(embedded_status_v1(coalesce(v.truncated, false), coalesce(v.unknown > unreadable_share, false))) AS statuses,
         array_agg(coalesce(v.truncated, false)::integer) AS truncated,
         array_agg(coalesce(v.unknown > unreadable_share, false)::integer) AS unreadable
    INTO covered FROM unnest(whole) AS u(document_id), coverage_v1(u.document_id, space.space_id) v;
  PERFORM release_v1(covered.versions, covered.statuses, covered.truncated, covered.unreadable, now_, started);
  UPDATE collections k SET live = k.live + complete_v1.done - cardinality(old),
    pending = k.pending - complete_v1.done
    WHERE k.collection_id = collection;
END $$;

-- End the pending version of a passage that failed for good, and keep it for a retry of its jobs if it is not too large.
-- Return whether there was one. The caller then calls ``trim_failed_v1``.
CREATE FUNCTION fail_v1(failed_passage bigint, error_ text, reason_ text, now_ double precision, max_bytes bigint,
                        entry_bytes bigint, max_failures bigint) RETURNS boolean LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  v record;
  w record;
  there bigint;
  kept boolean;
BEGIN
  SELECT p.document_id >> 40 INTO c FROM passages p WHERE p.passage_id = failed_passage;
  PERFORM 1 FROM collections k WHERE k.collection_id = c AND NOT k.removed FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  SELECT d.document_id, d.doc_id,
         entry_bytes + octet_length(d.doc_id) + octet_length(d.text) + octet_length(d.metadata)
           + coalesce(octet_length(d.source), 0) AS bytes
    INTO v FROM passages p, LATERAL (SELECT * FROM documents x WHERE x.document_id = p.document_id LIMIT 1) d
    WHERE p.passage_id = failed_passage AND NOT d.live;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  kept := v.bytes <= max_bytes;
  IF kept THEN
    INSERT INTO failed_documents (document_id, collection_id, doc_id, text, metadata, content_hash, format, source, hash,
                                  failed_at, bytes)
      SELECT d.document_id, d.collection_id, d.doc_id, d.text, d.metadata, d.content_hash, d.format, d.source, d.hash,
             now_, v.bytes
        FROM documents d WHERE d.document_id = v.document_id;
    INSERT INTO failed_waiting (document_id, job_id, documents)
      SELECT x.document_id, x.job_id, x.documents FROM waiting x WHERE x.document_id = v.document_id;
  END IF;
  FOR w IN SELECT x.job_id, x.documents FROM waiting x WHERE x.document_id = v.document_id ORDER BY x.job_id LOOP
    SELECT j.failed INTO there FROM jobs j WHERE j.job_id = w.job_id FOR UPDATE;
    IF there < max_failures THEN
      INSERT INTO failures (job_id, ordinal, doc_id, error) VALUES (w.job_id, there, v.doc_id, error_);
    END IF;
    INSERT INTO job_outcomes (job_id, document_id, status, reason)
      VALUES (w.job_id, v.document_id, 'failed', CASE WHEN there >= max_failures THEN reason_ END)
      ON CONFLICT (job_id, document_id) DO UPDATE SET status = excluded.status, reason = excluded.reason;
    PERFORM progress_v1(w.job_id, w.documents, 0, w.documents, 0, 0, 0, now_, NULL);
  END LOOP;
  DELETE FROM waiting x WHERE x.document_id = v.document_id;
  PERFORM finish_v1(c, drop_versions_v1(ARRAY[v.document_id], kept), '{}', '{}', 0, 0, -1, 0);
  RETURN true;
END $$;

-- Drop the oldest of the failed versions that are kept while all exceed the limit, at most ``at_once``; return how many.
-- A version that another transaction is about to use is passed over.
CREATE FUNCTION trim_failed_v1(max_bytes bigint, at_once integer) RETURNS integer LANGUAGE plpgsql
  SET enable_seqscan = off SET jit = off AS $$
DECLARE
  size bigint;
  dropped bigint[];
BEGIN
  SELECT coalesce(sum(f.bytes), 0) INTO size FROM failed_documents f;
  IF size <= max_bytes THEN
    RETURN 0;
  END IF;
  WITH oldest AS MATERIALIZED (
    SELECT f.document_id, sum(f.bytes) OVER (ORDER BY f.failed_at, f.document_id) - f.bytes AS before
      FROM failed_documents f ORDER BY f.failed_at, f.document_id LIMIT at_once),
  locked AS MATERIALIZED (
    SELECT f.document_id FROM failed_documents f
      WHERE f.document_id = ANY (ARRAY(SELECT o.document_id FROM oldest o WHERE size - o.before > max_bytes))
      FOR UPDATE SKIP LOCKED),
  gone AS (DELETE FROM failed_documents f WHERE f.document_id = ANY (ARRAY(SELECT l.document_id FROM locked l))
             RETURNING f.document_id)
  SELECT coalesce(array_agg(g.document_id), '{}') INTO dropped FROM gone g;
  DELETE FROM failed_waiting w WHERE w.document_id = ANY (dropped);
  RETURN cardinality(dropped);
END $$;
