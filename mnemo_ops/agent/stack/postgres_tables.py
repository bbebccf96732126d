"""Tables as a dump takes their rows and a restore gives them back, which is not always where and how they were."""

from __future__ import annotations

# what a dump has rows of: made by a user, or marked as his by an extension
OWN = """n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 AND NOT EXISTS (SELECT FROM pg_depend d LEFT JOIN pg_extension e ON e.oid = d.refobjid AND c.oid = ANY (e.extconfig)
  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e' AND e.oid IS NULL)"""

# where names without a schema are looked for: as the database says, then in every schema of it
PATH = r"""(SELECT concat_ws(', ', coalesce((SELECT substr(s, 13) FROM pg_db_role_setting
   JOIN pg_database ON pg_database.oid = setdatabase, unnest(setconfig) s
   WHERE setrole = 0 AND datname = current_database() AND s ~ '^search_path='), '"$user", public'),
  string_agg(quote_ident(nspname), ', ' ORDER BY nspname)) FROM pg_namespace
  WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')"""

# name, what is read, how a row is told, and the search path, for tables whose plan needs one.
# enums: a value's place among partitions by its hash is another one in each database, so a dump loads them through the
# table above. placed: a restored child has its parents' columns first, whatever was added when.
TABLES = (
    """WITH RECURSIVE enums AS (SELECT partrelid AS top FROM pg_partitioned_table WHERE partstrat = 'h'
  AND (SELECT o.oid FROM pg_opclass o JOIN pg_am a ON a.oid = opcmethod WHERE opcname = 'enum_ops'
   AND opcnamespace = 'pg_catalog'::regnamespace AND amname = 'hash') = ANY (partclass)),
 below AS (SELECT top, top AS id FROM enums
  UNION SELECT top, inhrelid FROM below JOIN pg_inherits ON inhparent = id),
 heirs AS (SELECT inhrelid, inhparent, inhseqno FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
  WHERE NOT relispartition),
 placed AS (SELECT attrelid AS id, attnum, attname AS name, ARRAY[1000000, attnum] AS place FROM pg_attribute
   WHERE attnum > 0 AND NOT attisdropped AND attinhcount = 0
   AND attrelid IN (SELECT inhrelid FROM heirs UNION SELECT inhparent FROM heirs)
  UNION ALL SELECT inhrelid, a.attnum, name, inhseqno || place FROM placed JOIN heirs ON inhparent = id
   JOIN pg_attribute a ON attrelid = inhrelid AND attname = name),
 ordered AS (SELECT id, array_agg(attnum ORDER BY place) AS numbers,
   string_agg(format('t.%I', name), ', ' ORDER BY place) AS columns
  FROM (SELECT id, attnum, name, min(place) AS place FROM placed GROUP BY 1, 2, 3) p GROUP BY id)
SELECT coalesce(json_agg(json_build_object('name', format('%I.%I', n.nspname, c.relname),
  'of', CASE relkind WHEN 'r' THEN 'ONLY ' ELSE '' END,
  'row', coalesce((SELECT columns FROM ordered o WHERE o.id = c.oid
   AND numbers <> (SELECT array_agg(u ORDER BY u) FROM unnest(numbers) u)), 't.*'),
  'path', CASE WHEN relkind = 'p' OR EXISTS (SELECT FROM pg_depend
    WHERE refclassid IN ('pg_proc'::regclass, 'pg_operator'::regclass) AND (classid, objid) IN (
     SELECT 'pg_class'::regclass, indexrelid FROM pg_index WHERE indrelid = c.oid
     UNION ALL SELECT 'pg_statistic_ext'::regclass, s.oid FROM pg_statistic_ext s WHERE stxrelid = c.oid))
   THEN """
    + PATH
    + """ ELSE 'pg_catalog' END) ORDER BY n.nspname, c.relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (relkind = 'r' AND c.oid NOT IN (SELECT id FROM below)
  OR c.oid IN (SELECT top FROM enums) AND c.oid NOT IN (SELECT id FROM below WHERE id <> top))
 AND """
    + OWN
    + ";"
)
