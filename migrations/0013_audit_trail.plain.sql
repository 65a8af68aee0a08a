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

-- What is watched, and how. relation follows renames, and a dump and restore. Of a partitioned table it is the root. As it was when it was
-- attached last: its name and oid; columns, with their types; partitions that hold rows; numbers, of the columns that its settings name (key,
-- excluded, masked), because a name may go over to another column. version: how often its settings were others; the triggers know theirs.
CREATE TABLE audit.tables (
  id          integer GENERATED ALWAYS AS IDENTITY,
  relation    regclass NOT NULL,
  key_columns text[] NOT NULL,
  excluded    text[] NOT NULL,
  masked      text[] NOT NULL,
  demanded    text[] NOT NULL,
  columns     jsonb NOT NULL,
  is_attached boolean NOT NULL,
  name        text NOT NULL,
  oid         oid NOT NULL,
  partitions  regclass[] NOT NULL,
  numbers     smallint[] NOT NULL,
  version     integer NOT NULL,
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

-- Commits that wait for their link in the chain (0015). Whoever takes a row away from here is found out: a commit without a link that waits for none.
CREATE TABLE audit.unsealed (
  number bigint NOT NULL,
  CONSTRAINT unsealed_pkey PRIMARY KEY (number)
);

-- Those that seemed to commit and were perhaps only told SET CONSTRAINTS ALL IMMEDIATE: looked at again at the end. Nobody reads it.
CREATE TABLE audit.commits_delayed (
  number   bigint NOT NULL,
  asked_at timestamptz NOT NULL,
  rounds   integer NOT NULL
);

-- Changes of rows. seq orders the changes of one row, because its lock is held until commit; between rows it says nothing. Statements are
-- recorded when they end, and so those of a trigger that a statement fired come before it: then place is where it belongs nevertheless, a number
-- right below that of the change that it precedes. That is the order coalesce(place, seq), seq. depth: 1, more in triggers of triggers. seq has
-- gaps: statements take a number when they begin.
--   SNAPSHOT         new: the row as it was when the table was attached
--   INSERT           new: the row
--   UPDATE           old, new: the columns that changed; without any when none did
--   DELETE           old: the row
--   DETACH           with row_key: old: the row, which went with its partition
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
  place      numeric,
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

-- SET CONSTRAINTS ALL IMMEDIATE fires this before its time. Within a function or trigger it shows in what called this; among what the client said
-- only its words do: then it is looked at again, as often as they say it, and once more. All that acted in the transaction committed at one
-- moment.
CREATE FUNCTION audit.note_commit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_stack  text;
  v_lines  text[];
  v_rounds integer := 0;
  v_now    timestamptz := clock_timestamp();
BEGIN
  GET DIAGNOSTICS v_stack = PG_CONTEXT;
  v_lines := string_to_array(v_stack, E'\n');
  IF TG_TABLE_NAME = 'commits_delayed' THEN
    v_rounds := CASE WHEN NEW.asked_at = statement_timestamp() THEN NEW.rounds ELSE 0 END;
  END IF;
  -- Plans that were made while the tables were small stay: a subquery of one row keeps to the index.
  IF (cardinality(v_lines) = 1 OR v_lines[2] ~ '^PL/pgSQL.* COMMIT$')
    AND (coalesce(current_query(), '') !~* 'constraints' OR v_rounds >= (SELECT count(*) FROM regexp_matches(current_query(), '\mconstraints\M', 'gi')))
  THEN
    WITH done AS (
      INSERT INTO audit.commits (number, committed_at)
      SELECT x.number, v_now FROM audit.transactions x
       WHERE x.xid = pg_current_xact_id() AND x.began_at = now() AND (SELECT k.number FROM audit.commits k WHERE k.number = x.number) IS NULL
      RETURNING number)
    INSERT INTO audit.unsealed (number) SELECT number FROM done;
  ELSIF v_rounds > 10000 THEN
    RAISE EXCEPTION 'whether this is the end of a transaction that changed audited tables cannot be told' USING ERRCODE = 'BK012',
      DETAIL = v_stack, HINT = 'COMMIT by the client or in PL/pgSQL, rather than in a procedure of another language';
  ELSE
    SET CONSTRAINTS audit.transactions_commit, audit.commits_delayed_commit DEFERRED;
    INSERT INTO audit.commits_delayed (number, asked_at, rounds) VALUES (NEW.number, statement_timestamp(), v_rounds + 1);
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
  v_names text[];
BEGIN
  SELECT * INTO v_table FROM audit.tables t WHERE t.relation::oid = coalesce(pg_partition_root(p_table), p_table)::oid AND t.is_attached;
  IF v_table.id IS NULL AND current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION '% is audited since after this transaction began to look, or has triggers of the audit trail and is not audited', p_table
      USING ERRCODE = 'serialization_failure', HINT = 'try the transaction again';
  ELSIF v_table.id IS NULL THEN
    RAISE EXCEPTION '% has triggers of the audit trail and is not audited', p_table
      USING ERRCODE = 'BK010', HINT = format('SELECT audit.attach(%L), or audit.detach(%L), which removes them', p_table::text, p_table::text);
  END IF;
  v_names := v_table.key_columns || v_table.excluded || v_table.masked;
  -- A restored dump numbers columns anew: then their names must do.
  IF cardinality(v_names) <> (
    SELECT count(*) FROM pg_attribute a
     WHERE a.attrelid = v_table.relation::oid AND a.attname = ANY (v_names) AND a.attnum > 0 AND NOT a.attisdropped
       AND (v_table.relation::oid <> v_table.oid OR a.attnum = v_table.numbers[array_position(v_names, a.attname::text)]))
  THEN
    RAISE EXCEPTION '% has no longer all of the columns that its audit trail depends on: %', p_table, array_to_string(v_names, ', ')
      USING ERRCODE = 'BK010',
            DETAIL = 'A column of another name, or another column of this name, does not count.',
            HINT = 'attach it again with those that it has; for another key detach it before, in the same SQL transaction';
  END IF;
  RETURN v_table;
END
$$;

-- Of a row those columns that another has.
CREATE FUNCTION audit.only(p_row jsonb, p_columns jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$ SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM pg_catalog.jsonb_each(p_row) AS e WHERE p_columns ? e.key $$;

-- The place of a change of a row before others that were recorded earlier; NULL where it comes after them. p_begun: the number that its statement took when it began;
-- p_old, p_new: the whole row before and after.
--   Statements of triggers end before the statement that fired them, and parts of one statement (WITH d AS (DELETE …) INSERT …) may end in
--   another order than they began. What this transaction recorded of the row since the statement began may come before this change or after it:
--   its place is the first one where the row is there or not as it must be, what came since left it as this change found it, and this change
--   leaves it as the next one found it; else before all of them, as is usual. What the row was when the statement began says the trail only where it did not run within another one
--   (p_within), whose change is not recorded yet.
CREATE FUNCTION audit.place(p_table_id integer, p_key jsonb, p_operation text, p_old jsonb, p_new jsonb, p_begun bigint, p_within boolean) RETURNS numeric
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_mine  bigint[] := ARRAY (SELECT x.number FROM audit.transactions x WHERE x.xid = pg_current_xact_id() AND x.began_at = now());
  v_near  audit.changes[];
  v_next  audit.changes;
  v_left  jsonb := '{}';
  v_lefts jsonb[] := ARRAY['{}'::jsonb];
  v_state jsonb := '{}';
  v_there boolean;
  v_low   numeric := 0;
  v_high  numeric;
BEGIN
  v_near := ARRAY (
    SELECT c FROM audit.changes c
     WHERE c.table_id = p_table_id AND c.row_key = p_key AND c.seq > p_begun AND c.number = ANY (v_mine)
     ORDER BY coalesce(c.place, c.seq), c.seq);
  IF cardinality(v_near) = 0 THEN
    RETURN NULL;
  END IF;
  -- As most are: one change by a trigger, which found what this one left, and did not leave what this one found.
  IF p_operation = 'UPDATE' AND cardinality(v_near) = 1 AND v_near[1].operation = 'UPDATE' AND p_new @> v_near[1].old AND NOT p_old @> v_near[1].new THEN
    v_high := coalesce(v_near[1].place, v_near[1].seq);
    RETURN (ceil(v_high) - 1 + v_high) * 0.5;
  END IF;
  FOR i IN REVERSE cardinality(v_near) .. 1 LOOP
    v_left := CASE v_near[i].operation WHEN 'UPDATE' THEN v_left || v_near[i].old WHEN 'INSERT' THEN '{}' ELSE v_near[i].old END;
    v_lefts := v_left || v_lefts;
  END LOOP;
  -- Backwards over what was before, as far as it takes to know what the row held; 100, so that rows with a long history cost no more than others.
  FOR v_next IN
    SELECT c.* FROM (
      SELECT c.* FROM audit.changes c
       WHERE c.table_id = p_table_id AND c.row_key = p_key AND NOT (c.seq > p_begun AND c.number = ANY (v_mine))
       ORDER BY c.seq DESC LIMIT 100) AS c
     ORDER BY coalesce(c.place, c.seq) DESC, c.seq DESC
  LOOP
    v_there := coalesce(v_there, v_next.operation NOT IN ('DELETE', 'TRUNCATE', 'DETACH'));
    EXIT WHEN v_next.operation IN ('DELETE', 'TRUNCATE', 'DETACH');
    v_state := v_next.new || v_state;
    EXIT WHEN v_next.operation <> 'UPDATE' OR v_state ?& ARRAY (SELECT jsonb_object_keys(v_left));
  END LOOP;
  v_there := CASE WHEN NOT p_within THEN coalesce(v_there, false) END;
  v_state := audit.only(v_state, v_left);
  FOR i IN 1 .. cardinality(v_near) + 1 LOOP
    v_next := v_near[i];
    IF (CASE p_operation
          WHEN 'INSERT' THEN v_there IS NOT TRUE AND v_next.operation IS DISTINCT FROM 'INSERT' AND p_new @> v_lefts[i]
          WHEN 'UPDATE' THEN v_there IS NOT FALSE AND v_next.operation IS DISTINCT FROM 'INSERT' AND (p_within AND i = 1 OR p_old @> v_state) AND p_new @> v_lefts[i]
          ELSE v_there IS NOT FALSE AND coalesce(v_next.operation, 'INSERT') = 'INSERT' AND (p_within AND i = 1 OR p_old @> v_state) END)
    THEN
      v_high := coalesce(v_next.place, v_next.seq);
      RETURN (greatest(ceil(v_high) - 1, v_low) + v_high) * 0.5;
    END IF;
    EXIT WHEN (v_next.operation = 'INSERT') = v_there OR (v_next.operation <> 'INSERT' AND NOT v_state @> audit.only(v_next.old, v_state));
    v_there := v_next.operation NOT IN ('DELETE', 'TRUNCATE', 'DETACH');
    v_state := CASE v_next.operation WHEN 'UPDATE' THEN v_state || v_next.new WHEN 'INSERT' THEN v_next.new ELSE '{}' END;
    v_low := coalesce(v_next.place, v_next.seq);
  END LOOP;
  v_high := coalesce(v_near[1].place, v_near[1].seq);
  RETURN (ceil(v_high) - 1 + v_high) * 0.5;
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

-- A statement begins: it takes a number of the sequence of the changes, so that what is recorded until it ends, by triggers that it fires, has
-- greater ones. Which statements are open is kept in a setting, which subtransactions take back with them: table, first letter of what is
-- done, number.
CREATE FUNCTION audit.begin_statement() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_open text;
BEGIN
  v_open := set_config('audit.statements',
    concat(current_setting('audit.statements', true), TG_RELID, left(TG_OP, 1), nextval('audit.changes_seq_seq'), ';'), true);
  RETURN NULL;
END
$$;

-- It ends. Returns its number. Called by record_change, whose settings it has.
CREATE FUNCTION audit.end_statement(p_table oid, p_operation text) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
  v_open  text := current_setting('audit.statements', true);
  v_mine  text := concat(p_table, left(p_operation, 1));
  v_last  text := split_part(v_open, ';', -2);
  v_parts text[];
BEGIN
  IF left(v_last, length(v_mine)) = v_mine THEN
    v_open := set_config('audit.statements', left(v_open, -length(v_last) - 1), true);
    RETURN substr(v_last, length(v_mine) + 1)::bigint;
  END IF;
  -- Parts of one statement may end in another order than they began.
  v_parts := regexp_match(v_open, format('^((?:.*;)?)%s(\d+);(.*)$', v_mine));
  IF v_parts IS NULL THEN
    RAISE EXCEPTION 'a statement on % ends that was not seen to begin, so that the order of its changes is not known', p_table::regclass
      USING ERRCODE = 'BK010',
            HINT = 'where its trigger audit_begin is missing or disabled, attach it again; audit.statements is set by triggers only';
  END IF;
  v_open := set_config('audit.statements', v_parts[1] || v_parts[3], true);
  RETURN v_parts[2]::bigint;
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
  v_begun  bigint;
  v_within boolean;
  v_nested boolean;
  v_paired boolean;
  v_old    refcursor;
  v_new    refcursor;
BEGIN
  v_table := audit.known(TG_RELID);
  -- Only by its own triggers: without transition tables these names would be those of tables or views of whoever made it.
  IF NOT EXISTS (
    SELECT FROM pg_trigger g
     WHERE g.tgrelid = TG_RELID AND g.tgname = TG_NAME AND TG_NAME = 'audit_' || lower(TG_OP) AND TG_WHEN = 'AFTER' AND TG_LEVEL = 'STATEMENT'
       AND (TG_OP = 'INSERT' OR g.tgoldtable = 'old_rows') AND (TG_OP = 'DELETE' OR g.tgnewtable = 'new_rows'))
  THEN
    RAISE EXCEPTION 'trigger % of % is none that audit.attach makes', TG_NAME, TG_RELID::regclass
      USING ERRCODE = 'BK010', HINT = format('DROP TRIGGER %I ON %s', TG_NAME, TG_RELID::regclass);
  END IF;
  v_begun := audit.end_statement(TG_RELID, TG_OP);
  IF TG_OP = 'INSERT' THEN
    IF NOT EXISTS (SELECT FROM new_rows) THEN RETURN NULL; END IF;
  ELSIF NOT EXISTS (SELECT FROM old_rows) THEN
    RETURN NULL;
  END IF;
  -- A transaction that sees less than the catalogue would tell what has been masked since it began to look.
  IF TG_ARGV[0]::integer IS DISTINCT FROM v_table.version THEN
    RAISE EXCEPTION '% was attached with other settings since this transaction began to look, or its trigger % is of other settings', v_table.relation, TG_NAME
      USING ERRCODE = 'serialization_failure', HINT = format('try the transaction again; where that does not help, SELECT audit.attach(%L, …)', v_table.relation::text);
  END IF;
  v_number := audit.enter(v_table.relation, v_table.demanded);
  v_mask := audit.mask(v_table.masked);
  -- Whether anything was recorded since the statement began, so that its order must be looked at.
  v_nested := v_begun <> currval('audit.changes_seq_seq') AND EXISTS (
    SELECT FROM audit.transactions x
     CROSS JOIN LATERAL (SELECT c.seq FROM audit.changes c WHERE c.number = x.number ORDER BY c.seq DESC LIMIT 1) AS c
     WHERE x.xid = pg_current_xact_id() AND x.began_at = now() AND c.seq > v_begun);
  IF v_nested THEN
    v_within := EXISTS (SELECT FROM regexp_matches(current_setting('audit.statements', true), '[IUD](\d+);', 'g') AS m (open) WHERE m.open[1]::bigint < v_begun);
  END IF;
  v_plain := audit.is_plain(TG_RELID);
  IF NOT v_plain AND TG_OP <> 'INSERT' THEN
    OPEN v_old NO SCROLL FOR EXECUTE format('SELECT %s FROM old_rows AS o', audit.row_expression(TG_RELID, 'o'));
  END IF;
  IF NOT v_plain AND TG_OP <> 'DELETE' THEN
    OPEN v_new NO SCROLL FOR EXECUTE format('SELECT %s FROM new_rows AS n', audit.row_expression(TG_RELID, 'n'));
  END IF;
  IF TG_OP = 'INSERT' THEN
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, new, place, depth)
    SELECT v_number, clock_timestamp(), v_table.id, 'INSERT', n.key, n.r || v_mask,
           CASE WHEN v_nested THEN audit.place(v_table.id, n.key, 'INSERT', NULL, n.r || v_mask, v_begun, v_within) END, pg_trigger_depth()
      FROM (SELECT r.r, row_number() OVER () AS nth, (SELECT jsonb_object_agg(k, r.r -> k) FROM unnest(v_table.key_columns) AS k) AS key
              FROM (SELECT r.r - v_table.excluded AS r
                      FROM (SELECT to_jsonb(n.*) AS r FROM new_rows AS n WHERE v_plain UNION ALL SELECT f FROM audit.fetched(v_new) AS f WHERE NOT v_plain) AS r
                    OFFSET 0) AS r) AS n;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, place, depth)
    SELECT v_number, clock_timestamp(), v_table.id, 'DELETE', o.key, o.r || v_mask,
           CASE WHEN v_nested THEN audit.place(v_table.id, o.key, 'DELETE', o.r || v_mask, NULL, v_begun, v_within) END, pg_trigger_depth()
      FROM (SELECT r.r, row_number() OVER () AS nth, (SELECT jsonb_object_agg(k, r.r -> k) FROM unnest(v_table.key_columns) AS k) AS key
              FROM (SELECT r.r - v_table.excluded AS r
                      FROM (SELECT to_jsonb(o.*) AS r FROM old_rows AS o WHERE v_plain UNION ALL SELECT f FROM audit.fetched(v_old) AS f WHERE NOT v_plain) AS r
                    OFFSET 0) AS r) AS o;
  ELSE
    -- Both tables have the rows in the order in which they were changed, some twice where foreign keys did it, and this is the order in which a
    -- key was left by one and taken by another. Only where a trigger refused rows on their way to another partition, there are fewer new ones.
    v_paired := (SELECT count(*) FROM old_rows) = (SELECT count(*) FROM new_rows);
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, new, place, depth)
    SELECT v_number, clock_timestamp(), v_table.id, w.operation, w.key,
           CASE w.operation WHEN 'DELETE' THEN o.r || v_mask WHEN 'UPDATE' THEN d.old END,
           CASE w.operation WHEN 'INSERT' THEN n.r || v_mask WHEN 'UPDATE' THEN d.new END,
           CASE WHEN v_nested THEN audit.place(v_table.id, w.key, w.operation, o.r || v_mask, n.r || v_mask, v_begun, v_within) END, pg_trigger_depth()
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
  v_table  audit.tables;
  v_number bigint;
  v_rows   bigint := 0;
  v_root   boolean;
  v_silent oid[];
BEGIN
  -- Only by its own trigger: any other would tell of rows as gone that are there.
  IF NOT (TG_NAME = 'audit_truncate' AND TG_OP = 'TRUNCATE' AND TG_WHEN = 'BEFORE' AND TG_LEVEL = 'STATEMENT') THEN
    RAISE EXCEPTION 'trigger % of % is none that audit.attach makes', TG_NAME, TG_RELID::regclass
      USING ERRCODE = 'BK010', HINT = format('DROP TRIGGER %I ON %s', TG_NAME, TG_RELID::regclass);
  END IF;
  v_table := audit.known(TG_RELID);
  IF NOT has_schema_privilege((SELECT c.relnamespace FROM pg_class c WHERE c.oid = TG_RELID), 'USAGE') OR NOT has_table_privilege(TG_RELID, 'SELECT') THEN
    RAISE EXCEPTION 'TRUNCATE of %, which is audited, is refused: audit_trail_owner may not read the rows that it takes away', TG_RELID::regclass
      USING ERRCODE = 'insufficient_privilege', HINT = format('attach %s again, which grants it that', v_table.relation);
  END IF;
  IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
    RAISE EXCEPTION 'TRUNCATE of %, which is audited, is refused in a transaction that may not see all rows that it takes away', v_table.relation
      USING ERRCODE = 'BK012', HINT = 'do it in READ COMMITTED, or DELETE';
  END IF;
  v_number := audit.enter(v_table.relation, v_table.demanded);
  -- Partitions are truncated with their root, and each tells of its own rows; the root of those of partitions that were made since and have no
  -- trigger yet.
  v_root := (SELECT c.relkind = 'p' FROM pg_class c WHERE c.oid = TG_RELID);
  IF v_root THEN
    v_silent := ARRAY (
      SELECT p.relid::oid FROM pg_partition_tree(TG_RELID) AS p
       WHERE p.isleaf AND NOT EXISTS (
         SELECT FROM pg_trigger g
          WHERE g.tgrelid = p.relid::oid AND g.tgname = 'audit_truncate' AND g.tgfoid = 'audit.record_truncate()'::regprocedure
            AND g.tgtype = 34 AND g.tgenabled = 'A' AND g.tgqual IS NULL));
  END IF;
  IF NOT v_root OR cardinality(v_silent) > 0 THEN
    EXECUTE format('
      INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, depth)
      SELECT $1, clock_timestamp(), $2, ''TRUNCATE'', %s, r.r || $4, $5
        FROM (SELECT %s - $3 AS r FROM %s AS o %s OFFSET 0) AS r',
      audit.key_expression(v_table.key_columns, 'r.r'), audit.row_expression(TG_RELID, 'o'),
      CASE WHEN v_root THEN '' ELSE 'ONLY ' END || TG_RELID::regclass, CASE WHEN v_root THEN 'WHERE o.tableoid = ANY ($6)' END)
      USING v_number, v_table.id, v_table.excluded, audit.mask(v_table.masked), pg_trigger_depth(), v_silent;
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
  v_known   audit.tables;
  v_owner   oid := (SELECT c.relowner FROM pg_class c WHERE c.oid = p_table);
  v_parts   regclass[];
  v_numbers smallint[];
  v_version integer;
  v_settle  boolean;
  v_one     regclass;
  v_id      integer;
  v_number  bigint;
  v_rows    bigint := 0;
BEGIN
  -- Of a table that was dropped nobody is the owner any more.
  IF NOT pg_has_role(coalesce(nullif(current_setting('role'), 'none'), session_user), coalesce(v_owner, 'audit_trail_owner'::regrole), 'MEMBER') THEN
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
  SELECT * INTO v_known FROM audit.tables t WHERE t.relation::oid = p_table::oid;
  v_parts := ARRAY (SELECT p.relid FROM pg_partition_tree(p_table) AS p WHERE p.isleaf ORDER BY p.relid::oid);
  v_numbers := ARRAY (
    SELECT a.attnum FROM unnest(p_key || p_excluded || p_masked) WITH ORDINALITY AS n (name, place)
      JOIN pg_attribute a ON a.attrelid = p_table AND a.attname = n.name AND a.attnum > 0 AND NOT a.attisdropped ORDER BY n.place);
  v_version := coalesce(v_known.version, 0)
    + ((v_known.key_columns, v_known.excluded, v_known.masked, v_known.demanded, v_known.is_attached, v_known.oid, v_known.numbers)
       IS DISTINCT FROM (p_key, p_excluded, p_masked, p_demanded, p_attached, p_table::oid, v_numbers))::integer;
  INSERT INTO audit.tables AS t (relation, key_columns, excluded, masked, demanded, columns, is_attached, name, oid, partitions, numbers, version)
  VALUES (p_table, p_key, p_excluded, p_masked, p_demanded, audit.columns_of(p_table), p_attached, p_table::text, p_table::oid, v_parts, v_numbers, v_version)
  ON CONFLICT ((relation::oid)) DO UPDATE
     SET key_columns = p_key, excluded = p_excluded, masked = p_masked, demanded = p_demanded, columns = excluded.columns, is_attached = p_attached,
         name = CASE WHEN v_owner IS NULL THEN t.name ELSE excluded.name END, oid = excluded.oid, partitions = v_parts, numbers = v_numbers, version = v_version
  RETURNING t.id INTO v_id;
  INSERT INTO audit.changes (number, changed_at, table_id, operation, new, depth)
  VALUES (v_number, clock_timestamp(), v_id, CASE WHEN p_attached THEN 'ATTACH' ELSE 'DETACH' END,
          jsonb_build_object('table', CASE WHEN v_owner IS NULL THEN v_known.name ELSE p_table::text END, 'oid', p_table::oid::bigint, 'key', p_key,
            'excluded', p_excluded, 'masked', p_masked, 'demanded', p_demanded, 'numbers', v_numbers, 'version', v_version), pg_trigger_depth());
  IF NOT p_attached THEN
    RETURN 0;
  ELSIF p_snapshot THEN
    EXECUTE format('
      INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, new, depth)
      SELECT $1, clock_timestamp(), $2, ''SNAPSHOT'', %s, r.r || $4, $5
        FROM (SELECT %s - $3 AS r FROM %s AS n OFFSET 0) AS r', audit.key_expression(p_key, 'r.r'), audit.row_expression(p_table, 'n'), p_table)
      USING v_number, v_id, p_excluded, audit.mask(p_masked), pg_trigger_depth();
  ELSE
    -- Rows come and go with partitions, and no trigger sees it. An empty partition that is new does not cost a look at all rows.
    v_settle := NOT v_known.partitions::oid[] <@ v_parts::oid[];
    FOREACH v_one IN ARRAY v_parts LOOP
      EXIT WHEN v_settle;
      CONTINUE WHEN v_one::oid = ANY (v_known.partitions::oid[]);
      EXECUTE format('SELECT EXISTS (SELECT FROM %s)', v_one) INTO v_settle;
    END LOOP;
    IF NOT v_settle THEN
      RETURN 0;
    END IF;
    INSERT INTO audit.changes (number, changed_at, table_id, operation, row_key, old, new, depth)
    SELECT v_number, clock_timestamp(), v_id, CASE WHEN d.actual IS NULL THEN 'DETACH' ELSE 'SNAPSHOT' END, d.row_key,
           CASE WHEN d.actual IS NULL THEN d.recorded END, d.actual, pg_trigger_depth()
      FROM audit.differences(p_table) AS d;
  END IF;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  RETURN v_rows;
END
$$;

-- Whether a unique index keeps the rows of a table apart by these columns.
CREATE FUNCTION audit.is_unique(p_table regclass, p_key text[]) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT EXISTS (
    SELECT FROM pg_index i
     WHERE i.indrelid = p_table AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
       AND (SELECT bool_and(a.attname::text = ANY (p_key) AND a.attnotnull)
              FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, place)
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.place <= i.indnkeyatts))
$$;

-- Which triggers a table and its partitions should have, and whether they fire.
--   audit_routed does nothing. Where rows are inserted by way of a partitioned table that has no BEFORE INSERT trigger, PostgreSQL (15 to 18) has
--   transition tables with the row as it was before it went to its partition: without its generated columns, and after an INSERT of a MERGE also
--   in place of rows that the MERGE updates (MakeTransitionCaptureState, tcs_original_insert_tuple). Partitions inherit it.
--   audit_begin comes before the changes of a statement, so that those of the triggers that it fires can be told from those before it.
-- Without a trigger: what else keeps changes of a table from being recorded, or its rows from being told apart.
CREATE FUNCTION audit.coverage() RETURNS TABLE (relation regclass, "trigger" text, event text, fires boolean, wrong text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT m.relid, w.name, w.event, coalesce(g.is_right AND g.tgenabled = 'A', false),
         CASE WHEN g.is_right IS NULL THEN 'is missing' WHEN NOT g.is_right THEN 'is not as audit.attach makes it' WHEN g.tgenabled <> 'A' THEN 'is switched off' END
    FROM audit.tables t
    JOIN pg_class c ON c.oid = t.relation::oid
   CROSS JOIN LATERAL (SELECT coalesce(p.relid, t.relation) AS relid FROM (SELECT 1) AS one LEFT JOIN pg_partition_tree(t.relation) AS p ON true) AS m
   CROSS JOIN (VALUES ('audit_begin', 'INSERT OR UPDATE OR DELETE', 30, 'audit.begin_statement()', NULL, NULL),
                      ('audit_insert', 'INSERT', 4, 'audit.record_change()', NULL, 'new_rows'),
                      ('audit_update', 'UPDATE', 16, 'audit.record_change()', 'old_rows', 'new_rows'),
                      ('audit_delete', 'DELETE', 8, 'audit.record_change()', 'old_rows', NULL),
                      ('audit_truncate', 'TRUNCATE', 34, 'audit.record_truncate()', NULL, NULL),
                      ('audit_routed', 'INSERT', 7, 'audit.record_change()', NULL, NULL)) AS w (name, event, type, function, old_rows, new_rows)
    LEFT JOIN LATERAL (
      SELECT g.tgenabled,
             g.tgfoid = w.function::regprocedure AND g.tgtype = w.type AND (g.tgqual IS NULL OR w.name = 'audit_routed') AND g.tgattr::text = ''
             AND g.tgoldtable::text IS NOT DISTINCT FROM w.old_rows AND g.tgnewtable::text IS NOT DISTINCT FROM w.new_rows
             AND (w.old_rows IS NULL AND w.new_rows IS NULL OR g.tgargs = convert_to(t.version::text, 'UTF8') || '\x00'::bytea) AS is_right
        FROM pg_trigger g WHERE g.tgrelid = m.relid::oid AND g.tgname = w.name) AS g ON true
   WHERE t.is_attached AND (w.name <> 'audit_routed' OR (c.relkind = 'p' AND m.relid::oid = c.oid))
  UNION ALL
  SELECT t.relation, NULL, NULL, false, u.wrong
    FROM audit.tables t
    LEFT JOIN pg_class c ON c.oid = t.relation::oid
   CROSS JOIN LATERAL (
      SELECT format('%s was dropped', t.name) WHERE c.oid IS NULL
      UNION ALL
      SELECT format('is a partition of %s, which is not audited', pg_partition_root(t.relation))
       WHERE c.relispartition AND NOT EXISTS (SELECT FROM audit.tables r WHERE r.is_attached AND r.relation::oid = pg_partition_root(t.relation)::oid)
      UNION ALL
      SELECT format('is inherited by %s, whose rows are not recorded', i.inhrelid::regclass) FROM pg_inherits i WHERE c.relkind = 'r' AND i.inhparent = c.oid
      UNION ALL
      SELECT format('has no valid unique index any more that keeps its rows apart by (%s)', array_to_string(t.key_columns, ', '))
       WHERE c.oid IS NOT NULL AND NOT audit.is_unique(t.relation, t.key_columns)) AS u (wrong)
   WHERE t.is_attached
$$;

-- Makes the triggers that are missing. They fire ALWAYS, also where session_replication_role is replica.
CREATE FUNCTION audit.cover(p_table regclass) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_version integer := (SELECT t.version FROM audit.tables t WHERE t.relation::oid = p_table::oid);
  v_one     record;
BEGIN
  FOR v_one IN
    SELECT * FROM audit.coverage() c WHERE NOT c.fires AND c.trigger IS NOT NULL AND coalesce(pg_partition_root(c.relation), c.relation) = p_table
  LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I %s %s ON %s %s EXECUTE FUNCTION %s', v_one.trigger,
      CASE WHEN v_one.trigger IN ('audit_begin', 'audit_truncate', 'audit_routed') THEN 'BEFORE' ELSE 'AFTER' END, v_one.event, v_one.relation,
      CASE v_one.trigger
        WHEN 'audit_insert' THEN 'REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT'
        WHEN 'audit_delete' THEN 'REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT'
        WHEN 'audit_update' THEN 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT'
        WHEN 'audit_routed' THEN 'FOR EACH ROW WHEN (false)'
        ELSE 'FOR EACH STATEMENT' END,
      CASE v_one.trigger
        WHEN 'audit_begin' THEN 'audit.begin_statement()'
        WHEN 'audit_truncate' THEN 'audit.record_truncate()'
        WHEN 'audit_routed' THEN 'audit.record_change()'
        ELSE format('audit.record_change(%s)', v_version) END);
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
  SELECT string_agg(DISTINCT c, ', ') INTO v_wrong FROM (SELECT c FROM unnest(v_key) AS c GROUP BY c HAVING count(*) > 1) AS twice (c);
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION '% is more than once in the key of %; name each column once', v_wrong, relation USING ERRCODE = 'BK010';
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
  IF NOT audit.is_unique(relation, v_key) THEN
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
  IF v_known.id IS NOT NULL AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = detach.relation::oid) THEN
    PERFORM audit.watch(relation, v_known.key_columns, v_known.excluded, v_known.masked, v_known.demanded, false, false);
    RETURN;
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  -- A partition that was taken out of an audited table still has triggers.
  FOR v_one IN
    SELECT g.tgrelid::regclass AS relation, g.tgname AS name FROM pg_trigger g
     WHERE coalesce(pg_partition_root(g.tgrelid), g.tgrelid) = detach.relation AND g.tgparentid = 0
       AND g.tgfoid IN ('audit.begin_statement()'::regprocedure, 'audit.record_change()'::regprocedure, 'audit.record_truncate()'::regprocedure)
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', v_one.name, v_one.relation);
  END LOOP;
  IF v_known.id IS NULL AND NOT FOUND THEN
    RAISE EXCEPTION '% is not audited', relation USING ERRCODE = 'BK010';
  ELSIF v_known.id IS NULL THEN
    RETURN;
  END IF;
  PERFORM audit.watch(relation, v_known.key_columns, v_known.excluded, v_known.masked, v_known.demanded, false, false);
  FOR v_one IN
    SELECT c.oid::regclass AS relation FROM pg_class c
     WHERE (c.oid = detach.relation::oid OR c.oid IN (SELECT p.relid FROM pg_partition_tree(relation) AS p)) AND has_table_privilege('audit_trail_owner', c.oid, 'SELECT')
  LOOP
    EXECUTE format('REVOKE SELECT ON %s FROM audit_trail_owner', v_one.relation);
  END LOOP;
END
$$;

-- --- Asking ---

-- What is known of a table, audited now or before. One that was dropped is asked for by its number, which coverage tells.
CREATE FUNCTION audit.table_of(p_table regclass) RETURNS audit.tables
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_table audit.tables;
BEGIN
  SELECT * INTO v_table FROM audit.tables t WHERE t.relation::oid = p_table::oid;
  IF v_table.id IS NULL THEN
    RAISE EXCEPTION '% was never audited', p_table
      USING ERRCODE = 'BK013', HINT = CASE WHEN pg_partition_root(p_table) <> p_table THEN format('ask for its root %s', pg_partition_root(p_table)) ELSE 'audit.tables tells which tables are' END;
  END IF;
  RETURN v_table;
END
$$;

-- How a key is kept: {"id": 7}; of a key of one column its value is enough. Values are read as the types of their columns, so that 'AB' and 'ab'
-- are one uuid; without a limit of length or digits, which would cut them to another key.
CREATE FUNCTION audit.key_of(p_table audit.tables, p_key jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
SET timezone = 'UTC' SET datestyle = 'ISO, MDY' SET intervalstyle = 'postgres' SET bytea_output = 'hex' SET extra_float_digits = 1 SET lc_monetary = 'C'
AS $$
DECLARE
  v_key jsonb := CASE WHEN jsonb_typeof(p_key) <> 'object' AND cardinality(p_table.key_columns) = 1
                      THEN jsonb_build_object(p_table.key_columns[1], p_key) ELSE p_key END;
  v_one record;
BEGIN
  IF p_key IS NULL OR jsonb_typeof(v_key) <> 'object'
    OR NOT (v_key ?& p_table.key_columns AND v_key - p_table.key_columns = '{}')
  THEN
    RAISE EXCEPTION 'the key of % is (%), not %', p_table.relation, array_to_string(p_table.key_columns, ', '), coalesce(p_key::text, 'NULL')
      USING ERRCODE = 'BK010', HINT = 'an object with these columns and no others; of a key of one column its value is enough';
  END IF;
  FOR v_one IN
    SELECT a.attname AS name, a.atttypid AS type, a.atttypmod AS modifier, v_key ->> a.attname::text AS value
      FROM pg_attribute a
     WHERE a.attrelid = p_table.relation::oid AND a.attname = ANY (p_table.key_columns) AND a.attnum > 0 AND NOT a.attisdropped
       AND a.atttypid NOT IN ('json'::regtype, 'jsonb'::regtype) AND jsonb_typeof(v_key -> a.attname::text) NOT IN ('object', 'array', 'null')
  LOOP
    IF v_one.type = 'bpchar'::regtype THEN
      v_key := v_key || jsonb_build_object(v_one.name, rpad(v_one.value, greatest(v_one.modifier - 4, length(v_one.value))));
    ELSE
      EXECUTE format(CASE WHEN v_one.type < 16384 THEN 'SELECT $1 || jsonb_build_object($2, $3::%s)'
                          ELSE 'SELECT $1 || jsonb_build_object($2, CASE WHEN jsonb_typeof($1 -> $2) = ''string'' THEN to_jsonb($3::%1$s::text) ELSE $1 -> $2 END)' END,
                     format_type(v_one.type, -1)) INTO v_key USING v_key, v_one.name::text, v_one.value;
    END IF;
  END LOOP;
  RETURN v_key;
END
$$;

CREATE FUNCTION audit.fold_step(p_state jsonb, p_operation text, p_new jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$ SELECT CASE p_operation WHEN 'UPDATE' THEN p_state || p_new WHEN 'INSERT' THEN p_new WHEN 'SNAPSHOT' THEN p_new END $$;
CREATE AGGREGATE audit.fold (text, jsonb) (SFUNC = audit.fold_step, STYPE = jsonb);

-- The changes of a table that others could see, each with who made it and when it committed.
CREATE VIEW audit.trail AS
SELECT c.seq, coalesce(c.place, c.seq) AS place, c.depth, t.relation, t.id AS table_id, c.operation, c.row_key, c.old, c.new, c.changed_at,
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
  watched := audit.table_of(p_table);
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
  v_key  jsonb;
BEGIN
  SELECT w.watched, w.since INTO v_then FROM audit.watched(row_as_of.relation, at) AS w;
  v_key := audit.key_of(v_then.watched, row_as_of.key);
  RETURN (SELECT audit.fold(l.operation, l.new ORDER BY l.place, l.seq) FROM audit.trail l
           WHERE l.table_id = (v_then.watched).id AND l.row_key = v_key AND l.seq > v_then.since AND l.committed_at <= at);
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
    SELECT l.row_key, audit.fold(l.operation, l.new ORDER BY l.place, l.seq) FROM audit.trail l
     WHERE l.table_id = v_id AND l.row_key IS NOT NULL AND l.seq > v_since AND l.committed_at <= rows_as_of.at
     GROUP BY l.row_key HAVING audit.fold(l.operation, l.new ORDER BY l.place, l.seq) IS NOT NULL;
END
$$;

-- What became of a row, from its first change on.
CREATE FUNCTION audit.history(relation regclass, key jsonb) RETURNS TABLE (
  seq bigint, committed_at timestamptz, operation text, old jsonb, new jsonb, actor text, reason text, ip text, agent text, login text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_table audit.tables := audit.table_of(history.relation);
  v_key   jsonb := audit.key_of(v_table, history.key);
BEGIN
  RETURN QUERY
    SELECT l.seq, l.committed_at, l.operation, l.old, l.new, l.actor, l.reason, l.ip, l.agent, l.login
      FROM audit.trail l WHERE l.table_id = v_table.id AND l.row_key = v_key ORDER BY l.place, l.seq;
END
$$;

-- Who changed a column of a row, when, from what to what; what INSERT gave it and what DELETE took away among them.
CREATE FUNCTION audit.who_changed(relation regclass, key jsonb, "column" text) RETURNS TABLE (
  committed_at timestamptz, old jsonb, new jsonb, actor text, reason text, operation text, ip text, agent text, login text, seq bigint
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  v_table audit.tables := audit.table_of(who_changed.relation);
BEGIN
  RETURN QUERY
    SELECT h.committed_at, h.old -> who_changed."column", h.new -> who_changed."column", h.actor, h.reason, h.operation, h.ip, h.agent, h.login, h.seq
      FROM audit.history(who_changed.relation, who_changed.key) WITH ORDINALITY h
     WHERE h.old ? who_changed."column" OR h.new ? who_changed."column" ORDER BY h.ordinality;
  IF NOT FOUND AND ("column" = ANY (v_table.excluded) OR NOT coalesce(v_table.columns || audit.columns_of(who_changed.relation) ? "column", false)) THEN
    RAISE EXCEPTION 'nothing is recorded of a column % of %', "column", who_changed.relation
      USING ERRCODE = 'BK010', HINT = format('it is excluded, or no column; recorded are those of %s', v_table.columns - v_table.excluded);
  END IF;
END
$$;

-- A row without the columns that are NULL.
CREATE FUNCTION audit.without_nulls(p_row jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(jsonb_object_agg(e.key, e.value), '{}') FROM jsonb_each(p_row) AS e WHERE e.value <> 'null' $$;

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
  v_table := audit.table_of(differences.relation);
  IF NOT v_table.is_attached OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = differences.relation::oid) THEN
    RAISE EXCEPTION '% is not audited now, so that there is nothing to compare', v_table.name USING ERRCODE = 'BK010', HINT = 'rows_as_of tells what was recorded';
  END IF;
  v_dropped := v_table.excluded || ARRAY (SELECT jsonb_object_keys(v_table.columns - ARRAY (SELECT jsonb_object_keys(audit.columns_of(relation)))));
  -- A column that was added says nothing where it is NULL.
  RETURN QUERY EXECUTE format('
    SELECT coalesce(a.key, r.row_key), r."row" || $2, a."row"
      FROM (SELECT %s AS key, n.r || $2 AS "row" FROM (SELECT %s - $1 AS r FROM %s AS n OFFSET 0) AS n) AS a
      FULL JOIN audit.rows_as_of(%4$L, ''infinity'') AS r ON r.row_key = a.key
     WHERE a."row" IS NULL OR r."row" IS NULL OR (r."row" - $1 || $2 <> a."row" AND audit.without_nulls(r."row" - $1 || $2) <> audit.without_nulls(a."row"))',
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

-- How tables are watched is changed by attach and detach, which leave a record of it: settings that were others for a while could not be found
-- afterwards.
CREATE FUNCTION audit.refuse_settings() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF TG_OP <> 'UPDATE' OR current_user <> 'audit_trail_owner' THEN
    RAISE EXCEPTION '% on audit.tables is refused: how a table is watched is changed by audit.attach and audit.detach', TG_OP USING ERRCODE = 'BK003';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER tables_by_attach BEFORE UPDATE OR DELETE OR TRUNCATE ON audit.tables FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_settings();
ALTER TABLE audit.tables ENABLE ALWAYS TRIGGER tables_by_attach;

REVOKE ALL ON FUNCTION audit.enter, audit.note_commit, audit.end_statement, audit.refuse_change, audit.refuse_settings FROM PUBLIC;
