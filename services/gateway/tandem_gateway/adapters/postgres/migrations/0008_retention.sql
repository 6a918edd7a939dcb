-- Forget jobs, failed documents and removals: ``Retention`` and ``FollowerPositions``.

-- Record that a follower needs no removals up to a change, and drop those that no follower of the collection needs any
-- more, and all but the last ``kept``; return how many.
CREATE FUNCTION record_position_v1(collection bigint, follower_ text, upto bigint, kept bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
  floor_ bigint;
  n bigint;
BEGIN
  PERFORM 1 FROM collections k WHERE k.collection_id = collection FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  INSERT INTO followers AS f (collection_id, follower, position) VALUES (collection, follower_, upto)
    ON CONFLICT (collection_id, follower) DO UPDATE SET position = greatest(f.position, excluded.position);
  SELECT min(f.position) INTO floor_ FROM followers f WHERE f.collection_id = collection;
  SELECT greatest(floor_, r.change) INTO floor_ FROM removals r WHERE r.collection_id = collection
    ORDER BY r.change DESC LIMIT 1 OFFSET kept;
  IF NOT FOUND THEN
    SELECT min(f.position) INTO floor_ FROM followers f WHERE f.collection_id = collection;
  END IF;
  UPDATE collections k SET removal_floor = floor_ WHERE k.collection_id = collection AND k.removal_floor < floor_;
  WITH gone AS (DELETE FROM removals r WHERE r.collection_id = collection AND r.change <= floor_ RETURNING 1)
    SELECT count(*) INTO n FROM gone;
  RETURN n;
END $$;

CREATE FUNCTION forget_removals_v1(space bigint, upto bigint, kept bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  c bigint;
BEGIN
  SELECT s.collection_id INTO c FROM spaces s WHERE s.space_id = space AND s.state <> 'retired';
  RETURN CASE WHEN c IS NULL THEN 0 ELSE record_position_v1(c, 'space ' || space, upto, kept) END;
END $$;

-- Drop the lists of the documents of jobs.
CREATE FUNCTION forget_lists_v1(jobs_ text[]) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
  DELETE FROM job_lists l WHERE l.job_id = ANY (jobs_);
  DELETE FROM job_outcomes o WHERE o.job_id = ANY (jobs_);
END $$;

-- Drop finished jobs, the oldest first: those that finished before a time, and those over ``keep``; then the lists of
-- others that exceed ``listed_bytes``. One call drops at most ``at_once`` jobs, and few more than ``documents_`` of their
-- documents. Return how many jobs it has dropped, and whether there is more to drop.
CREATE FUNCTION forget_jobs_v1(before double precision, keep bigint, at_once integer, documents_ bigint,
                               listed_bytes bigint, OUT dropped integer, OUT more boolean) LANGUAGE plpgsql
  SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  wanted bigint;
  chosen text[];
  versions bigint[];
  size bigint;
BEGIN
  SELECT greatest(count(*) FILTER (WHERE j.finished_at < before), count(*) - keep) INTO wanted
    FROM jobs j WHERE j.finished_at IS NOT NULL;
  SELECT coalesce(array_agg(x.job_id), '{}') INTO chosen
    FROM (SELECT y.job_id, row_number() OVER (ORDER BY y.finished_at, y.job_id) AS place,
                 sum(y.total) OVER (ORDER BY y.finished_at, y.job_id) AS documents
            FROM (SELECT j.job_id, j.finished_at, j.total FROM jobs j WHERE j.finished_at IS NOT NULL
                    ORDER BY j.finished_at, j.job_id LIMIT greatest(0, least(wanted, at_once))) y) x
    WHERE x.place = 1 OR x.documents <= documents_;
  -- A job that is retried at this moment stays.
  SELECT coalesce(array_agg(x.job_id), '{}') INTO chosen
    FROM (SELECT j.job_id FROM jobs j WHERE j.job_id = ANY (chosen) AND j.finished_at IS NOT NULL
            FOR UPDATE SKIP LOCKED) x;
  dropped := cardinality(chosen);
  PERFORM forget_lists_v1(chosen);
  WITH gone AS (DELETE FROM failed_waiting w WHERE w.job_id = ANY (chosen) RETURNING w.document_id)
    SELECT array_agg(DISTINCT g.document_id) INTO versions FROM gone g;
  DELETE FROM failed_documents f WHERE f.document_id = ANY (versions)
    AND NOT EXISTS (SELECT 1 FROM failed_waiting w WHERE w.document_id = f.document_id);
  DELETE FROM failures f WHERE f.job_id = ANY (chosen);
  DELETE FROM jobs j WHERE j.job_id = ANY (chosen);
  more := dropped > 0 AND dropped < wanted;
  SELECT coalesce(sum(l.bytes), 0) INTO size FROM job_lists l;
  IF size > listed_bytes THEN
    WITH sizes AS (
      SELECT l.job_id, min(l.list_id) AS list_id, sum(l.bytes) AS bytes, max(j.total) AS documents
        FROM (SELECT * FROM job_lists y ORDER BY y.list_id LIMIT at_once) l
        JOIN jobs j ON j.job_id = l.job_id AND j.finished_at IS NOT NULL GROUP BY l.job_id),
    placed AS (
      SELECT s.job_id, sum(s.bytes) OVER (ORDER BY s.list_id) - s.bytes AS before,
             sum(s.documents) OVER (ORDER BY s.list_id) AS documents, row_number() OVER (ORDER BY s.list_id) AS place
        FROM sizes s)
    SELECT coalesce(array_agg(p.job_id), '{}') INTO chosen FROM placed p
      WHERE size - p.before > listed_bytes AND (p.place = 1 OR p.documents <= documents_);
    PERFORM forget_lists_v1(chosen);
    SELECT coalesce(sum(l.bytes), 0) INTO size FROM job_lists l;
    more := more OR (size > listed_bytes AND cardinality(chosen) > 0);
  END IF;
END $$;

-- Drop up to ``at_once`` failed versions that failed before a time; return how many.
CREATE FUNCTION forget_failed_v1(before double precision, at_once integer) RETURNS integer LANGUAGE plpgsql
  SET enable_seqscan = off AS $$
DECLARE
  dropped bigint[];
BEGIN
  WITH gone AS (
    DELETE FROM failed_documents f WHERE f.document_id = ANY (ARRAY(
      SELECT x.document_id FROM failed_documents x WHERE x.failed_at < before ORDER BY x.failed_at, x.document_id
        LIMIT at_once FOR UPDATE SKIP LOCKED)) RETURNING f.document_id)
  SELECT coalesce(array_agg(g.document_id), '{}') INTO dropped FROM gone g;
  DELETE FROM failed_waiting w WHERE w.document_id = ANY (dropped);
  RETURN cardinality(dropped);
END $$;
