-- Work that one gateway at a time does for all. The term grows with each change of the owner; a write that only the owner
-- may make compares it, so that an owner that was away for a while changes nothing.
CREATE TABLE leaders (
  name  text PRIMARY KEY,
  owner text NOT NULL,
  term  bigint NOT NULL,
  until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Take or extend a work for some seconds, by the clock of the database. Return the term; NULL if another owner has it.
CREATE FUNCTION lead_term_v1(name_ text, owner_ text, seconds double precision) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  term_ bigint;
BEGIN
  INSERT INTO leaders AS l VALUES (name_, owner_, 1, clock_timestamp() + make_interval(secs => seconds))
    ON CONFLICT (name) DO UPDATE
      SET term = l.term + (l.owner <> excluded.owner)::integer, owner = excluded.owner, until = excluded.until
      WHERE l.owner = excluded.owner OR l.until < clock_timestamp()
    RETURNING l.term INTO term_;
  RETURN term_;
END $$;

-- Give a work back. The row stays, so that the term never counts from the beginning.
CREATE FUNCTION resign_v1(name_ text, owner_ text) RETURNS void LANGUAGE sql AS $$
  UPDATE leaders l SET until = '-infinity' WHERE l.name = name_ AND l.owner = owner_
$$;

-- Whether an owner has a work still, in this term. It cannot change before this transaction ends, and no other write of the
-- owner runs meanwhile, not even one whose answer was lost.
CREATE FUNCTION leads_v1(name_ text, owner_ text, term_ bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM leaders l WHERE l.name = name_ AND l.owner = owner_ AND l.term = term_ FOR UPDATE;
  RETURN FOUND;
END $$;
