-- Work that one gateway at a time does for all: who does it, until when by the clock of the database. The term grows with
-- each change of the owner.
CREATE TABLE leaders (
  name  text PRIMARY KEY,
  owner text NOT NULL,
  term  bigint NOT NULL,
  until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Take or extend the work for some seconds; false if another owner has it.
CREATE FUNCTION lead_v1(name_ text, owner_ text, seconds double precision) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO leaders AS l VALUES (name_, owner_, 1, now() + make_interval(secs => seconds))
    ON CONFLICT (name) DO UPDATE
      SET term = l.term + (l.owner <> excluded.owner)::integer, owner = excluded.owner, until = excluded.until
      WHERE l.owner = excluded.owner OR l.until < now();
  RETURN FOUND;
END $$;

-- Give the work back.
CREATE FUNCTION step_down_v1(name_ text, owner_ text) RETURNS void LANGUAGE sql AS $$
  DELETE FROM leaders l WHERE l.name = name_ AND l.owner = owner_
$$;
