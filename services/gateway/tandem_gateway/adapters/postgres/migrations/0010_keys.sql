-- The usage of API keys: ``KeyStore``. A day has at most ``most`` callers; those of further ones are added to ``others``.
CREATE FUNCTION add_usage_v1(days bigint[], callers text[], requests_ bigint[], tokens_ bigint[], documents_ bigint[],
                             most bigint, others text) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  u record;
  name text;
BEGIN
  PERFORM 1 FROM access FOR UPDATE;  -- one gateway after the other
  FOR u IN SELECT * FROM unnest(days, callers, requests_, tokens_, documents_) AS x(day, caller, requests, tokens, documents)
  LOOP
    name := u.caller;
    IF NOT EXISTS (SELECT 1 FROM usage g WHERE g.day = u.day AND g.caller = name)
        AND (SELECT count(*) FROM usage g WHERE g.day = u.day) >= most THEN
      name := others;
    END IF;
    INSERT INTO usage AS g (day, caller, requests, tokens, documents)
      VALUES (u.day, name, u.requests, u.tokens, u.documents)
      ON CONFLICT (day, caller) DO UPDATE SET requests = g.requests + excluded.requests,
        tokens = g.tokens + excluded.tokens, documents = g.documents + excluded.documents;
  END LOOP;
END $$;
