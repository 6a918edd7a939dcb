-- What gateways that share the store tell each other: ``SharedState``. Times are seconds since the epoch, of the
-- database's clock.

-- "freed" tells that the leases of a gateway that was not seen any more have ended.
CREATE TABLE gateways (
  gateway    text COLLATE "C" PRIMARY KEY,
  host       text NOT NULL,
  release    text NOT NULL,
  started_at double precision NOT NULL,
  seen_at    double precision NOT NULL,
  freed      boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- The shares of the canary; no row while nobody has changed those of the settings.
CREATE TABLE traffic (
  one            boolean PRIMARY KEY DEFAULT true CHECK (one),
  version        bigint NOT NULL,
  canary_weight  integer NOT NULL,
  shadow_percent integer NOT NULL,
  roll_back      text
);

-- End the leases of some gateways; each counts as an attempt, because its texts may be what ended the gateway.
CREATE FUNCTION free_gateways_v1(gateways_ text[]) RETURNS void LANGUAGE plpgsql SET enable_mergejoin = off AS $$
DECLARE
  leased bigint[];
BEGIN
  SELECT array_agg(l.passage_id) INTO leased
    FROM (SELECT p.passage_id FROM pending p WHERE p.worker = ANY (gateways_) ORDER BY p.passage_id
            FOR UPDATE SKIP LOCKED) l;
  UPDATE pending p SET worker = NULL, lease_until = 0, attempts = p.attempts + 1 WHERE p.passage_id = ANY (leased);
END $$;

-- Note that a gateway lives, end the leases of those that were not seen for ``alive`` seconds, and return how many live.
CREATE FUNCTION beat_v1(gateway_ text, host_ text, release_ text, alive double precision, kept double precision)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  now_ double precision := clock_v1(NULL);
  dead text[];
BEGIN
  INSERT INTO gateways AS g (gateway, host, release, started_at, seen_at)
    VALUES (gateway_, host_, release_, now_, now_)
    ON CONFLICT (gateway) DO UPDATE SET seen_at = now_, freed = false;
  WITH ended AS (
    SELECT g.gateway FROM gateways g WHERE g.seen_at < now_ - alive AND NOT g.freed ORDER BY g.gateway
      FOR UPDATE SKIP LOCKED),
  marked AS (
    UPDATE gateways g SET freed = true FROM ended e WHERE g.gateway = e.gateway RETURNING g.gateway)
  SELECT array_agg(m.gateway) INTO dead FROM marked m;
  IF dead IS NOT NULL THEN
    PERFORM free_gateways_v1(dead);
  END IF;
  DELETE FROM gateways g WHERE g.freed AND g.seen_at < now_ - kept;
  RETURN (SELECT count(*) FROM gateways g WHERE g.seen_at >= now_ - alive);
END $$;

-- Note that a gateway stops.
CREATE FUNCTION leave_v1(gateway_ text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM free_gateways_v1(ARRAY[gateway_]);
  DELETE FROM gateways g WHERE g.gateway = gateway_;
END $$;

-- Set the shares, and return their version; NULL if ``expected`` is given and is not the version before. It is 0 while
-- there are none.
CREATE FUNCTION set_traffic_v1(expected bigint, weight integer, shadow integer, roll_back_ text)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  made bigint;
BEGIN
  INSERT INTO traffic AS t (version, canary_weight, shadow_percent) VALUES (0, 0, 0) ON CONFLICT (one) DO NOTHING;
  UPDATE traffic t
    SET version = t.version + 1, canary_weight = weight, shadow_percent = coalesce(shadow, t.shadow_percent),
        roll_back = coalesce(roll_back_, t.roll_back)
    WHERE expected IS NULL OR t.version = expected
    RETURNING t.version INTO made;
  RETURN made;
END $$;
