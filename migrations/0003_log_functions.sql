-- The only doors into schema log. Each is SECURITY DEFINER, owned by book_keeper_owner, with a fixed search_path, and not
-- executable by PUBLIC. None raises for an outcome that its caller must expect: outcomes are rows.
-- pg_temp stands last in the path: left out, it is searched first, and a caller's temporary domain named jsonb or timestamptz
-- would run that caller's code with the owner's rights (PostgreSQL manual, "Writing SECURITY DEFINER Functions Safely").
SET LOCAL ROLE book_keeper_owner;

-- append writes one batch of one book, or nothing. Outcomes:
--   appended       position, tail, recorded_at are the new head
--   keys_known     receipts holds those of the batch's keys that have one already (I6); looked up first, nothing written
--   head_moved     another writer was faster: position, tail, recorded_at are the head as it is now (never seen: 0, zero, epoch)
--   clock_refused  the caller's clock is ahead of the database's by more than 2 s, or p_recorded_at is at or before the head's
--                  recorded_at or the floor that a query has raised (I10); recorded_at and floor say what to stay above, clock
--                  is the database's
-- An expected version that does not hold (h_before, x_versions) is a broken caller, not an outcome: SQLSTATE BK001.
-- h_before: NULL = a snapshot taken by policy, else the version the head row must have (0: there must be none yet). Where the
-- row is missing although the stream is not new, the events decide: heads may be dropped and are made again. Such a row keeps
-- the negative of h_before as its version_before until it is written next, which is how it is told from one that was there.
-- A constant number of set statements whatever the batch holds, all on p_book: one round trip, delegable on Citus.
CREATE FUNCTION log.append(
  p_book text, p_position bigint, p_tail uuid, p_new_tail uuid, p_recorded_at timestamptz,
  r_keys text[], r_items integer[], r_commands text[], r_fingerprints bytea[], r_statuses smallint[], r_answers text[],
  r_positions bigint[], r_members jsonb[],
  e_streams uuid[], e_versions bigint[], e_types text[], e_type_versions smallint[], e_ids uuid[], e_data jsonb[],
  e_metadata jsonb[], e_hashes bytea[],
  h_streams uuid[], h_before bigint[], h_versions bigint[], h_reducers smallint[], h_states jsonb[],
  n_categories text[], n_names text[], n_streams uuid[],
  x_streams uuid[], x_versions bigint[],
  c_hashes bytea[], c_salts bytea[], c_ips text[], c_agents text[]
) RETURNS TABLE (outcome text, "position" bigint, tail uuid, recorded_at timestamptz, floor timestamptz, clock timestamptz, receipts jsonb)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_clock    timestamptz := clock_timestamp();
  v_events   bigint := coalesce(cardinality(e_streams), 0);
  v_known    jsonb;
  v_head     log.book_heads;
  v_rows     bigint;
  v_made     uuid[];
BEGIN
  -- OFFSET 0 keeps this a look-up per key: planned on an empty table, a join would filter the whole table per key.
  SELECT jsonb_agg(jsonb_build_object(
           'key', r.key, 'item', r.item, 'command', r.command, 'fingerprint', encode(r.fingerprint, 'hex'), 'status', r.status,
           'answer', r.answer, 'position', r.position, 'members', r.members))
    INTO v_known
    FROM unnest(r_keys, r_items) AS k (key, item),
         LATERAL (SELECT * FROM log.receipts t WHERE t.book_id = p_book AND t.key = k.key AND t.item = k.item OFFSET 0) AS r;
  IF v_known IS NOT NULL THEN
    RETURN QUERY SELECT 'keys_known', NULL::bigint, NULL::uuid, NULL::timestamptz, NULL::timestamptz, v_clock, v_known;
    RETURN;
  END IF;

  IF p_position = 0 THEN
    INSERT INTO log.book_heads (book_id, position, tail, recorded_at, recorded_floor)
    VALUES (p_book, 0, '00000000-0000-0000-0000-000000000000', 'epoch', 'epoch')
    ON CONFLICT (book_id) DO NOTHING;
  END IF;

  UPDATE log.book_heads h
     SET position = p_position + v_events, tail = p_new_tail, recorded_at = p_recorded_at
   WHERE h.book_id = p_book AND h.position = p_position AND h.tail = p_tail
     AND p_recorded_at > h.recorded_at AND p_recorded_at > h.recorded_floor
     AND p_recorded_at <= greatest(v_clock + interval '2 seconds', h.recorded_at + interval '1 microsecond', h.recorded_floor + interval '1 microsecond');
  IF NOT FOUND THEN
    SELECT * INTO v_head FROM log.book_heads h WHERE h.book_id = p_book;
    IF v_head.position = p_position AND v_head.tail = p_tail THEN
      RETURN QUERY SELECT 'clock_refused', v_head.position, v_head.tail, v_head.recorded_at, v_head.recorded_floor, v_clock, NULL::jsonb;
    ELSE
      RETURN QUERY SELECT 'head_moved', coalesce(v_head.position, 0), coalesce(v_head.tail, '00000000-0000-0000-0000-000000000000'),
        coalesce(v_head.recorded_at, 'epoch'), coalesce(v_head.recorded_floor, 'epoch'), v_clock, NULL::jsonb;
    END IF;
    RETURN;
  END IF;

  IF v_events > 0 THEN
    INSERT INTO log.events (position, version, recorded_at, stream_id, event_id, event_version, book_id, event_type, data, metadata, leaf_hash)
    SELECT p_position + e.n, e.version, p_recorded_at, e.stream_id, e.event_id, e.event_version, p_book, e.event_type, e.data, e.metadata, e.leaf_hash
      FROM unnest(e_streams, e_versions, e_types, e_type_versions, e_ids, e_data, e_metadata, e_hashes)
           WITH ORDINALITY AS e (stream_id, version, event_type, event_version, event_id, data, metadata, leaf_hash, n);
    INSERT INTO log.batches (book_id, last_position, recorded_at) VALUES (p_book, p_position + v_events, p_recorded_at);
  END IF;

  IF cardinality(r_keys) > 0 THEN
    INSERT INTO log.receipts (recorded_at, position, item, status, book_id, key, command, fingerprint, answer, members)
    SELECT p_recorded_at, r.position, r.item, r.status, p_book, r.key, r.command, r.fingerprint, r.answer, r.members
      FROM unnest(r_keys, r_items, r_commands, r_fingerprints, r_statuses, r_answers, r_positions, r_members)
           AS r (key, item, command, fingerprint, status, answer, position, members);
  END IF;

  IF cardinality(h_streams) > 0 THEN
    WITH written AS (
      INSERT INTO log.heads AS t (version, version_before, stream_id, reducer_version, book_id, state)
      SELECT h.version, -h.before, h.stream_id, h.reducer_version, p_book, h.state
        FROM unnest(h_streams, h_before, h_versions, h_reducers, h_states) AS h (stream_id, before, version, reducer_version, state)
      ON CONFLICT (book_id, stream_id) DO UPDATE
         SET version = excluded.version, version_before = -excluded.version_before, reducer_version = excluded.reducer_version, state = excluded.state
       WHERE t.version = -excluded.version_before OR (excluded.version_before IS NULL AND t.version < excluded.version)
      RETURNING t.stream_id, t.version_before
    )
    SELECT count(*), array_agg(w.stream_id) FILTER (WHERE w.version_before < 0) INTO v_rows, v_made FROM written w;
    IF v_made IS NOT NULL THEN
      -- A head of nothing but counts has no events to ask.
      v_rows := v_rows - (
        SELECT count(*)
          FROM unnest(h_streams, h_before) AS h (stream_id, before)
         WHERE h.stream_id = ANY (v_made) AND h.stream_id = ANY (e_streams)
           AND NOT EXISTS (SELECT 1 FROM log.events e WHERE e.book_id = p_book AND e.stream_id = h.stream_id AND e.version = h.before OFFSET 0));
    END IF;
    IF v_rows <> cardinality(h_streams) THEN
      RAISE EXCEPTION 'book %: % of % streams are not at the version that the writer expected', p_book, cardinality(h_streams) - v_rows, cardinality(h_streams)
        USING ERRCODE = 'BK001', HINT = 'read the streams again and decide anew';
    END IF;
  END IF;

  IF cardinality(n_names) > 0 THEN
    INSERT INTO log.stream_names (stream_id, book_id, category, name)
    SELECT n.stream_id, p_book, n.category, n.name FROM unnest(n_streams, n_categories, n_names) AS n (stream_id, category, name);
  END IF;

  IF cardinality(x_streams) > 0 THEN
    SELECT count(*) INTO v_rows
      FROM unnest(x_streams, x_versions) AS x (stream_id, version),
           LATERAL (SELECT 1 FROM log.events e WHERE e.book_id = p_book AND e.stream_id = x.stream_id AND e.version = x.version OFFSET 0) AS e;
    IF v_rows <> cardinality(x_streams) THEN
      RAISE EXCEPTION 'book %: % of % streams are not at the version that the writer expected', p_book, cardinality(x_streams) - v_rows, cardinality(x_streams)
        USING ERRCODE = 'BK001', HINT = 'read the streams again and decide anew';
    END IF;
  END IF;

  IF cardinality(c_hashes) > 0 THEN
    INSERT INTO log.command_contexts (first_seen_at, book_id, context_hash, salt, ip, user_agent)
    SELECT p_recorded_at, p_book, c.hash, c.salt, c.ip, c.agent FROM unnest(c_hashes, c_salts, c_ips, c_agents) AS c (hash, salt, ip, agent)
    ON CONFLICT (book_id, context_hash) DO NOTHING;
  END IF;

  RETURN QUERY SELECT 'appended', p_position + v_events, p_new_tail, p_recorded_at, NULL::timestamptz, v_clock, NULL::jsonb;
END
$$;

-- touch_receipt commits a change of its own before a remembered answer is given again. A commit that waited for a standby is
-- durable locally before the standby has it; without this write a repeat after a crash would be answered from a row that a
-- failover can still lose (SCALE.md section 4, "the replay hole"). Returns false when there is no such receipt.
CREATE FUNCTION log.touch_receipt(p_book text, p_key text, p_item integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  UPDATE log.receipts r SET replays = r.replays + 1 WHERE r.book_id = p_book AND r.key = p_key AND r.item = p_item;
  RETURN FOUND;
END
$$;

-- raise_floor makes "as known at p_instant" final: whatever is recorded from now on is recorded later. Returns the head's
-- position and recorded_at as of that moment, and the database clock; raises nothing above the clock (the caller must refuse
-- an instant that has not come yet). No row: the book has no head.
CREATE FUNCTION log.raise_floor(p_book text, p_instant timestamptz)
RETURNS TABLE ("position" bigint, recorded_at timestamptz, clock timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v_clock timestamptz := clock_timestamp();
BEGIN
  IF p_instant <= v_clock THEN
    UPDATE log.book_heads h SET recorded_floor = p_instant
     WHERE h.book_id = p_book AND h.recorded_floor < p_instant AND h.recorded_at < p_instant;
  END IF;
  RETURN QUERY SELECT h.position, h.recorded_at, v_clock FROM log.book_heads h WHERE h.book_id = p_book;
END
$$;

-- hold_head locks the head of a book until the caller's SQL transaction ends and returns it: for a writer that has lost the race
-- for the head several times in a row, so that every process gets its turn however busy another is. A holder that stops is cut
-- off after five seconds. No row: the book has no head.
CREATE FUNCTION log.hold_head(p_book text)
RETURNS TABLE ("position" bigint, tail uuid, recorded_at timestamptz)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT h.position, h.tail, h.recorded_at FROM log.book_heads h WHERE h.book_id = p_book FOR UPDATE;
END
$$;

-- register_book enters a book into the directory; repeating it changes nothing.
CREATE FUNCTION log.register_book(p_book text, p_registered_at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
  INSERT INTO log.books (book_id, registered_at) VALUES (p_book, p_registered_at) ON CONFLICT (book_id) DO NOTHING;
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA log FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA log TO book_keeper_app;
