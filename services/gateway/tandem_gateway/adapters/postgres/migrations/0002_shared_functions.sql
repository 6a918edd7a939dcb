-- What the writes have in common. A function never changes once a release has it: another way gets another name, so
-- that gateways of two releases can use one store. The planner's settings keep a plan from reading whole tables while
-- they have no statistics: after a restore, an upgrade, or in a new store.

-- Take numbers for changes and passages, and count the commit. The transaction holds the store's row from here on.
CREATE FUNCTION advance_v1(changes bigint, passages bigint, catalogues integer,
                           OUT change_before bigint, OUT passage_before bigint) LANGUAGE plpgsql AS $$
DECLARE
  counted bigint;
  made uuid;
BEGIN
  UPDATE store s
    SET commits = s.commits + 1, last_change = s.last_change + changes, last_passage = s.last_passage + passages,
        catalogue = s.catalogue + catalogues, mark = gen_random_uuid()
    RETURNING s.last_change - changes, s.last_passage - passages, s.commits, s.mark
    INTO change_before, passage_before, counted, made;
  INSERT INTO marks (commit, mark) VALUES (counted, made);
END $$;

-- The first number of a collection's documents, less one; the last is that of the next collection.
CREATE FUNCTION documents_of_v1(collection bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT collection << 40
$$;

-- Make a collection with one space, which its first vector pins to a model; NULL if another transaction made it.
CREATE FUNCTION make_collection_v1(collection text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  made bigint;
  space bigint;
BEGIN
  INSERT INTO collections (name, chunking) VALUES (collection, '{}') ON CONFLICT (name) DO NOTHING
    RETURNING collection_id INTO made;
  IF made IS NOT NULL THEN
    INSERT INTO spaces (collection_id, state) VALUES (made, 'serving') RETURNING space_id INTO space;
    INSERT INTO followers (collection_id, follower, position) VALUES (made, 'space ' || space, 0);
    INSERT INTO owner_turns (collection_id, owner) VALUES (made, '');
  END IF;
  RETURN made;
END $$;

DO $$
BEGIN
  PERFORM make_collection_v1('default');
  PERFORM advance_v1(0, 0, 1);
END $$;

-- Add progress to a job. The first progress starts the job; the last document finishes it.
CREATE FUNCTION progress_v1(job text, processed_ bigint, unchanged_ bigint, failed_ bigint, truncated_ bigint,
                            unreadable_ bigint, cancelled_ bigint, now_ double precision, started double precision)
RETURNS void LANGUAGE sql AS $$
  UPDATE jobs j
    SET processed = j.processed + processed_, unchanged = j.unchanged + unchanged_, failed = j.failed + failed_,
        truncated = j.truncated + truncated_, unreadable = j.unreadable + unreadable_,
        cancelled = j.cancelled + cancelled_,
        started_at = coalesce(j.started_at, started, CASE WHEN processed_ > 0 THEN now_ END),
        finished_at = CASE WHEN j.processed + processed_ = j.total AND j.finished_at IS NULL THEN now_
                      ELSE j.finished_at END
    WHERE j.job_id = job
$$;

-- Count versions of documents as processed in every job that waits for them. Element i of the arrays is one version: its
-- number, how it ended, and 1 or 0 for a vector that stands for a part of it, and for one that says little.
CREATE FUNCTION release_v1(versions bigint[], statuses text[], truncated_ integer[], unreadable_ integer[],
                           now_ double precision, started double precision)
RETURNS void LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  s record;
BEGIN
  FOR s IN
    WITH gone AS (
      DELETE FROM waiting w
        USING unnest(versions, statuses, truncated_, unreadable_) AS u(version, status, truncated, unreadable)
        WHERE w.document_id = u.version
        RETURNING w.job_id, w.document_id, w.documents, u.status, u.truncated, u.unreadable),
    ended AS (
      INSERT INTO job_outcomes (job_id, document_id, status)
        SELECT g.job_id, g.document_id, g.status FROM gone g WHERE g.status <> 'embedded'
        ON CONFLICT (job_id, document_id) DO UPDATE SET status = excluded.status, reason = NULL)
    SELECT g.job_id, sum(g.documents)::bigint AS documents, sum(g.documents * g.truncated)::bigint AS truncated,
           sum(g.documents * g.unreadable)::bigint AS unreadable
      FROM gone g GROUP BY g.job_id ORDER BY g.job_id
  LOOP
    PERFORM progress_v1(s.job_id, s.documents, 0, 0, s.truncated, s.unreadable, 0, now_, started);
  END LOOP;
END $$;

-- Remove versions with all that they have; return their passages, whose removal the caller has to record.
CREATE FUNCTION drop_versions_v1(versions bigint[], keep_failed boolean) RETURNS bigint[] LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  removed bigint[];
BEGIN
  IF NOT keep_failed THEN
    DELETE FROM failed_waiting f WHERE f.document_id = ANY (versions);
  END IF;
  DELETE FROM pending p WHERE p.document_id = ANY (versions);
  WITH gone AS (DELETE FROM passages p WHERE p.document_id = ANY (versions) RETURNING p.passage_id)
    SELECT coalesce(array_agg(g.passage_id ORDER BY g.passage_id), '{}') INTO removed FROM gone g;
  DELETE FROM vectors v WHERE v.passage_id = ANY (removed);
  DELETE FROM documents d WHERE d.document_id = ANY (versions);
  RETURN removed;
END $$;

-- How much of a live version its vectors in the serving space stand for; NULLs if that is not known.
CREATE FUNCTION coverage_v1(version bigint, space bigint, OUT truncated boolean, OUT unknown double precision)
LANGUAGE sql STABLE AS $$
  SELECT bool_or(v.truncated), max(v.unknown)
    FROM passages p, LATERAL (SELECT x.truncated, x.unknown FROM vectors x
                                WHERE x.passage_id = p.passage_id AND x.space_id = space LIMIT 1) v
    WHERE p.document_id = version
$$;

CREATE FUNCTION embedded_status_v1(truncated boolean, unreadable boolean) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN truncated THEN 'truncated' WHEN unreadable THEN 'unreadable' ELSE 'embedded' END
$$;

-- End a write to a collection, whose row the transaction has locked: record what was removed, give the passages of
-- ``moved`` versions new ids and change numbers, give the ``fresh`` versions that are left a passage and an owner, and
-- count.
CREATE FUNCTION finish_v1(collection bigint, removed bigint[], moved bigint[], fresh bigint[], catalogues integer,
                          more_live bigint, more_pending bigint, more_documents bigint, owner_ text DEFAULT '')
RETURNS void LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  n_removed bigint := coalesce(cardinality(removed), 0);
  old_ids bigint[];
  n_moved bigint;
  n_vectors bigint := 0;
  n_fresh bigint;
  upto bigint;
  last_ bigint;
BEGIN
  SELECT coalesce(array_agg(d.document_id ORDER BY d.document_id), '{}') INTO fresh
    FROM unnest(fresh) AS u(version), LATERAL (SELECT x.document_id FROM documents x
                                                WHERE x.document_id = u.version LIMIT 1) d;
  n_fresh := cardinality(fresh);
  SELECT coalesce(array_agg(p.passage_id ORDER BY p.document_id, p.ordinal), '{}') INTO old_ids
    FROM passages p WHERE p.document_id = ANY (moved);
  n_moved := cardinality(old_ids);
  IF n_moved > 0 THEN
    SELECT count(*) INTO n_vectors FROM vectors v WHERE v.passage_id = ANY (old_ids) AND v.change IS NOT NULL;
  END IF;
  IF n_removed + n_moved + n_fresh > 0 OR catalogues > 0 THEN
    SELECT a.change_before, a.passage_before INTO upto, last_
      FROM advance_v1(n_removed + n_moved + n_vectors, n_moved + n_fresh, catalogues) a;
    INSERT INTO removals (collection_id, change, passage_id)
      SELECT collection, upto + u.place, u.passage_id
        FROM unnest(removed || old_ids) WITH ORDINALITY AS u(passage_id, place);
    upto := upto + n_removed + n_moved;
    IF n_moved > 0 THEN
      UPDATE passages p SET passage_id = last_ + u.place
        FROM unnest(old_ids) WITH ORDINALITY AS u(passage_id, place) WHERE p.passage_id = u.passage_id;
      -- The lease on a passage ends with its id.
      UPDATE pending p SET passage_id = last_ + u.place, worker = NULL, lease_until = 0, attempts = 0
        FROM unnest(old_ids) WITH ORDINALITY AS u(passage_id, place) WHERE p.passage_id = u.passage_id;
      WITH placed AS MATERIALIZED (
        SELECT v.passage_id, v.space_id, last_ + u.place AS new_id,
               CASE WHEN v.change IS NOT NULL
                    THEN upto + count(v.change) OVER (ORDER BY u.place, v.space_id ROWS UNBOUNDED PRECEDING) END AS new_change
          FROM unnest(old_ids) WITH ORDINALITY AS u(passage_id, place)
          JOIN vectors v ON v.passage_id = u.passage_id)
      UPDATE vectors v SET passage_id = n.new_id, change = n.new_change
        FROM placed n WHERE v.passage_id = n.passage_id AND v.space_id = n.space_id;
    END IF;
    INSERT INTO passages (passage_id, document_id, ordinal, start)
      SELECT last_ + n_moved + u.place, u.version, 0, 0 FROM unnest(fresh) WITH ORDINALITY AS u(version, place);
    INSERT INTO pending (document_id, ordinal, passage_id, owner)
      SELECT u.version, 0, last_ + n_moved + u.place, owner_ FROM unnest(fresh) WITH ORDINALITY AS u(version, place);
    IF n_removed + n_moved > 0 THEN
      UPDATE spaces s SET last_change = upto + n_vectors WHERE s.collection_id = collection;
    END IF;
  END IF;
  IF more_live <> 0 OR more_pending <> 0 OR more_documents <> 0 THEN
    UPDATE collections c
      SET live = c.live + more_live, pending = c.pending + more_pending, last_document = c.last_document + more_documents
      WHERE c.collection_id = collection;
  END IF;
END $$;
