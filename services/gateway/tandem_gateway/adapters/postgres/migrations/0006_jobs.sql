-- Cancel and retry jobs: ``JobStore``.

-- Cancel up to ``at_once`` versions that a job waits for; a version that no other job waits for is removed.
CREATE FUNCTION cancel_v1(job text, at_once integer, now_ double precision) RETURNS void LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  versions bigint[];
  lonely bigint[];
  n bigint;
BEGIN
  SELECT w.document_id >> 40 INTO c FROM waiting w WHERE w.job_id = job ORDER BY w.document_id LIMIT 1;
  PERFORM 1 FROM collections k WHERE k.collection_id = c FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  WITH gone AS (
    DELETE FROM waiting w WHERE w.job_id = job AND w.document_id = ANY (ARRAY(
      SELECT x.document_id FROM waiting x WHERE x.job_id = job AND x.document_id > documents_of_v1(c)
        AND x.document_id < documents_of_v1(c + 1) ORDER BY x.document_id LIMIT at_once))
      RETURNING w.document_id, w.documents)
  SELECT array_agg(g.document_id), sum(g.documents) INTO versions, n FROM gone g;
  IF versions IS NULL THEN
    RETURN;
  END IF;
  INSERT INTO job_outcomes (job_id, document_id, status)
    SELECT job, u.version, 'cancelled' FROM unnest(versions) AS u(version)
    ON CONFLICT (job_id, document_id) DO UPDATE SET status = excluded.status, reason = NULL;
  PERFORM progress_v1(job, n, 0, 0, 0, 0, n, now_, NULL);
  SELECT coalesce(array_agg(u.version), '{}') INTO lonely FROM unnest(versions) AS u(version)
    WHERE NOT EXISTS (SELECT 1 FROM waiting w WHERE w.document_id = u.version);
  PERFORM finish_v1(c, drop_versions_v1(lonely, false), '{}', '{}', 0, 0, -cardinality(lonely), 0);
END $$;

-- Make the documents of a job that failed wait again, and return how many; NULL if the job has not ended or has no
-- failed documents, and 0 if none can be retried. Error TD001: too many documents wait; the detail is their number, and
-- the hint how many more would.
CREATE FUNCTION retry_v1(job text, now_ double precision, max_pending bigint, unreadable_share double precision)
RETURNS bigint LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  c bigint;
  space bigint;
  r record;
  covered record;
  there bigint;
  more bigint := 0;
  retried bigint := 0;
  fresh bigint[] := '{}';
  ids text[] := '{}';
  left_ids text[];
  left_errors text[];
BEGIN
  SELECT w.document_id >> 40 INTO c FROM failed_waiting w WHERE w.job_id = job ORDER BY w.document_id LIMIT 1;
  PERFORM 1 FROM collections k WHERE k.collection_id = c AND NOT k.removed FOR UPDATE;
  IF NOT FOUND THEN
    c := NULL;
  END IF;
  PERFORM 1 FROM jobs j WHERE j.job_id = job AND j.finished_at IS NOT NULL AND j.failed > 0 FOR UPDATE;
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  SELECT s.space_id INTO space FROM spaces s WHERE s.collection_id = c AND s.state = 'serving';
  FOR r IN
    SELECT w.document_id, w.documents, d.live, coalesce(d.doc_id, f.doc_id) AS doc_id FROM failed_waiting w
      LEFT JOIN documents d ON d.document_id = w.document_id
      LEFT JOIN failed_documents f ON f.document_id = w.document_id
      WHERE w.job_id = job AND w.document_id > documents_of_v1(c) AND w.document_id < documents_of_v1(c + 1)
        AND coalesce(d.doc_id, f.doc_id) IS NOT NULL
      ORDER BY w.document_id
  LOOP
    DELETE FROM job_outcomes o WHERE o.job_id = job AND o.document_id = r.document_id;
    IF r.live IS NULL THEN
      WITH kept AS (DELETE FROM failed_documents f WHERE f.document_id = r.document_id RETURNING f.*)
      INSERT INTO documents
          (document_id, collection_id, doc_id, text, metadata, content_hash, format, source, hash, live)
        SELECT k.document_id, k.collection_id, k.doc_id, k.text, k.metadata, k.content_hash, k.format, k.source, k.hash, false
          FROM kept k;
      CONTINUE WHEN NOT FOUND;  -- it was dropped a moment ago
      fresh := fresh || r.document_id;
      more := more + 1;
    END IF;
    DELETE FROM failed_waiting w WHERE w.job_id = job AND w.document_id = r.document_id;
    INSERT INTO waiting AS w (document_id, job_id, documents) VALUES (r.document_id, job, r.documents)
      ON CONFLICT (document_id, job_id) DO UPDATE SET documents = w.documents + excluded.documents;
    ids := ids || r.doc_id;
    retried := retried + r.documents;
  END LOOP;
  IF retried = 0 THEN
    RETURN 0;
  END IF;
  SELECT coalesce(sum(k.pending), 0) INTO there FROM collections k WHERE NOT k.removed;
  IF there + more > max_pending THEN
    RAISE EXCEPTION 'too many documents wait' USING ERRCODE = 'TD001', DETAIL = there, HINT = more;
  END IF;
  UPDATE jobs j SET processed = j.processed - retried, failed = j.failed - retried, finished_at = NULL, retried_at = now_
    WHERE j.job_id = job;
  -- The errors of the others are numbered from 0, so that the next number is free.
  WITH gone AS (DELETE FROM failures f WHERE f.job_id = job RETURNING f.ordinal, f.doc_id, f.error)
  SELECT coalesce(array_agg(g.doc_id ORDER BY g.ordinal), '{}'), coalesce(array_agg(g.error ORDER BY g.ordinal), '{}')
    INTO left_ids, left_errors FROM gone g WHERE g.doc_id <> ALL (ids);
  INSERT INTO failures (job_id, ordinal, doc_id, error)
    SELECT job, u.place - 1, u.doc_id, u.error FROM unnest(left_ids, left_errors) WITH ORDINALITY AS u(doc_id, error, place);
  -- Those that the retry of another job has embedded.
  FOR r IN SELECT w.document_id FROM waiting w, LATERAL (SELECT x.live FROM documents x
                                                           WHERE x.document_id = w.document_id LIMIT 1) d
             WHERE w.job_id = job AND d.live LOOP
    SELECT coalesce(x.truncated, false) AS truncated, coalesce(x.unknown > unreadable_share, false) AS unreadable
      INTO covered FROM coverage_v1(r.document_id, space) x;
    PERFORM release_v1(ARRAY[r.document_id], ARRAY[embedded_status_v1(covered.truncated, covered.unreadable)],
                       ARRAY[covered.truncated::integer], ARRAY[covered.unreadable::integer], now_, NULL);
  END LOOP;
  PERFORM finish_v1(c, '{}', '{}', fresh, 0, 0, cardinality(fresh), 0);
  RETURN retried;
END $$;
