\connect "Журнал"
SET ROLE "notes app";
CREATE SCHEMA "Größe";
CREATE TYPE "Größe"."Farbe" AS ENUM ('grün', 'ro''t', '"blau"');
CREATE TABLE "Größe"."Таблица ""1""" ("Ключ" serial PRIMARY KEY, farbe "Größe"."Farbe", data jsonb, raw bytea);
INSERT INTO "Größe"."Таблица ""1""" (farbe, data, raw)
VALUES ('grün', '{"a": [1, null]}', '\x00ff5c'), ('ro''t', NULL, ''), ('"blau"', '"\\n"', NULL);
GRANT USAGE ON SCHEMA "Größe" TO readers;
SELECT lo_from_bytea(700001, '\x00010203ff');
GRANT SELECT ON LARGE OBJECT 700001 TO readers;
COMMENT ON LARGE OBJECT 700001 IS 'a picture';
