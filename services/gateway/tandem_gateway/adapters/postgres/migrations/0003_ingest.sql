-- Accept documents and their job: ``IngestStore.accept``. Element i of the arrays is one document; "places" tell where
-- each is in the ingest, and "skipped_places" where the documents are that were left out. The reasons are what the list
-- of the job says of documents whose vectors stand for a part of them, or say little.
--
-- A retry after a lost answer finds its job. The caller compares the request hash of the job that it gets.
-- Errors: TD001 too many documents wait, TD002 too many collections; the detail is the number that there is.
CREATE FUNCTION accept_v1(job text, collection text, ids text[], texts text[], metas text[], hashes bytea[],
                          formats text[], sources text[], source_hashes text[], places integer[],
                          skipped_places integer[], skipped_ids text[], skipped_reasons text[],
                          owner_ text, max_owners bigint, now_ double precision, key text, request bytea, key_seconds double precision,
                          max_pending bigint, max_collections bigint, entry_bytes bigint, list_entries integer,
                          unreadable_share double precision, truncated_reason text, unreadable_reason text)
RETURNS SETOF jobs LANGUAGE plpgsql
  SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
  n bigint := coalesce(cardinality(ids), 0);
  c bigint;
  space bigint;
  last_ bigint;
  made integer := 0;
  there bigint;
  any_failed boolean;
  known record;
  p bigint;  p_hash bytea;
  l bigint;  l_hash bytea;  l_format text;
  version bigint;
  failed_version bigint;
  alike boolean;
  covered record;
  removed bigint[] := '{}';
  moved bigint[] := '{}';
  fresh bigint[] := '{}';
  e_documents bigint[] := array_fill(NULL::bigint, ARRAY[n::integer]);
  e_statuses text[] := array_fill(NULL::text, ARRAY[n::integer]);
  e_reasons text[] := array_fill(NULL::text, ARRAY[n::integer]);
  processed_ bigint := 0;  unchanged_ bigint := 0;  truncated_ bigint := 0;  unreadable_ bigint := 0;
  dropped bigint := 0;
  lane text := '';
BEGIN
  FOR attempt IN 1..2 LOOP  -- again once the collection is locked: the first try of a retry may have been under way
    SELECT j.job_id, j.created_at INTO known FROM jobs j WHERE j.job_id = job OR j.idempotency_key = key
      ORDER BY j.job_id = job DESC LIMIT 1;
    IF FOUND THEN
      IF known.job_id = job OR known.created_at > now_ - key_seconds THEN
        RETURN QUERY SELECT * FROM jobs j WHERE j.job_id = known.job_id;
        RETURN;
      END IF;
      UPDATE jobs j SET idempotency_key = NULL, request_hash = NULL WHERE j.job_id = known.job_id;
    END IF;
    EXIT WHEN attempt = 2;
    SELECT coalesce(sum(k.pending), 0) INTO there FROM collections k WHERE NOT k.removed;
    IF there + n > max_pending THEN
      RAISE EXCEPTION 'too many documents wait' USING ERRCODE = 'TD001', DETAIL = there;
    END IF;
    LOOP
      SELECT k.collection_id, k.last_document INTO c, last_ FROM collections k WHERE k.name = collection FOR UPDATE;
      EXIT WHEN FOUND;
      SELECT count(*) INTO there FROM collections k WHERE NOT k.removed;
      IF there >= max_collections THEN
        RAISE EXCEPTION 'too many collections' USING ERRCODE = 'TD002', DETAIL = there;
      END IF;
      IF make_collection_v1(collection) IS NOT NULL THEN
        made := 1;
      END IF;
    END LOOP;
  END LOOP;
  SELECT s.space_id INTO space FROM spaces s WHERE s.collection_id = c AND s.state = 'serving';
  INSERT INTO jobs (job_id, collection, total, created_at, skipped, idempotency_key, request_hash)
    VALUES (job, collection, n, now_, coalesce(cardinality(skipped_places), 0), key, request);
  any_failed := EXISTS (SELECT 1 FROM failed_documents f WHERE f.collection_id = c);
  FOR i IN 1..n LOOP
    IF any_failed THEN  -- a later write of the document drops the version that has failed
      DELETE FROM failed_documents f WHERE f.collection_id = c AND f.doc_id = ids[i]
        RETURNING f.document_id INTO failed_version;
      IF FOUND THEN
        DELETE FROM failed_waiting f WHERE f.document_id = failed_version;
      END IF;
    END IF;
    SELECT d.document_id, d.content_hash INTO p, p_hash
      FROM documents d WHERE d.collection_id = c AND d.doc_id = ids[i] AND NOT d.live;
    SELECT d.document_id, d.content_hash, d.format INTO l, l_hash, l_format
      FROM documents d WHERE d.collection_id = c AND d.doc_id = ids[i] AND d.live;
    IF (p IS NOT NULL AND p_hash = hashes[i]) OR (p IS NULL AND l_hash = hashes[i]) THEN
      UPDATE documents d SET source = sources[i], hash = source_hashes[i]
        WHERE d.document_id = coalesce(p, l)
          AND (d.source IS DISTINCT FROM sources[i] OR d.hash IS DISTINCT FROM source_hashes[i]);
      IF p IS NOT NULL THEN
        version := p;
      ELSE
        SELECT x.truncated, x.unknown > unreadable_share AS unreadable INTO covered FROM coverage_v1(l, space) x;
        processed_ := processed_ + 1;
        unchanged_ := unchanged_ + 1;
        truncated_ := truncated_ + coalesce(covered.truncated, false)::integer;
        unreadable_ := unreadable_ + coalesce(covered.unreadable, false)::integer;
        e_statuses[i] := 'unchanged';
        e_reasons[i] := nullif(concat_ws('; ', CASE WHEN covered.truncated THEN truncated_reason END,
                                         CASE WHEN covered.unreadable THEN unreadable_reason END), '');
        CONTINUE;
      END IF;
    ELSE
      IF p IS NOT NULL THEN
        PERFORM release_v1(ARRAY[p], ARRAY['replaced'], ARRAY[0], ARRAY[0], now_, NULL);
        removed := removed || drop_versions_v1(ARRAY[p], false);
        dropped := dropped + 1;
      END IF;
      alike := false;
      IF l IS NOT NULL AND l_format = formats[i] THEN
        SELECT d.text = texts[i] INTO alike FROM documents d WHERE d.document_id = l;
      END IF;
      IF alike THEN  -- only the metadata is new: the vectors stay valid, under new passages
        UPDATE documents d
          SET metadata = metas[i], content_hash = hashes[i], source = sources[i], hash = source_hashes[i]
          WHERE d.document_id = l;
        DELETE FROM failed_waiting f WHERE f.document_id = l;
        IF l <> ALL (moved) THEN
          moved := moved || l;
        END IF;
        SELECT x.truncated, x.unknown > unreadable_share AS unreadable INTO covered FROM coverage_v1(l, space) x;
        processed_ := processed_ + 1;
        truncated_ := truncated_ + coalesce(covered.truncated, false)::integer;
        unreadable_ := unreadable_ + coalesce(covered.unreadable, false)::integer;
        e_statuses[i] := embedded_status_v1(coalesce(covered.truncated, false), coalesce(covered.unreadable, false));
        CONTINUE;
      END IF;
      fresh := fresh || (documents_of_v1(c) + last_ + cardinality(fresh) + 1);
      version := fresh[cardinality(fresh)];
      INSERT INTO documents
          (document_id, collection_id, doc_id, text, metadata, content_hash, format, source, hash, live)
        VALUES (version, c, ids[i], texts[i], metas[i], hashes[i], formats[i], sources[i], source_hashes[i], false);
    END IF;
    INSERT INTO waiting AS w (document_id, job_id, documents) VALUES (version, job, 1)
      ON CONFLICT (document_id, job_id) DO UPDATE SET documents = w.documents + 1;
    e_documents[i] := version;
  END LOOP;
  WITH listed AS (
    SELECT u.place, u.doc_id, u.version, u.status, u.reason
      FROM unnest(places, ids, e_documents, e_statuses, e_reasons) AS u(place, doc_id, version, status, reason)
    UNION ALL
    SELECT u.place, u.doc_id, NULL, 'skipped', u.reason
      FROM unnest(skipped_places, skipped_ids, skipped_reasons) AS u(place, doc_id, reason))
  INSERT INTO job_lists (job_id, place, bytes, doc_ids, documents, statuses, reasons)
    SELECT job, min(x.place), sum(entry_bytes + 8 + coalesce(octet_length(x.doc_id), 0) + coalesce(octet_length(x.status), 0)
                                  + coalesce(octet_length(x.reason), 0)),
           array_agg(x.doc_id ORDER BY x.place), array_agg(x.version ORDER BY x.place),
           array_agg(x.status ORDER BY x.place), array_agg(x.reason ORDER BY x.place)
      FROM listed x GROUP BY x.place / list_entries ORDER BY 2;
  IF NOT FOUND THEN
    INSERT INTO job_lists (job_id, place, bytes, doc_ids, documents, statuses, reasons)
      VALUES (job, 0, 0, '{}', '{}', '{}', '{}');
  END IF;
  PERFORM progress_v1(job, processed_, unchanged_, 0, truncated_, unreadable_, 0, now_, NULL);
  IF owner_ IS NOT NULL AND cardinality(fresh) > 0 THEN  -- beyond the limit, owners share a turn
    INSERT INTO owner_turns (collection_id, owner, since)
      SELECT c, owner_, fresh[1] WHERE (SELECT count(*) FROM owner_turns o WHERE o.collection_id = c) < max_owners
      ON CONFLICT (collection_id, owner) DO NOTHING;
    IF EXISTS (SELECT 1 FROM owner_turns o WHERE o.collection_id = c AND o.owner = owner_) THEN
      lane := owner_;
    END IF;
  END IF;
  PERFORM finish_v1(c, removed, moved, fresh, made, 0, cardinality(fresh) - dropped, cardinality(fresh), lane);
  RETURN QUERY SELECT * FROM jobs j WHERE j.job_id = job;
END $$;
