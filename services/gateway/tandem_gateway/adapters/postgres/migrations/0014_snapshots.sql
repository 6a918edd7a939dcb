-- Snapshots of indexes that gateways share. The files are outside of the database, at ``location``; a row says what they
-- must be. One gateway at a time builds and publishes.

-- "commit" and "mark" are of the last commit when it was published; see ``marks``. Whoever drops marks keeps these.
-- "sha256" is of the manifest, which has the checksums of the files.
CREATE TABLE snapshots (
  snapshot_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  space_id     bigint NOT NULL,
  position     bigint NOT NULL,  -- the last change in it
  unproven     bigint NOT NULL,
  store_id     text NOT NULL,
  commit       bigint NOT NULL,
  mark         uuid NOT NULL,
  description  text NOT NULL,    -- library, version and parameters
  manifest     text NOT NULL,
  sha256       text NOT NULL,
  bytes        bigint NOT NULL,
  count        bigint NOT NULL,
  location     text COLLATE "C" NOT NULL UNIQUE,
  published_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX snapshots_space ON snapshots (space_id, snapshot_id);

-- The last change at some times, so that removals of the last day can be told from older ones.
CREATE TABLE change_times (
  at     timestamptz NOT NULL,
  change bigint NOT NULL
);
CREATE INDEX change_times_at ON change_times (at);

-- Publish a snapshot whose files are complete. Return NULL, or why it was not published. ``commits`` and ``marks`` are
-- the last ones that the builder saw: if they are not of the store's history any more, neither is the snapshot.
CREATE FUNCTION publish_snapshot_v1(owner_ text, term_ bigint, space bigint, position_ bigint, unproven_ bigint,
                                    description_ text, manifest_ text, sha256_ text, bytes_ bigint, count_ bigint,
                                    location_ text, commits bigint[], marks_ uuid[]) RETURNS text LANGUAGE plpgsql
  SET enable_seqscan = off AS $$
DECLARE
  c bigint;
  forgotten bigint;
BEGIN
  IF NOT leads_v1('snapshots', owner_, term_) THEN
    RETURN 'another gateway builds now';
  END IF;
  SELECT s.collection_id INTO c FROM spaces s WHERE s.space_id = space AND s.state <> 'retired';
  -- Locked, so that no removals are forgotten that a follower of this snapshot needs.
  SELECT k.removal_floor INTO forgotten FROM collections k WHERE k.collection_id = c AND NOT k.removed FOR SHARE;
  IF NOT FOUND THEN
    RETURN 'its collection is gone';
  END IF;
  IF forgotten > position_ THEN
    RETURN 'it is older than the removals that the store remembers';
  END IF;
  PERFORM 1 FROM unnest(commits, marks_) AS u(commit, mark) LEFT JOIN marks m ON m.commit = u.commit
    WHERE m.mark IS DISTINCT FROM u.mark;
  IF FOUND THEN
    RETURN 'it is of another history than the store';
  END IF;
  INSERT INTO snapshots (space_id, position, unproven, store_id, commit, mark, description, manifest, sha256, bytes,
                         count, location)
    SELECT space, position_, unproven_, s.store_id, s.commits, s.mark, description_, manifest_, sha256_, bytes_, count_,
           location_ FROM store s;
  RETURN NULL;
END $$;

-- Drop the snapshots of spaces that are gone, and those that a newer one replaced more than ``kept_seconds`` ago, or that
-- are not among the newest ``most``. Return the locations of the others; NULL if the owner does not build any more.
CREATE FUNCTION tidy_snapshots_v1(owner_ text, term_ bigint, kept_seconds double precision, most integer) RETURNS text[]
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT leads_v1('snapshots', owner_, term_) THEN
    RETURN NULL;
  END IF;
  DELETE FROM snapshots n WHERE NOT EXISTS (SELECT 1 FROM spaces s WHERE s.space_id = n.space_id AND s.state <> 'retired');
  WITH placed AS (
    SELECT n.snapshot_id, row_number() OVER w AS place, lag(n.published_at) OVER w AS replaced_at
      FROM snapshots n WINDOW w AS (PARTITION BY n.space_id ORDER BY n.snapshot_id DESC))
  DELETE FROM snapshots n USING placed p WHERE p.snapshot_id = n.snapshot_id
    AND (p.place > most OR p.replaced_at < now() - make_interval(secs => kept_seconds));
  RETURN coalesce((SELECT array_agg(n.location) FROM snapshots n), '{}');
END $$;

-- As ``record_position_v1``. But removals stay, too, that are later than a published snapshot of the collection, or younger
-- than ``kept_seconds``: a gateway that was away loads a snapshot, and follows the changes since then.
CREATE FUNCTION record_position_v2(collection bigint, follower_ text, upto bigint, kept bigint,
                                   kept_seconds double precision) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
DECLARE
  floor_ bigint;
  old bigint;
  n bigint;
BEGIN
  PERFORM 1 FROM collections k WHERE k.collection_id = collection FOR UPDATE;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  INSERT INTO followers AS f (collection_id, follower, position) VALUES (collection, follower_, upto)
    ON CONFLICT (collection_id, follower) DO UPDATE SET position = greatest(f.position, excluded.position);
  SELECT least(min(f.position), (SELECT min(n.position) FROM snapshots n WHERE n.space_id = ANY (ARRAY(
           SELECT s.space_id FROM spaces s WHERE s.collection_id = collection))))
    INTO floor_ FROM followers f WHERE f.collection_id = collection;
  IF kept_seconds > 0 THEN
    INSERT INTO change_times SELECT now(), s.last_change FROM store s WHERE NOT EXISTS (
      SELECT 1 FROM change_times t WHERE t.at > now() - make_interval(secs => kept_seconds / 100));
    SELECT max(t.change) INTO old FROM change_times t WHERE t.at <= now() - make_interval(secs => kept_seconds);
    DELETE FROM change_times t WHERE t.change < old;
    floor_ := least(floor_, coalesce(old, 0));
  END IF;
  SELECT greatest(floor_, r.change) INTO old FROM removals r WHERE r.collection_id = collection
    ORDER BY r.change DESC LIMIT 1 OFFSET kept;
  floor_ := coalesce(old, floor_);
  UPDATE collections k SET removal_floor = floor_ WHERE k.collection_id = collection AND k.removal_floor < floor_;
  WITH gone AS (DELETE FROM removals r WHERE r.collection_id = collection AND r.change <= floor_ RETURNING 1)
    SELECT count(*) INTO n FROM gone;
  RETURN n;
END $$;

CREATE FUNCTION forget_removals_v2(space bigint, upto bigint, kept bigint, kept_seconds double precision) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  c bigint;
BEGIN
  SELECT s.collection_id INTO c FROM spaces s WHERE s.space_id = space AND s.state <> 'retired';
  RETURN CASE WHEN c IS NULL THEN 0 ELSE record_position_v2(c, 'space ' || space, upto, kept, kept_seconds) END;
END $$;
