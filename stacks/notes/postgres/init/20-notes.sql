CREATE TABLE notes (
    id uuid PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY (START WITH 1000 INCREMENT BY 5),
    body text NOT NULL,
    original oid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE visits (at timestamptz, "who?" text);  -- without a key, with equal rows
INSERT INTO visits SELECT 'epoch', 'nobody' FROM generate_series(1, 3);
CREATE SEQUENCE tickets AS integer MAXVALUE 500 CYCLE OWNED BY NONE;
SELECT setval('tickets', 42, false);
CREATE VIEW recent AS SELECT id, left(body, 20) AS beginning FROM notes ORDER BY at DESC LIMIT 10;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS visits FROM visits;
CREATE UNIQUE INDEX ON counted (visits);
CREATE FUNCTION first_word(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT split_part($1, ' ', 1)$$;
CREATE INDEX "by first word" ON notes (first_word(body));
GRANT SELECT, INSERT ON notes TO "notes app";
GRANT SELECT ON ALL TABLES IN SCHEMA public TO readers;
GRANT UPDATE ("who?") ON visits TO "Лена" WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readers;
REVOKE CONNECT ON DATABASE notes FROM PUBLIC;
GRANT CONNECT ON DATABASE notes TO "notes app", readers;
