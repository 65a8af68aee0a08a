-- Cold storage: events that are old and final move to files outside the database, and only they. What is cold is always the beginning of a
-- log, positions 1 to the end of the last range, so that one number tells hot from cold (docs/DECISIONS.md). Batches, receipts, heads,
-- names, tiles and checkpoints stay.
SET LOCAL ROLE book_keeper_owner;

-- Tenant: which events stand in which file. checkpoint_size: a signed checkpoint that covers them. content: SHA-256 over the SHA-256 of each
-- row, all columns of it. newest_stream: the greatest UUIDv7 among the streams of this range and those before. own_stream: that of the first
-- event of the log, the book itself.
CREATE TABLE log.archived_ranges (
  from_position   bigint NOT NULL,
  to_position     bigint NOT NULL,
  checkpoint_size bigint NOT NULL,
  bytes           bigint NOT NULL,
  archived_at     timestamptz NOT NULL,
  newest_stream   uuid NOT NULL,
  own_stream      uuid NOT NULL,
  book_id         text COLLATE "C" NOT NULL,
  file            text COLLATE "C" NOT NULL,
  sha256          bytea NOT NULL,
  subtree_root    bytea NOT NULL,
  content         bytea NOT NULL,
  CONSTRAINT archived_ranges_pkey PRIMARY KEY (book_id, from_position),
  CONSTRAINT archived_ranges_whole_tiles CHECK (from_position % 256 = 1 AND to_position % 256 = 0 AND to_position > from_position),
  CONSTRAINT archived_ranges_covered CHECK (checkpoint_size >= to_position),
  CONSTRAINT archived_ranges_hashes CHECK (octet_length(sha256) = 32 AND octet_length(subtree_root) = 32 AND octet_length(content) = 32)
);

-- Tenant: where in a range the events of a stream are: its version first_version and those after it, as distances from from_position, four
-- bytes each, big-endian. What the unique key on log.events is for hot events. events: what the file says of them, of the book's own stream
-- only: what it is, its fiscal years and what became of its periods are few events that every report asks for, and no report of these days
-- is to hang on an old file.
CREATE TABLE log.archived_streams (
  from_position bigint NOT NULL,
  first_version bigint NOT NULL,
  stream_id     uuid NOT NULL,
  book_id       text COLLATE "C" NOT NULL,
  places        bytea NOT NULL,
  events        jsonb,
  CONSTRAINT archived_streams_pkey PRIMARY KEY (book_id, stream_id, from_position),
  CONSTRAINT archived_streams_places CHECK (octet_length(places) > 0 AND octet_length(places) % 4 = 0),
  CONSTRAINT archived_streams_events CHECK (jsonb_array_length(events) * 4 = octet_length(places))
);

-- The last version of a stream that is cold; NULL when none is.
CREATE FUNCTION log.archived_version(p_book text, p_stream uuid) RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, log, pg_temp
AS $$
  SELECT a.first_version + octet_length(a.places) / 4 - 1 FROM log.archived_streams a
   WHERE a.book_id = p_book AND a.stream_id = p_stream ORDER BY a.from_position DESC LIMIT 1
$$;

-- Takes a range of events out of the table that stands in a file: the only door, for role book_keeper_archiver. The caller has read the file
-- back and made the three hashes from it; here they are made from the rows: nothing goes that differs from the file in one byte, or from
-- what the log has signed, and no entry of a period that is not closed for ever. What no SQL can tell is whether the file is there: that is
-- the caller's to see, and verify's. Range, index and deletion are one SQL transaction.
-- @returns whether the range continued what is cold already; else nothing was done, and another archiver was faster.
CREATE FUNCTION log.archive_range(
  p_book text, p_from bigint, p_to bigint, p_file text, p_bytes bigint, p_sha256 bytea, p_root bytea, p_content bytea,
  p_checkpoint bigint, p_archived_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
DECLARE
  v_before log.archived_ranges;
  v_newest uuid;
  v_own    uuid;
  v_rows   bigint;
  v_hash   bytea;
  v_period text;
  v_roots  bytea[];
BEGIN
  IF p_book LIKE '%~%' THEN
    RAISE EXCEPTION 'log % is no book: its events have no periods that could be closed', p_book USING ERRCODE = 'BK005';
  END IF;
  SELECT * INTO v_before FROM log.archived_ranges r WHERE r.book_id = p_book ORDER BY r.from_position DESC LIMIT 1;
  IF coalesce(v_before.to_position, 0) <> p_from - 1 THEN
    RETURN false;
  END IF;
  SELECT e.stream_id INTO v_newest FROM log.events e
   WHERE e.book_id = p_book AND e.position BETWEEN p_from AND p_to AND get_byte(uuid_send(e.stream_id), 6) >> 4 = 7
   ORDER BY e.stream_id DESC LIMIT 1;
  v_own := coalesce(v_before.own_stream, (SELECT e.stream_id FROM log.events e WHERE e.book_id = p_book AND e.position = 1));
  -- Of two archivers the second one waits here for the first.
  INSERT INTO log.archived_ranges (from_position, to_position, checkpoint_size, bytes, archived_at, newest_stream, own_stream, book_id, file, sha256, subtree_root, content)
  VALUES (p_from, p_to, p_checkpoint, p_bytes, p_archived_at,
          greatest(v_before.newest_stream, coalesce(v_newest, '00000000-0000-0000-0000-000000000000')), v_own, p_book, p_file, p_sha256, p_root, p_content)
  ON CONFLICT (book_id, from_position) DO NOTHING;
  IF NOT FOUND THEN
    RETURN false;
  END IF;

  IF NOT EXISTS (SELECT FROM log.checkpoint_signatures s WHERE s.book_id = p_book AND s.size = p_checkpoint) THEN
    RAISE EXCEPTION 'book %: no checkpoint of % events was signed', p_book, p_checkpoint USING ERRCODE = 'BK005';
  END IF;
  -- Leaf by leaf what the tiles have, which stay.
  SELECT count(*) INTO v_rows
    FROM (SELECT (e.position - 1) / 256 AS tile, string_agg(e.leaf_hash, ''::bytea ORDER BY e.position) AS hashes
            FROM log.events e WHERE e.book_id = p_book AND e.position BETWEEN p_from AND p_to GROUP BY 1) AS f
    JOIN log.tiles t ON t.book_id = p_book AND t.level = 0 AND t.tile = f.tile AND t.hashes = f.hashes
   WHERE t.book_id = p_book;
  IF v_rows <> (p_to - p_from + 1) / 256 THEN
    RAISE EXCEPTION 'book %: events % to % are not those of the sealed tiles', p_book, p_from, p_to
      USING ERRCODE = 'BK005', HINT = 'run book-keeper verify';
  END IF;
  v_roots := ARRAY(SELECT t.root FROM log.tiles t
                    WHERE t.book_id = p_book AND t.level = 0 AND t.tile BETWEEN (p_from - 1) / 256 AND (p_to - 1) / 256 ORDER BY t.tile);
  WHILE cardinality(v_roots) > 1 LOOP
    -- RFC 9162 2.1.1, row by row; a node without a neighbour goes up as it is.
    v_roots := ARRAY(SELECT coalesce(sha256('\x01'::bytea || v_roots[2 * i - 1] || v_roots[2 * i]), v_roots[2 * i - 1])
                       FROM generate_series(1, (cardinality(v_roots) + 1) / 2) AS i ORDER BY i);
  END LOOP;
  IF v_roots[1] IS DISTINCT FROM p_root THEN
    RAISE EXCEPTION 'book %: the file of events % to % has another subtree root than the tiles', p_book, p_from, p_to USING ERRCODE = 'BK005';
  END IF;
  SELECT count(*), sha256(string_agg(r.hash, ''::bytea ORDER BY r.position)) INTO v_rows, v_hash
    FROM (SELECT e.position, sha256(convert_to(concat_ws(E'\t', e.position, e.version, (extract(epoch FROM e.recorded_at) * 1000000)::bigint,
                   e.stream_id, e.event_id, e.event_version, e.event_type, encode(e.leaf_hash, 'hex'), e.data, e.metadata), 'UTF8')) AS hash
            FROM log.events e WHERE e.book_id = p_book AND e.position BETWEEN p_from AND p_to) AS r;
  IF v_rows <> p_to - p_from + 1 OR v_hash IS DISTINCT FROM p_content THEN
    RAISE EXCEPTION 'book %: the file of events % to % does not hold what the table holds', p_book, p_from, p_to USING ERRCODE = 'BK005';
  END IF;
  -- What is closed for ever is never opened again, so the events that closed it are enough.
  SELECT e.position, concat(e.data ->> 'fiscalYear', '/', e.data ->> 'period') INTO v_rows, v_period
    FROM log.events e
   WHERE e.book_id = p_book AND e.position BETWEEN p_from AND p_to AND e.event_type = 'JournalEntryPosted'
     AND concat(e.data ->> 'fiscalYear', '/', e.data ->> 'period') <> ALL (ARRAY(
           SELECT concat(c.data ->> 'fiscalYear', '/', c.data ->> 'period')
             FROM (SELECT h.data FROM log.events h WHERE h.book_id = p_book AND h.stream_id = v_own AND h.event_type = 'PeriodClosed'
                   UNION ALL
                   SELECT (k ->> 'data')::jsonb FROM log.archived_streams a, jsonb_array_elements(a.events) AS k
                    WHERE a.book_id = p_book AND a.stream_id = v_own AND k ->> 'eventType' = 'PeriodClosed') AS c
            WHERE c.data ->> 'level' = 'hard'))
   ORDER BY e.position LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'book %: the entry at position % lies in period %, which is not closed for ever', p_book, v_rows, v_period USING ERRCODE = 'BK005';
  END IF;

  INSERT INTO log.archived_streams (from_position, first_version, stream_id, book_id, places, events)
  SELECT p_from, min(e.version), e.stream_id, p_book, string_agg(int4send((e.position - p_from)::integer), ''::bytea ORDER BY e.version),
         jsonb_agg(jsonb_build_object(
           'position', e.position, 'version', e.version, 'recordedAt', (extract(epoch FROM e.recorded_at) * 1000000)::bigint, 'streamId', e.stream_id,
           'eventId', e.event_id, 'eventVersion', e.event_version, 'eventType', e.event_type, 'leafHash', encode(e.leaf_hash, 'hex'),
           'data', e.data::text, 'metadata', e.metadata::text) ORDER BY e.version) FILTER (WHERE e.stream_id = v_own)
    FROM log.events e WHERE e.book_id = p_book AND e.position BETWEEN p_from AND p_to GROUP BY e.stream_id;
  DELETE FROM log.events e WHERE e.book_id = p_book AND e.position BETWEEN p_from AND p_to;
  GET DIAGNOSTICS v_rows = ROW_COUNT;
  IF v_rows <> p_to - p_from + 1 THEN
    RAISE EXCEPTION 'book %: of events % to % only % could be taken out', p_book, p_from, p_to, v_rows USING ERRCODE = 'BK005';
  END IF;
  RETURN true;
END
$$;

-- Appends to streams whose earlier events are cold; otherwise as before (0007).
CREATE OR REPLACE FUNCTION log.append(
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
  v_newest   uuid;
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

    -- The unique key does not see what is cold. Ids grow with time (UUIDv7), so those made since are not even looked up.
    SELECT r.newest_stream INTO v_newest FROM log.archived_ranges r WHERE r.book_id = p_book ORDER BY r.from_position DESC LIMIT 1;
    IF v_newest IS NOT NULL AND EXISTS (
      SELECT FROM (SELECT unnest(e_streams) AS stream_id, unnest(e_versions) AS version) AS e
       WHERE e.version = 1 AND (e.stream_id <= v_newest OR get_byte(uuid_send(e.stream_id), 6) >> 4 <> 7)
         AND EXISTS (SELECT FROM log.archived_streams a WHERE a.book_id = p_book AND a.stream_id = e.stream_id OFFSET 0)) THEN
      RAISE EXCEPTION 'book %: a stream that was to be new has events in cold storage', p_book
        USING ERRCODE = 'BK001', HINT = 'read the streams again and decide anew';
    END IF;
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
           AND NOT EXISTS (SELECT 1 FROM log.events e WHERE e.book_id = p_book AND e.stream_id = h.stream_id AND e.version = h.before OFFSET 0)
           AND log.archived_version(p_book, h.stream_id) IS DISTINCT FROM h.before);
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
    -- Only what is not among the hot events is asked of cold storage, so nothing is, most of the time.
    IF v_rows <> cardinality(x_streams) THEN
      SELECT count(*) INTO v_rows
        FROM unnest(x_streams, x_versions) AS x (stream_id, version)
       WHERE EXISTS (SELECT 1 FROM log.events e WHERE e.book_id = p_book AND e.stream_id = x.stream_id AND e.version = x.version OFFSET 0)
          OR log.archived_version(p_book, x.stream_id) = x.version;
    END IF;
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

REVOKE ALL ON FUNCTION log.archived_version, log.archive_range FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.archive_range TO book_keeper_archiver;
GRANT SELECT ON log.archived_ranges, log.archived_streams TO book_keeper_app, book_keeper_projector, book_keeper_auditor, book_keeper_archiver;
