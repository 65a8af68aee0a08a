-- An audit trail for ordinary tables: who changed which row, from what to what, when and why. Attached with one call,
--   SELECT audit.attach('public.products', masked => '{cost}', excluded => '{search}');
-- from then on every INSERT, UPDATE, DELETE and TRUNCATE leaves its rows here in the same SQL transaction, whoever runs it. It stands on
-- its own: nothing here reads the ledger. libs/audit-trail/README.md tells how to use it.
--
-- Triggers are FOR EACH STATEMENT with transition tables, so a statement about a million rows costs one INSERT ... SELECT. They run with
-- the rights of audit_trail_owner, and nobody else may write here. When a change was seen by others is known only at commit: a deferred
-- trigger keeps that moment once per transaction.
--
-- What it cannot tell: NULL from the null of jsonb, 1.0 from 1.00, spaces in json; changes that logical replication applies, which fires no
-- triggers for statements; rows that go with DETACH PARTITION. audit.differences finds those of the last two.
--
-- audit_trail_owner owns nothing else: its triggers read the tables of others, and what could be wrong with them must not reach the log.
DO $$
BEGIN
  BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'audit_trail_owner') THEN
      CREATE ROLE audit_trail_owner NOLOGIN;
    END IF;
  EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of this server is being migrated at the same moment
  END;
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    EXECUTE format('GRANT audit_trail_owner TO %I', current_user);
  END IF;
END
$$;
CREATE SCHEMA audit AUTHORIZATION audit_trail_owner;
SET LOCAL ROLE audit_trail_owner;
GRANT USAGE ON SCHEMA audit TO PUBLIC;

-- What is watched, and how. relation follows renames, and a dump and restore. Of a partitioned table it is the root. columns: which it had
-- when its rows were recorded, with their types.
CREATE TABLE audit.tables (
  id          integer GENERATED ALWAYS AS IDENTITY,
  relation    regclass NOT NULL,
  key_columns text[] NOT NULL,
  excluded    text[] NOT NULL,
  masked      text[] NOT NULL,
  demanded    text[] NOT NULL,
  columns     jsonb NOT NULL,
  is_attached boolean NOT NULL,
  CONSTRAINT tables_pkey PRIMARY KEY (id)
);
CREATE UNIQUE INDEX tables_relation ON audit.tables ((relation::oid));
-- Owners of tables attach them; what this says of others is no secret, as in pg_catalog.
GRANT SELECT ON audit.tables TO PUBLIC;

-- Who acts in an SQL transaction: one row for each that changes anything, a further one when it says in between that somebody else acts.
-- number is given when it first changes something, and is no order of commits.
CREATE TABLE audit.transactions (
  number   bigint GENERATED ALWAYS AS IDENTITY,
  xid      xid8 NOT NULL,
  began_at timestamptz NOT NULL,
  login    text NOT NULL,
  actor    text,
  ip       text,
  agent    text,
  reason   text,
  CONSTRAINT transactions_pkey PRIMARY KEY (number)
);
CREATE INDEX transactions_xid ON audit.transactions (xid);

-- When it committed, by the clock of the server right before.
CREATE TABLE audit.commits (
  number       bigint NOT NULL,
  committed_at timestamptz NOT NULL,
  CONSTRAINT commits_pkey PRIMARY KEY (number)
);

-- Those that seemed to commit and were perhaps only told SET CONSTRAINTS ALL IMMEDIATE: looked at again at the end. Nobody reads it.
CREATE TABLE audit.commits_delayed (
  number   bigint NOT NULL,
  asked_at timestamptz NOT NULL
);

-- Changes of rows. seq orders the changes of one row, because its lock is held until commit; between rows it says nothing. Statements are
-- recorded when they end, and so those of a trigger that a statement fired come before it: then before is the change that it precedes
-- nevertheless. That is the order coalesce(before, seq), before NULLS LAST, depth, seq. depth: 1, more in triggers of triggers.
--   SNAPSHOT         new: the row as it was when the table was attached
--   INSERT           new: the row
--   UPDATE           old, new: the columns that changed; without any when none did
--   DELETE           old: the row
--   TRUNCATE         old: the row; without row_key the statement itself, new: {"rows": n}
--   ATTACH, DETACH   of the table, without row_key; new: how it is watched
-- An UPDATE of key columns is a DELETE under the old key and an INSERT under the new one.
CREATE TABLE audit.changes (
  seq        bigint GENERATED ALWAYS AS IDENTITY,
  number     bigint NOT NULL,
  changed_at timestamptz NOT NULL,
  table_id   integer NOT NULL,
  operation  text COLLATE "C" NOT NULL,
  row_key    jsonb,
  old        jsonb,
  new        jsonb,
  before     bigint,
  depth      integer NOT NULL,
  CONSTRAINT changes_pkey PRIMARY KEY (seq),
  CONSTRAINT changes_operation CHECK (operation IN ('SNAPSHOT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ATTACH', 'DETACH'))
);
CREATE INDEX changes_row ON audit.changes (table_id, row_key, seq);
CREATE INDEX changes_number ON audit.changes (number, seq);

-- Says who acts, until the SQL transaction ends: opaque ids rather than names, as in events. Whoever connects is known without it.
CREATE FUNCTION audit.act_as(actor text, reason text DEFAULT NULL, ip text DEFAULT NULL, agent text DEFAULT NULL) RETURNS void
LANGUAGE sql
AS $$
  SELECT pg_catalog.set_config('audit.actor', coalesce(actor, ''), true), pg_catalog.set_config('audit.reason', coalesce(reason, ''), true),
         pg_catalog.set_config('audit.ip', coalesce(ip, ''), true), pg_catalog.set_config('audit.agent', coalesce(agent, ''), true)
$$;

-- The row of audit.transactions for whoever acts now; made when there is none. demanded: what must be said, actor or reason.
CREATE FUNCTION audit.enter(p_table regclass, p_demanded text[]) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_actor  text := nullif(current_setting('audit.actor', true), '');
  v_reason text := nullif(current_setting('audit.reason', true), '');
  v_ip     text := coalesce(nullif(current_setting('audit.ip', true), ''), host(inet_client_addr()));
  v_agent  text := coalesce(nullif(current_setting('audit.agent', true), ''), nullif(current_setting('application_name', true), ''));
  v_number bigint;
BEGIN
  IF (v_actor IS NULL AND 'actor' = ANY (p_demanded)) OR (v_reason IS NULL AND 'reason' = ANY (p_demanded)) THEN
    RAISE EXCEPTION '% is changed only by those who say %', p_table, array_to_string(p_demanded, ' and ')
      USING ERRCODE = 'BK011', HINT = 'SELECT audit.act_as(actor, reason) in the same SQL transaction first';
  END IF;
  -- The moment of BEGIN tells transactions apart whose numbers are the same because the database was moved to another server.
  SELECT t.number INTO v_number FROM audit.transactions t
   WHERE t.xid = pg_current_xact_id() AND t.began_at = now() AND t.login = session_user
     AND t.actor IS NOT DISTINCT FROM v_actor AND t.reason IS NOT DISTINCT FROM v_reason
     AND t.ip IS NOT DISTINCT FROM v_ip AND t.agent IS NOT DISTINCT FROM v_agent
   LIMIT 1;
  IF v_number IS NULL THEN
    INSERT INTO audit.transactions (xid, began_at, login, actor, ip, agent, reason)
    VALUES (pg_current_xact_id(), now(), session_user, v_actor, v_ip, v_agent, v_reason)
    RETURNING number INTO v_number;
  END IF;
  RETURN v_number;
END
$$;

-- SET CONSTRAINTS ALL IMMEDIATE fires this before its time, and nothing tells the two apart. What surely is the end is noted; whatever else is
-- looked at again, until nothing was said by the client in between.
CREATE FUNCTION audit.note_commit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_ends boolean;
BEGIN
  IF TG_TABLE_NAME = 'commits_delayed' THEN
    v_ends := NEW.asked_at = statement_timestamp();
  ELSE
    v_ends := pg_trigger_depth() = 1 AND current_query() !~* 'constraints'
      AND current_query() ~* '^\s*(commit|end|insert|update|delete|merge|with|copy|truncate)\M';
  END IF;
  IF v_ends THEN
    INSERT INTO audit.commits (number, committed_at) VALUES (NEW.number, clock_timestamp());
  ELSE
    SET CONSTRAINTS audit.transactions_commit, audit.commits_delayed_commit DEFERRED;
    INSERT INTO audit.commits_delayed (number, asked_at) VALUES (NEW.number, statement_timestamp());
  END IF;
  RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER transactions_commit AFTER INSERT ON audit.transactions
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit.note_commit();
CREATE CONSTRAINT TRIGGER commits_delayed_commit AFTER INSERT ON audit.commits_delayed
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit.note_commit();
-- Also where session_replication_role is replica.
ALTER TABLE audit.transactions ENABLE ALWAYS TRIGGER transactions_commit;
ALTER TABLE audit.commits_delayed ENABLE ALWAYS TRIGGER commits_delayed_commit;

-- What stands for the values of masked columns: that they changed is told, not to what.
CREATE FUNCTION audit.mask(p_masked text[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$ SELECT coalesce(jsonb_object_agg(m, '[masked]'), '{}') FROM unnest(p_masked) AS m $$;

-- Whether to_jsonb tells the rows of a table. It runs casts to json that others may have made for types of theirs, with the rights of whoever
-- asks, which here are those of the owner of this schema. And transition tables have no virtual generated columns, which are not told.
CREATE FUNCTION audit.is_plain(p_table regclass) RETURNS boolean
LANGUAGE sql STABLE
AS $$
  SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = p_table AND a.attnum > 0 AND (a.atttypid >= 16384 OR a.attgenerated = 'v'))
$$;


-- An expression for the row of a table as jsonb. Values of types that PostgreSQL does not bring are told by their texts, arrays of them too;
-- jsonb_populate_record reads them.
CREATE FUNCTION audit.row_expression(p_table regclass, p_alias text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
BEGIN
  IF audit.is_plain(p_table) THEN
    RETURN format('to_jsonb(%s.*)', p_alias);
  END IF;
  RETURN (
    WITH RECURSIVE known AS (
      SELECT a.attnum, quote_ident(a.attname) AS name, a.atttypid AS type
        FROM pg_attribute a WHERE a.attrelid = p_table AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
      UNION ALL
      SELECT k.attnum, k.name, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END
        FROM known k JOIN pg_type t ON t.oid = k.type
       WHERE k.type >= 16384 AND (t.typtype = 'd' OR t.typsubscript = 'array_subscript_handler'::regproc)
    ), told AS (
      SELECT k.attnum, k.name, p_alias || '.' || k.name AS field, min(k.type) < 16384 AS is_plain FROM known k GROUP BY k.attnum, k.name
    )
    SELECT '(SELECT to_jsonb(u.*) FROM (SELECT '
      || string_agg(CASE WHEN is_plain THEN field ELSE 'CASE WHEN num_nulls(' || field || ') = 0 THEN format(''%s'', ' || field || ') END AS ' || name END, ', ' ORDER BY attnum)
      || ' OFFSET 0) AS u)'
      FROM told);
END
$$;

-- An expression for the key in such a row.
CREATE FUNCTION audit.key_expression(p_key text[], p_row text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_parts text := '';
  v_name  text;
BEGIN
  FOREACH v_name IN ARRAY p_key LOOP
    v_parts := v_parts || format(', %1$L, %2$s -> %1$L', v_name, p_row);
  END LOOP;
  RETURN format('jsonb_build_object(%s)', substr(v_parts, 3));
END
$$;

-- What is known of the table of a trigger. Fails where a column was renamed or dropped that the trail depends on: a key that is missing would
-- mix up rows, and what is not excluded under its new name would be told.
CREATE FUNCTION audit.known(p_table regclass) RETURNS audit.tables
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_table audit.tables;
  v_names name[];
BEGIN
  SELECT * INTO v_table FROM audit.tables t WHERE t.relation::oid = coalesce(pg_partition_root(p_table), p_table)::oid AND t.is_attached;
  IF v_table.id IS NULL THEN
    RAISE EXCEPTION '% has triggers of the audit trail and is not audited', p_table
      USING ERRCODE = 'BK010', HINT = format('SELECT audit.attach(%L), or audit.detach(%L), which removes them', p_table::text, p_table::text);
  END IF;
  v_names := v_table.key_columns || v_table.excluded || v_table.masked;
  IF cardinality(v_names) <> (SELECT count(*) FROM pg_attribute a WHERE a.attrelid = p_table AND a.attname = ANY (v_names) AND a.attnum > 0 AND NOT a.attisdropped) THEN
    RAISE EXCEPTION '% has no longer all of the columns that its audit trail depends on: %', p_table, array_to_string(v_names, ', ')
      USING ERRCODE = 'BK010', HINT = 'attach it again with those that it has; for another key detach it before, in the same SQL transaction';
  END IF;
  RETURN v_table;
END
$$;

-- The change of a row that this one precedes although it is recorded later. p_old: the whole row before this one.
--   Statements of triggers end before the statement that fired them, and parts of one statement (WITH d AS (DELETE …) INSERT …) may end in
--   another order than they began. What was recorded meanwhile comes after this one unless it fits the other way round: the first of them on
--   the row as it was before, and this one on what the last of them left.
CREATE FUNCTION audit.place(p_table_id integer, p_key jsonb, p_operation text, p_old jsonb) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_one   record;
  v_first record;
  v_last  record;
  v_state jsonb;
  v_near  text[] := '{}';
  v_there boolean;
BEGIN
  SELECT c.operation, c.depth, c.before INTO v_one
    FROM audit.changes c WHERE c.table_id = p_table_id AND c.row_key = p_key ORDER BY c.seq DESC LIMIT 1;
  IF v_one IS NULL OR (v_one.before IS NULL AND v_one.depth <= pg_trigger_depth() AND NOT (p_operation = 'DELETE' AND v_one.operation = 'INSERT')) THEN
    RETURN NULL;
  END IF;
  -- Backwards over the key's changes: those of deeper triggers within what the client said last, and then as far as it takes to know how the
  -- first of them should have met the row; 100, so that rows with a long history cost no more than others.
  FOR v_one IN
    SELECT c.operation, c.old, c.new, c.depth, coalesce(c.before, c.seq) AS place,
           x.xid = pg_current_xact_id() AND x.began_at = now() AND c.changed_at >= statement_timestamp() AS is_near
      FROM (SELECT * FROM audit.changes c WHERE c.table_id = p_table_id AND c.row_key = p_key ORDER BY c.seq DESC LIMIT 100) AS c
      JOIN audit.transactions x ON x.number = c.number
     ORDER BY coalesce(c.before, c.seq) DESC, c.before DESC NULLS FIRST, c.depth DESC, c.seq DESC
  LOOP
    IF v_state IS NULL AND v_one.is_near
      AND (v_one.depth > pg_trigger_depth() OR (v_one.depth = pg_trigger_depth() AND p_operation = 'DELETE' AND v_one.operation = 'INSERT'))
    THEN
      v_first := v_one;
      v_last := coalesce(v_last, v_one);
      v_near := ARRAY[v_one.operation, v_one.place::text] || v_near;
      CONTINUE;
    END IF;
    EXIT WHEN v_first IS NULL OR (v_state IS NULL AND v_one.operation IN ('DELETE', 'TRUNCATE'));
    v_state := v_one.new || coalesce(v_state, '{}');
    EXIT WHEN v_one.operation <> 'UPDATE' OR v_first.old IS NULL OR v_state ?& ARRAY (SELECT jsonb_object_keys(v_first.old));
  END LOOP;
  IF v_first IS NULL THEN
    RETURN NULL;
  ELSIF NOT (CASE v_first.operation WHEN 'INSERT' THEN v_state IS NULL ELSE coalesce(v_state @> v_first.old, false) END) THEN
    RETURN v_first.place;
  END IF;
  -- Between them, as where a trigger BEFORE INSERT took away the row that had the key, and another one AFTER INSERT changed the new one.
  FOR i IN 1 .. cardinality(v_near) / 2 LOOP
    IF (v_near[2 * i - 1] = 'INSERT') = v_there THEN
      RETURN v_near[2 * i];
    END IF;
    v_there := v_near[2 * i - 1] NOT IN ('DELETE', 'TRUNCATE');
  END LOOP;
  IF (CASE WHEN v_last.operation IN ('DELETE', 'TRUNCATE') THEN p_operation = 'INSERT' ELSE coalesce(p_old @> v_last.new, false) END) THEN
    RETURN NULL;
  END IF;
  RETURN v_first.place;
END
$$;

-- The rows of a cursor.
CREATE FUNCTION audit.fetched(p_cursor refcursor) RETURNS SETOF jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  v_row jsonb;
BEGIN
  LOOP
    FETCH p_cursor INTO v_row;
    EXIT WHEN NOT FOUND;
    RETURN NEXT v_row;
  END LOOP;
END
$$;

-- The triggers. The settings are those that the texts of dates, bytes, intervals, numbers and money depend on. Its statements are planned once
-- a session and table; where a type is not PostgreSQL's own, a cursor makes the rows.
CREATE FUNCTION audit.record_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp
SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C' SET jit = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
  v_table  audit.tables;
  v_number bigint;
  v_mask   jsonb;
  v_plain  boolean;
  v_nested boolean;
  v_paired boolean;
  v_old    refcursor;
  v_new    refcursor;
BEGIN
  -- Only by its own triggers: without transition tables these names would be those of tables or views of whoever made it.
  IF NOT EXISTS (
    SELECT FROM pg_trigger g
     WHERE g.tgrelid = TG_RELID AND g.tgname = TG_NAME AND TG_NAME = 'audit_' || lower(TG_OP) AND TG_WHEN = 'AFTER' AND TG_LEVEL = 'STATEMENT'
       AND (TG_OP = 'INSERT' OR g.tgoldtable = 'old_rows') AND (TG_OP = 'DELETE' OR g.tgnewtable = 'new_rows'))
  THEN
    RAISE EXCEPTION 'trigger % of % is none that audit.attach makes', TG_NAME, TG_RELID::regclass
      USING ERRCODE = 'BK010', HINT = format('DROP TRIGGER %I ON %s', TG_NAME, TG_RELID::regclass);
  END IF;
  IF TG_OP = 'INSERT' THEN
    IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
  ELSIF NOT EXISTS (SELECT FROM old_rows) THEN
    RETURN NULL;
  END IF;
  v_table := audit.known(TG_RELID);
  v_number := audit.enter(v_table.relation, v_table.demanded);
  v_mask := audit.mask(v_table.masked);
  -- Whether anything was recorded since the client said something, so that its order must be looked at.
  v_nested := EXISTS (
    SELECT FROM audit.transactions x
     CROSS JOIN LATERAL (SELECT c.changed_at FROM audit.changes c WHERE c.number = x.number ORDER BY c.seq DESC LIMIT 1) AS c
     WHERE x.xid = pg_current_xact_id() AND x.began_at = now() AND c.changed_at >= statement_timestamp());
  v_plain := audit.is_plain(TG_RELID);
  IF NOT v_plain AND TG_OP <> 'INSERT' THEN
    OPEN v_old NO SCROLL FOR EXECUTE format('SELECT %s FROM old_rows AS o', audit.row_expression(TG_RELID, 'o'));
  END IF;
  IF NOT v_plain AND TG_OP <> 'DELETE' THEN
    OPEN v_new NO SCROLL FOR EXECUTE format('SELECT %s FROM new_rows AS n', audit.row_expression(TG_RELID, 'n'));
  END IF;
  IF TG_OP = 'INSERT' THEN
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, new, before, depth)
    SELECT v_number, clock_timestamp(), v_table.id, 'INSERT', n.key, n.r || v_mask,
           CASE WHEN v_nested THEN audit.place(v_table.id, n.key, 'INSERT', NULL) END, pg_trigger_depth()
      FROM (SELECT r.r, row_number() OVER () AS nth, (SELECT jsonb_object_agg(k, r.r -> k) FROM unnest(v_table.key_columns) AS k) AS key
              FROM (SELECT r.r - v_table.excluded AS r
                      FROM (SELECT to_jsonb(n.*) AS r FROM new_rows AS n WHERE v_plain UNION ALL SELECT f FROM audit.fetched(v_new) AS f WHERE NOT v_plain) AS r
                    OFFSET 0) AS r) AS n;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, before, depth)
    SELECT v_number, clock_timestamp(), v_table.id, 'DELETE', o.key, o.r || v_mask,
           CASE WHEN v_nested THEN audit.place(v_table.id, o.key, 'DELETE', o.r || v_mask) END, pg_trigger_depth()
      FROM (SELECT r.r, row_number() OVER () AS nth, (SELECT jsonb_object_agg(k, r.r -> k) FROM unnest(v_table.key_columns) AS k) AS key
              FROM (SELECT r.r - v_table.excluded AS r
                      FROM (SELECT to_jsonb(o.*) AS r FROM old_rows AS o WHERE v_plain UNION ALL SELECT f FROM audit.fetched(v_old) AS f WHERE NOT v_plain) AS r
                    OFFSET 0) AS r) AS o;
  ELSE
    -- Both tables have the rows in the order in which they were changed, some twice where foreign keys did it, and this is the order in which a
    -- key was left by one and taken by another. Only where a trigger refused rows on their way to another partition, there are fewer new ones.
    v_paired := (SELECT count(*) FROM old_rows) = (SELECT count(*) FROM new_rows);
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, new, before, depth)
    SELECT v_number, clock_timestamp(), v_table.id, w.operation, w.key,
           CASE w.operation WHEN 'DELETE' THEN o.r || v_mask WHEN 'UPDATE' THEN d.old END,
           CASE w.operation WHEN 'INSERT' THEN n.r || v_mask WHEN 'UPDATE' THEN d.new END,
           CASE WHEN v_nested THEN audit.place(v_table.id, w.key, w.operation, CASE WHEN w.operation <> 'INSERT' THEN o.r || v_mask END) END, pg_trigger_depth()
      FROM (SELECT r.*, CASE WHEN v_paired THEN to_jsonb(r.nth) ELSE r.key END AS pair
              FROM (SELECT r.r, row_number() OVER () AS nth, (SELECT jsonb_object_agg(k, r.r -> k) FROM unnest(v_table.key_columns) AS k) AS key
              FROM (SELECT r.r - v_table.excluded AS r
                      FROM (SELECT to_jsonb(o.*) AS r FROM old_rows AS o WHERE v_plain UNION ALL SELECT f FROM audit.fetched(v_old) AS f WHERE NOT v_plain) AS r
                    OFFSET 0) AS r) AS r) AS o
      FULL JOIN (SELECT r.*, CASE WHEN v_paired THEN to_jsonb(r.nth) ELSE r.key END AS pair
              FROM (SELECT r.r, row_number() OVER () AS nth, (SELECT jsonb_object_agg(k, r.r -> k) FROM unnest(v_table.key_columns) AS k) AS key
              FROM (SELECT r.r - v_table.excluded AS r
                      FROM (SELECT to_jsonb(n.*) AS r FROM new_rows AS n WHERE v_plain UNION ALL SELECT f FROM audit.fetched(v_new) AS f WHERE NOT v_plain) AS r
                    OFFSET 0) AS r) AS r) AS n USING (pair)
     CROSS JOIN LATERAL (VALUES ('DELETE', o.key), ('INSERT', n.key), ('UPDATE', n.key)) AS w (operation, key)
      LEFT JOIN LATERAL (SELECT coalesce(jsonb_object_agg(e.key, coalesce(v_mask -> e.key, o.r -> e.key)), '{}') AS old,
                                coalesce(jsonb_object_agg(e.key, coalesce(v_mask -> e.key, e.value)), '{}') AS new
                           FROM jsonb_each(n.r) AS e WHERE o.r -> e.key IS DISTINCT FROM e.value) AS d ON w.operation = 'UPDATE'
     WHERE w.key IS NOT NULL AND (w.operation = 'UPDATE') = (o.key IS NOT DISTINCT FROM n.key)
     ORDER BY coalesce(o.nth, n.nth), w.operation;
  END IF;
  IF v_old IS NOT NULL THEN CLOSE v_old; END IF;
  IF v_new IS NOT NULL THEN CLOSE v_new; END IF;
  RETURN NULL;
END
$$;

-- TRUNCATE is told with every row that it takes away, because afterwards nothing else could say what they were. Where policies would hide
-- some of them, it fails.
CREATE FUNCTION audit.record_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp SET row_security = off
SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C' SET jit = off
AS $$
DECLARE
  v_table  audit.tables := audit.known(TG_RELID);
  v_number bigint;
  v_rows   bigint := 0;
BEGIN
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION 'TRUNCATE of %, which is audited, is refused in a transaction that may not see all rows that it takes away', v_table.relation
      USING ERRCODE = 'BK012', HINT = 'do it in READ COMMITTED, or DELETE';
  END IF;
  v_number := audit.enter(v_table.relation, v_table.demanded);
  -- Partitions are truncated with their root, and each tells of its own rows.
  IF (SELECT c.relkind FROM pg_class c WHERE c.oid = TG_RELID) <> 'p' THEN
    EXECUTE format('
      INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, depth)
      SELECT $1, clock_timestamp(), $2, ''TRUNCATE'', %s, r.r || $4, $5
        FROM (SELECT %s - $3 AS r FROM ONLY %s AS o OFFSET 0) AS r',
      audit.key_expression(v_table.key_columns, 'r.r'), audit.row_expression(TG_RELID, 'o'), TG_RELID::regclass)
      USING v_number, v_table.id, v_table.excluded, audit.mask(v_table.masked), pg_trigger_depth();
    GET DIAGNOSTICS v_rows = ROW_COUNT;
  END IF;
  INSERT INTO audit.changes (number, changed_at, table_id, operation, new, depth)
  VALUES (v_number, clock_timestamp(), v_table.id, 'TRUNCATE', jsonb_build_object('relation', TG_RELID::regclass::text, 'rows', v_rows), pg_trigger_depth());
  RETURN NULL;
END
$$;

-- The columns of a table with their types.
CREATE FUNCTION audit.columns_of(p_table regclass) RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT coalesce(jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)), '{}')
    FROM pg_attribute a WHERE a.attrelid = p_table AND a.attnum > 0 AND NOT a.attisdropped
$$;

-- Fails where a table cannot be audited. Also what keeps code of others away from the rights with which its rows are read: views are none.
CREATE FUNCTION audit.refuse_unfit(p_table regclass) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_class pg_class;
BEGIN
  SELECT * INTO v_class FROM pg_class c WHERE c.oid = p_table;
  IF v_class.relispartition THEN
    RAISE EXCEPTION '% is a partition; attach its root %', p_table, pg_partition_root(p_table) USING ERRCODE = 'BK010';
  ELSIF v_class.relkind IS NULL OR v_class.relkind NOT IN ('r', 'p') OR v_class.relpersistence = 't'
    OR v_class.relnamespace IN (SELECT n.oid FROM pg_namespace n WHERE n.nspname IN ('pg_catalog', 'information_schema', 'audit', 'log'))
  THEN
    RAISE EXCEPTION '% cannot be audited: it is no ordinary or partitioned table of yours', p_table USING ERRCODE = 'BK010';
  ELSIF EXISTS (SELECT FROM pg_inherits i WHERE (i.inhparent = v_class.oid AND v_class.relkind = 'r') OR (i.inhrelid = v_class.oid)) THEN
    RAISE EXCEPTION '% cannot be audited: it is inherited from or by another table; use partitions', p_table USING ERRCODE = 'BK010';
  ELSIF EXISTS (SELECT FROM pg_partition_tree(p_table) p JOIN pg_class c ON c.oid = p.relid WHERE c.relkind = 'f') THEN
    RAISE EXCEPTION '% cannot be audited: a partition of it is a foreign table', p_table USING ERRCODE = 'BK010';
  END IF;
END
$$;

-- Notes how a table is watched, and that it is; p_snapshot: with the rows that are there as its first state. Returns their number.
-- Called by attach and detach; runs with the rights of the owner of this schema, for whoever owns the table.
CREATE FUNCTION audit.watch(p_table regclass, p_key text[], p_excluded text[], p_masked text[], p_demanded text[], p_attached boolean, p_snapshot boolean) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp SET row_security = off
SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C' SET jit = off
AS $$
DECLARE
  v_id     integer;
  v_number bigint;
  v_rows   bigint;
BEGIN
  IF NOT pg_has_role(coalesce(nullif(current_setting('role'), 'none'), session_user), (SELECT c.relowner FROM pg_class c WHERE c.oid = p_table), 'MEMBER') THEN
    RAISE EXCEPTION '% belongs to somebody else: only its owner decides whether it is audited', p_table USING ERRCODE = 'insufficient_privilege';
  END IF;
  IF p_attached THEN
    PERFORM audit.refuse_unfit(p_table);
    IF row_security_active(p_table) THEN
      RAISE EXCEPTION '% has row-level security, which hides its rows from the audit trail', p_table
        USING ERRCODE = 'BK010', HINT = 'as a superuser: ALTER ROLE audit_trail_owner BYPASSRLS';
    END IF;
  END IF;
  v_number := audit.enter(p_table, '{}');
  INSERT INTO audit.tables AS t (relation, key_columns, excluded, masked, demanded, columns, is_attached)
  VALUES (p_table, p_key, p_excluded, p_masked, p_demanded, audit.columns_of(p_table), p_attached)
  ON CONFLICT ((relation::oid)) DO UPDATE
     SET key_columns = p_key, excluded = p_excluded, masked = p_masked, demanded = p_demanded, columns = excluded.columns, is_attached = p_attached
  RETURNING t.id INTO v_id;
  INSERT INTO audit.changes (number, changed_at, table_id, operation, new, depth)
  VALUES (v_number, clock_timestamp(), v_id, CASE WHEN p_attached THEN 'ATTACH' ELSE 'DETACH' END,
          jsonb_build_object('table', p_table::text, 'key', p_key, 'excluded', p_excluded, 'masked', p_masked, 'demanded', p_demanded), pg_trigger_depth());
  IF NOT (p_snapshot AND p_attached) THEN
    RETURN 0;
  END IF;
  EXECUTE format('
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, new, depth)
    SELECT $1, clock_timestamp(), $2, ''SNAPSHOT'', %s, r.r || $4, $5
      FROM (SELECT %s - $3 AS r FROM %s AS n OFFSET 0) AS r', audit.key_expression(p_key, 'r.r'), audit.row_expression(p_table, 'n'), p_table)
    USING v_number, v_id, p_excluded, audit.mask(p_masked), pg_trigger_depth();
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  RETURN v_rows;
END
$$;

-- Which triggers a table and its partitions should have, and whether they fire.
--   audit_routed does nothing. Where rows are inserted by way of a partitioned table that has no BEFORE INSERT trigger, PostgreSQL (15 to 18) has
--   transition tables with the row as it was before it went to its partition: without its generated columns, and after an INSERT of a MERGE also
--   in place of rows that the MERGE updates (MakeTransitionCaptureState, tcs_original_insert_tuple). Partitions inherit it.
CREATE FUNCTION audit.coverage() RETURNS TABLE (relation regclass, "trigger" text, event text, fires boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT m.relid, w.name, w.event, coalesce(g.tgenabled = 'A', false)
    FROM audit.tables t
    JOIN pg_class c ON c.oid = t.relation::oid
   CROSS JOIN LATERAL (SELECT coalesce(p.relid, t.relation) AS relid FROM (SELECT 1) AS one LEFT JOIN pg_partition_tree(t.relation) AS p ON true) AS m
   CROSS JOIN (VALUES ('audit_insert', 'INSERT'), ('audit_update', 'UPDATE'), ('audit_delete', 'DELETE'), ('audit_truncate', 'TRUNCATE'), ('audit_routed', 'INSERT'))
           AS w (name, event)
    LEFT JOIN pg_trigger g ON g.tgrelid = m.relid::oid AND g.tgname = w.name
     AND g.tgfoid = (CASE w.event WHEN 'TRUNCATE' THEN 'audit.record_truncate()' ELSE 'audit.record_change()' END)::regprocedure
     AND (g.tgqual IS NULL OR w.name = 'audit_routed')
     AND g.tgoldtable IS NOT DISTINCT FROM CASE WHEN w.event IN ('UPDATE', 'DELETE') THEN 'old_rows'::name END
     AND g.tgnewtable IS NOT DISTINCT FROM CASE WHEN w.name IN ('audit_insert', 'audit_update') THEN 'new_rows'::name END
   WHERE t.is_attached AND (w.name <> 'audit_routed' OR (c.relkind = 'p' AND m.relid::oid = c.oid))
$$;

-- Makes the triggers that are missing. They fire ALWAYS, also where session_replication_role is replica.
CREATE FUNCTION audit.cover(p_table regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_one record;
BEGIN
  FOR v_one IN SELECT * FROM audit.coverage() c WHERE NOT c.fires AND coalesce(pg_partition_root(c.relation), c.relation) = p_table
  LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I %s %s ON %s %s EXECUTE FUNCTION %s', v_one.trigger,
      CASE WHEN v_one.trigger IN ('audit_truncate', 'audit_routed') THEN 'BEFORE' ELSE 'AFTER' END, v_one.event, v_one.relation,
      CASE v_one.trigger
        WHEN 'audit_insert' THEN 'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'
        WHEN 'audit_delete' THEN 'REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'
        WHEN 'audit_update' THEN 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'
        WHEN 'audit_truncate' THEN 'FOR EACH STATEMENT'
        ELSE 'FOR EACH ROW WHEN (false)' END,
      CASE v_one.event WHEN 'TRUNCATE' THEN 'audit.record_truncate()' ELSE 'audit.record_change()' END);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_one.relation, v_one.trigger);
  END LOOP;
END
$$;

-- Has a table audited from now on; the rows that it has are recorded as its first state. Again: other settings, new partitions; its rows are
-- recorded anew where its columns or what is told of them changed since.
--   key        columns that tell its rows apart; the primary key when absent
--   excluded   columns that leave no trace          masked    columns of which only is told that they changed
--   demanded   what must be said by audit.act_as before anything is changed: actor, reason
-- Returns how many rows were recorded. A call by the table's owner, in one SQL transaction with whatever else belongs together.
CREATE FUNCTION audit.attach(
  relation regclass, key text[] DEFAULT NULL, excluded text[] DEFAULT '{}', masked text[] DEFAULT '{}', demanded text[] DEFAULT '{}'
) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_class  pg_class;
  v_key    text[] := key;
  v_known  audit.tables;
  v_wrong  text;
  v_schema text;
  v_part   regclass;
  v_rows   bigint;
BEGIN
  PERFORM audit.refuse_unfit(relation);
  SELECT * INTO v_class FROM pg_class c WHERE c.oid = attach.relation::oid;
  SELECT n.nspname INTO v_schema FROM pg_namespace n WHERE n.oid = v_class.relnamespace;
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION '% is attached only by a transaction that sees all rows that it has', relation
      USING ERRCODE = 'BK012', HINT = 'do it in READ COMMITTED';
  END IF;
  -- Nobody changes it while its rows are recorded.
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  IF v_key IS NULL THEN
    SELECT array_agg(a.attname::text ORDER BY k.place) INTO v_key
      FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
      JOIN pg_attribute a ON a.attrelid = v_class.oid AND a.attnum = k.attnum
     WHERE i.indrelid = v_class.oid AND i.indisprimary AND i.indimmediate AND k.place <= i.indnkeyatts;
    IF v_key IS NULL THEN
      RAISE EXCEPTION '% has no primary key (or one that is deferrable): say which columns tell its rows apart', relation
        USING ERRCODE = 'BK010', HINT = format('SELECT audit.attach(%L, key => ''{column, …}'')', relation::text);
    END IF;
  END IF;
  SELECT string_agg(DISTINCT c, ', ') INTO v_wrong FROM unnest(v_key || excluded || masked) AS c
   WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = v_class.oid AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION '% has no column %', relation, v_wrong USING ERRCODE = 'BK010';
  END IF;
  SELECT string_agg(c, ', ') INTO v_wrong FROM unnest(v_key) AS c
   WHERE EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = v_class.oid AND a.attname = c AND a.attgenerated = 'v');
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION '% is in the key of %, and triggers do not see what is generated', v_wrong, relation USING ERRCODE = 'BK010';
  END IF;
  excluded := ARRAY (SELECT DISTINCT c FROM unnest(excluded) AS c ORDER BY 1);
  masked := ARRAY (SELECT DISTINCT c FROM unnest(masked) AS c WHERE c <> ALL (excluded) ORDER BY 1);
  SELECT string_agg(c, ', ') INTO v_wrong FROM unnest(v_key) AS c WHERE c = ANY (excluded || masked);
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION '% is in the key of %, which can be neither excluded nor masked', v_wrong, relation USING ERRCODE = 'BK010';
  END IF;
  SELECT string_agg(d, ', ') INTO v_wrong FROM unnest(demanded) AS d WHERE d NOT IN ('actor', 'reason');
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION '% cannot be demanded, only actor and reason', v_wrong USING ERRCODE = 'BK010';
  END IF;
  IF NOT EXISTS (
    SELECT FROM pg_index i
     WHERE i.indrelid = v_class.oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
       AND (SELECT bool_and(a.attname::text = ANY (v_key) AND a.attnotnull)
              FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
              JOIN pg_attribute a ON a.attrelid = v_class.oid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts))
  THEN
    RAISE EXCEPTION 'nothing keeps the rows of % apart by (%): a unique index over columns that are NOT NULL is needed', relation, array_to_string(v_key, ', ')
      USING ERRCODE = 'BK010';
  END IF;
  SELECT * INTO v_known FROM audit.tables t WHERE t.relation::oid = v_class.oid AND t.is_attached;
  IF v_known.key_columns <> v_key THEN
    RAISE EXCEPTION '% is audited by (%) already; detach it before you choose another key', relation, array_to_string(v_known.key_columns, ', ')
      USING ERRCODE = 'BK010';
  END IF;
  -- For TRUNCATE, which says nothing of its rows, and for the rows that are there.
  IF NOT has_schema_privilege('audit_trail_owner', v_class.relnamespace, 'USAGE') THEN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO audit_trail_owner', v_schema);
  END IF;
  FOR v_part IN
    SELECT c.oid::regclass FROM pg_class c
     WHERE (c.oid = v_class.oid OR c.oid IN (SELECT p.relid FROM pg_partition_tree(relation) AS p)) AND NOT has_table_privilege('audit_trail_owner', c.oid, 'SELECT')
  LOOP
    EXECUTE format('GRANT SELECT ON %s TO audit_trail_owner', v_part);
  END LOOP;
  v_rows := audit.watch(relation, v_key, excluded, masked, demanded, true,
    v_known.id IS NULL OR v_known.excluded <> excluded OR v_known.masked <> masked OR v_known.columns <> audit.columns_of(relation));
  PERFORM audit.cover(relation);
  RETURN v_rows;
END
$$;

-- Ends it. What was recorded stays; what comes is not known.
CREATE FUNCTION audit.detach(relation regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_known audit.tables;
  v_one   record;
BEGIN
  SELECT * INTO v_known FROM audit.tables t WHERE t.relation::oid = detach.relation::oid AND t.is_attached;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  -- A partition that was taken out of an audited table still has triggers.
  FOR v_one IN
    SELECT g.tgrelid::regclass AS relation, g.tgname AS name FROM pg_trigger g
     WHERE coalesce(pg_partition_root(g.tgrelid), g.tgrelid) = detach.relation AND g.tgparentid = 0
       AND g.tgfoid IN ('audit.record_change()'::regprocedure, 'audit.record_truncate()'::regprocedure)
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', v_one.name, v_one.relation);
  END LOOP;
  IF v_known.id IS NULL AND NOT FOUND THEN
    RAISE EXCEPTION '% is not audited', relation USING ERRCODE = 'BK010';
  ELSIF v_known.id IS NULL THEN
    RETURN;
  END IF;
  PERFORM audit.watch(relation, v_known.key_columns, v_known.excluded, v_known.masked, v_known.demanded, false, false);
END
$$;

-- --- Asking ---

-- How a key is kept: {"id": 7}; of a key of one column its value is enough.
CREATE FUNCTION audit.key_of(p_table audit.tables, p_key jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN pg_catalog.jsonb_typeof(p_key) <> 'object' AND pg_catalog.cardinality(p_table.key_columns) = 1
              THEN pg_catalog.jsonb_build_object(p_table.key_columns[1], p_key) ELSE p_key END
$$;

CREATE FUNCTION audit.fold_step(p_state jsonb, p_operation text, p_new jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE p_operation WHEN 'UPDATE' THEN p_state || p_new WHEN 'INSERT' THEN p_new WHEN 'SNAPSHOT' THEN p_new END $$;
CREATE AGGREGATE audit.fold (text, jsonb) (SFUNC = audit.fold_step, STYPE = jsonb);

-- The changes of a table that others could see, each with who made it and when it committed.
CREATE VIEW audit.trail AS
SELECT c.seq, coalesce(c.before, c.seq) AS place, c.before, c.depth, t.relation, t.id AS table_id, c.operation, c.row_key, c.old, c.new, c.changed_at,
       greatest(k.committed_at, c.changed_at) AS committed_at, c.number, x.login, x.actor, x.ip, x.agent, x.reason
  FROM audit.changes c
  JOIN audit.tables t ON t.id = c.table_id
  JOIN audit.transactions x ON x.number = c.number
  LEFT JOIN audit.commits k ON k.number = c.number;

-- The watched table, and after which change its state at a moment begins. Not watched at that moment: BK013.
CREATE FUNCTION audit.watched(p_table regclass, p_at timestamptz, OUT watched audit.tables, OUT since bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_last text;
BEGIN
  SELECT t.* INTO watched FROM audit.tables t WHERE t.relation::oid = p_table::oid;
  SELECT l.operation INTO v_last FROM audit.trail l
   WHERE l.table_id = watched.id AND l.row_key IS NULL AND l.operation IN ('ATTACH', 'DETACH') AND l.committed_at <= p_at ORDER BY l.seq DESC LIMIT 1;
  IF v_last IS DISTINCT FROM 'ATTACH' THEN
    RAISE EXCEPTION '% was not audited at %', p_table, p_at USING ERRCODE = 'BK013';
  END IF;
  SELECT coalesce(max(l.seq), 0) INTO since FROM audit.trail l
   WHERE l.table_id = watched.id AND l.row_key IS NULL AND l.operation = 'DETACH' AND l.committed_at <= p_at;
END
$$;

-- A row as others saw it at a moment, by the columns it had; NULL when it was not there. jsonb_populate_record makes a row of it again.
CREATE FUNCTION audit.row_as_of(relation regclass, key jsonb, at timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_then record;
BEGIN
  SELECT w.watched, w.since INTO v_then FROM audit.watched(row_as_of.relation, at) AS w;
  RETURN (SELECT audit.fold(l.operation, l.new ORDER BY l.place, l.before NULLS LAST, l.depth, l.seq) FROM audit.trail l
           WHERE l.table_id = (v_then.watched).id AND l.row_key = audit.key_of(v_then.watched, row_as_of.key) AND l.seq > v_then.since AND l.committed_at <= at);
END
$$;

-- All rows as others saw them at a moment.
CREATE FUNCTION audit.rows_as_of(relation regclass, at timestamptz) RETURNS TABLE (row_key jsonb, "row" jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_id    integer;
  v_since bigint;
BEGIN
  SELECT (w.watched).id, w.since INTO v_id, v_since FROM audit.watched(rows_as_of.relation, at) AS w;
  RETURN QUERY
    SELECT l.row_key, audit.fold(l.operation, l.new ORDER BY l.place, l.before NULLS LAST, l.depth, l.seq) FROM audit.trail l
     WHERE l.table_id = v_id AND l.row_key IS NOT NULL AND l.seq > v_since AND l.committed_at <= rows_as_of.at
     GROUP BY l.row_key HAVING audit.fold(l.operation, l.new ORDER BY l.place, l.before NULLS LAST, l.depth, l.seq) IS NOT NULL;
END
$$;

-- What became of a row, from its first change on.
CREATE FUNCTION audit.history(relation regclass, key jsonb) RETURNS TABLE (
  seq bigint, committed_at timestamptz, operation text, old jsonb, new jsonb, actor text, reason text, ip text, agent text, login text
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT l.seq, l.committed_at, l.operation, l.old, l.new, l.actor, l.reason, l.ip, l.agent, l.login
    FROM audit.tables t JOIN audit.trail l ON l.table_id = t.id
   WHERE t.relation::oid = history.relation::oid AND l.row_key = audit.key_of(t, history.key) ORDER BY l.place, l.before NULLS LAST, l.depth, l.seq
$$;

-- Who changed a column of a row, when, from what to what; what INSERT gave it and what DELETE took away among them.
CREATE FUNCTION audit.who_changed(relation regclass, key jsonb, "column" text) RETURNS TABLE (
  committed_at timestamptz, old jsonb, new jsonb, actor text, reason text, operation text, ip text, agent text, login text, seq bigint
)
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT h.committed_at, h.old -> "column", h.new -> "column", h.actor, h.reason, h.operation, h.ip, h.agent, h.login, h.seq
    FROM audit.history(relation, key) h WHERE h.old ? "column" OR h.new ? "column" ORDER BY h.seq
$$;

-- Rows that are not what the trail says: changed past the triggers, or the trail was; or its columns were renamed, retyped or added with a
-- value, and it was not attached again.
CREATE FUNCTION audit.differences(relation regclass) RETURNS TABLE (row_key jsonb, recorded jsonb, actual jsonb)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp SET row_security = off
SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C' SET jit = off
AS $$
DECLARE
  v_table   audit.tables;
  v_dropped text[];
BEGIN
  SELECT * INTO v_table FROM audit.tables t WHERE t.relation::oid = differences.relation::oid AND t.is_attached;
  v_dropped := v_table.excluded || ARRAY (SELECT jsonb_object_keys(v_table.columns - ARRAY (SELECT jsonb_object_keys(audit.columns_of(relation)))));
  -- A column that was added says nothing where it is NULL.
  RETURN QUERY EXECUTE format('
    SELECT coalesce(a.key, r.row_key), r."row" || $2, a."row"
      FROM (SELECT %s AS key, n.r || $2 AS "row" FROM (SELECT %s - $1 AS r FROM %s AS n OFFSET 0) AS n) AS a
      FULL JOIN audit.rows_as_of(%4$L, ''infinity'') AS r ON r.row_key = a.key
     WHERE a."row" IS NULL OR r."row" IS NULL OR jsonb_strip_nulls(r."row" - $1 || $2) <> jsonb_strip_nulls(a."row")',
      audit.key_expression(v_table.key_columns, 'n.r'), audit.row_expression(relation, 'n'), relation, relation::text)
    USING v_dropped, audit.mask(v_table.masked);
END
$$;

-- Nobody changes what is recorded, and only the triggers add to it.
CREATE FUNCTION audit.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION '% on audit.% is refused: what is recorded is never changed', TG_OP, TG_TABLE_NAME USING ERRCODE = 'BK003';
END
$$;
DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['transactions', 'commits', 'commits_delayed', 'changes']
  LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON audit.%I FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()', name || '_append_only', name);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON audit.%I FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', name || '_not_truncated', name);
    EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER %I, ENABLE ALWAYS TRIGGER %I', name, name || '_append_only', name || '_not_truncated');
  END LOOP;
END
$$;

REVOKE ALL ON FUNCTION audit.enter, audit.note_commit, audit.refuse_change FROM PUBLIC;
