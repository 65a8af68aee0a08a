-- A cheaper append; what it does and answers is as before (0003).
-- Rows are made by set-returning functions in the target list instead of FROM unnest(...): these are handed on one by one, where
-- FROM puts every row into a tuple store and takes it out again (and spills it to disk beyond work_mem: a batch of large entries).
-- Arrays of one set have one length, which the writer's encoder guarantees; were one shorter, NULLs would be refused.
-- The state of a head is json instead of jsonb: it is written with every batch and only ever read as a whole.
-- Measured (2 cores, PostgreSQL 18.4, backend time): insert into log.events 4.9 instead of 6.5 us per event; upsert of a head 7
-- instead of 9.5 us per row.
SET LOCAL ROLE book_keeper_owner;

ALTER TABLE log.heads ALTER COLUMN state TYPE json;

DROP FUNCTION log.append;
CREATE FUNCTION log.append(
  p_book text, p_position bigint, p_tail uuid, p_new_tail uuid, p_recorded_at timestamptz,
  r_keys text[], r_items integer[], r_commands text[], r_fingerprints bytea[], r_statuses smallint[], r_answers text[],
  r_positions bigint[], r_members jsonb[],
  e_streams uuid[], e_versions bigint[], e_types text[], e_type_versions smallint[], e_ids uuid[], e_data jsonb[],
  e_metadata jsonb[], e_hashes bytea[],
  h_streams uuid[], h_before bigint[], h_versions bigint[], h_reducers smallint[], h_states json[],
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
    SELECT e.position, e.version, p_recorded_at, e.stream_id, e.event_id, e.event_version, p_book, e.event_type, e.data, e.metadata, e.leaf_hash
      FROM (SELECT generate_series(p_position + 1, p_position + v_events) AS position, unnest(e_versions) AS version,
                   unnest(e_streams) AS stream_id, unnest(e_ids) AS event_id, unnest(e_type_versions) AS event_version,
                   unnest(e_types) AS event_type, unnest(e_data) AS data, unnest(e_metadata) AS metadata,
                   unnest(e_hashes) AS leaf_hash) AS e;
    INSERT INTO log.batches (book_id, last_position, recorded_at) VALUES (p_book, p_position + v_events, p_recorded_at);
  END IF;

  IF cardinality(r_keys) > 0 THEN
    INSERT INTO log.receipts (recorded_at, position, item, status, book_id, key, command, fingerprint, answer, members)
    SELECT p_recorded_at, r.position, r.item, r.status, p_book, r.key, r.command, r.fingerprint, r.answer, r.members
      FROM (SELECT unnest(r_positions) AS position, unnest(r_items) AS item, unnest(r_statuses) AS status, unnest(r_keys) AS key,
                   unnest(r_commands) AS command, unnest(r_fingerprints) AS fingerprint, unnest(r_answers) AS answer,
                   unnest(r_members) AS members) AS r;
  END IF;

  IF cardinality(h_streams) > 0 THEN
    WITH written AS (
      INSERT INTO log.heads AS t (version, version_before, stream_id, reducer_version, book_id, state)
      SELECT h.version, -h.before, h.stream_id, h.reducer_version, p_book, h.state
        FROM (SELECT unnest(h_versions) AS version, unnest(h_before) AS before, unnest(h_streams) AS stream_id,
                     unnest(h_reducers) AS reducer_version, unnest(h_states) AS state) AS h
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

REVOKE ALL ON FUNCTION log.append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.append TO book_keeper_app;
