-- The Merkle log of each book: full tiles over the leaf hashes of its events, the tree heads that were or are to be signed, their
-- signatures, and the keys that sign. Tiles can be made again from log.events; the others cannot: they are what was said to others.
SET LOCAL ROLE book_keeper_owner;

-- Tenant: how far a book's tree goes, and its root there. Moved by compare-and-set (log.seal), so that of several sealers one extends it.
-- signed_size: the largest size that has a signature of ours. One hot row: room for in-page updates.
CREATE TABLE log.trees (
  size        bigint NOT NULL,
  signed_size bigint NOT NULL,
  book_id     text COLLATE "C" NOT NULL,
  root        bytea NOT NULL,
  CONSTRAINT trees_pkey PRIMARY KEY (book_id),
  CONSTRAINT trees_size_from_one CHECK (size > 0),
  CONSTRAINT trees_signed_up_to_size CHECK (signed_size BETWEEN 0 AND size),
  CONSTRAINT trees_root_sha256 CHECK (octet_length(root) = 32)
) WITH (fillfactor = 20);

-- Tenant: full tiles (C2SP tlog-tiles): 256 hashes side by side, and the hash over them, which is an entry of the level above. What is in
-- tiles that are not full yet stands in log.events (level 0) and in the roots of the level below. Stored as they are: hashes do not compress.
CREATE TABLE log.tiles (
  tile    bigint NOT NULL,
  level   smallint NOT NULL,
  book_id text COLLATE "C" NOT NULL,
  root    bytea NOT NULL,
  hashes  bytea NOT NULL,
  CONSTRAINT tiles_pkey PRIMARY KEY (book_id, level, tile),
  CONSTRAINT tiles_root_sha256 CHECK (octet_length(root) = 32),
  CONSTRAINT tiles_full CHECK (octet_length(hashes) = 8192)
);
ALTER TABLE log.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Tenant: heads of the tree. Recorded before they are signed, so that a crash in between can lead to no second head of that size.
CREATE TABLE log.checkpoints (
  size        bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  book_id     text COLLATE "C" NOT NULL,
  origin      text COLLATE "C" NOT NULL,
  root        bytea NOT NULL,
  CONSTRAINT checkpoints_pkey PRIMARY KEY (book_id, size),
  CONSTRAINT checkpoints_size_from_one CHECK (size > 0),
  CONSTRAINT checkpoints_root_sha256 CHECK (octet_length(root) = 32)
);

-- Tenant: signatures under checkpoints, ours and those of witnesses, as bytes behind the key's id (C2SP signed-note).
CREATE TABLE log.checkpoint_signatures (
  size      bigint NOT NULL,
  signed_at timestamptz NOT NULL,
  book_id   text COLLATE "C" NOT NULL,
  name      text COLLATE "C" NOT NULL,
  key_id    bytea NOT NULL,
  signature bytea NOT NULL,
  CONSTRAINT checkpoint_signatures_pkey PRIMARY KEY (book_id, size, name, key_id),
  CONSTRAINT checkpoint_signatures_key_id CHECK (octet_length(key_id) = 4)
);

-- Tenant: under which name a book's log was signed, from which size on. A second one begins when somebody accepts that a backup was
-- restored which lacks events that were signed already: one name must never stand for two logs. statement: the signed note that says
-- who did so and why, and what was given up; absent of the first.
CREATE TABLE log.origins (
  size        bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  number      integer NOT NULL,
  book_id     text COLLATE "C" NOT NULL,
  origin      text COLLATE "C" NOT NULL,
  statement   text,
  CONSTRAINT origins_pkey PRIMARY KEY (book_id, number)
);

-- Reference: the keys that sign, in the order in which they came into use; the last one is in use. statement: the note that says so,
-- signed by the key before unless that was lost, and by the key itself where it was at hand.
CREATE TABLE log.signing_keys (
  activated_at timestamptz NOT NULL,
  number       integer NOT NULL,
  name         text COLLATE "C" NOT NULL,
  public_key   bytea NOT NULL,
  statement    text NOT NULL,
  CONSTRAINT signing_keys_pkey PRIMARY KEY (number),
  CONSTRAINT signing_keys_ed25519 CHECK (octet_length(public_key) = 32)
);

-- Tenant: the audit packs that were built, each question once, so that it is answered with the same bytes again: since which earlier pack it
-- tells changes, which checkpoint it ends with, which signatures of witnesses were there, which release built it, and the signed note over
-- its manifest.
CREATE TABLE log.audit_packs (
  position        bigint NOT NULL,
  since_position  bigint,
  checkpoint_size bigint NOT NULL,
  begun_at        timestamptz NOT NULL,
  number          integer NOT NULL,
  book_id         text COLLATE "C" NOT NULL,
  question        text COLLATE "C" NOT NULL,
  release         text NOT NULL,
  manifest_hash   bytea NOT NULL,
  note            text NOT NULL,
  CONSTRAINT audit_packs_pkey PRIMARY KEY (book_id, number),
  CONSTRAINT audit_packs_question UNIQUE (book_id, question),
  CONSTRAINT audit_packs_manifest_sha256 CHECK (octet_length(manifest_hash) = 32)
);

-- Extends a book's tree from p_before to p_size leaves: adds the tiles that fill up, moves the head, and (with p_recorded_at) records
-- that head as a checkpoint. @returns whether the tree was at p_before; else nothing was written, and another sealer was faster.
CREATE FUNCTION log.seal(
  p_book text, p_before bigint, p_size bigint, p_root bytea, p_origin text, p_recorded_at timestamptz,
  t_levels smallint[], t_tiles bigint[], t_hashes bytea[], t_roots bytea[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  IF p_size < p_before OR p_size > coalesce((SELECT h.position FROM log.book_heads h WHERE h.book_id = p_book), 0) THEN
    RAISE EXCEPTION 'book %: a tree of % leaves cannot follow one of % in a log that ends elsewhere', p_book, p_size, p_before USING ERRCODE = 'BK004';
  END IF;
  IF p_recorded_at IS NOT NULL
     AND p_origin IS DISTINCT FROM (SELECT o.origin FROM log.origins o WHERE o.book_id = p_book ORDER BY o.number DESC LIMIT 1) THEN
    RAISE EXCEPTION 'book %: % is not the name that its log is signed under', p_book, p_origin USING ERRCODE = 'BK004';
  END IF;
  IF p_before = 0 THEN
    INSERT INTO log.trees (size, signed_size, book_id, root) VALUES (p_size, 0, p_book, p_root) ON CONFLICT (book_id) DO NOTHING;
  ELSE
    UPDATE log.trees t SET size = p_size, root = p_root WHERE t.book_id = p_book AND t.size = p_before AND (p_size > p_before OR t.root = p_root);
  END IF;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF cardinality(t_tiles) > 0 THEN
    INSERT INTO log.tiles (tile, level, book_id, root, hashes)
    SELECT n.tile, n.level, p_book, n.root, n.hashes FROM unnest(t_tiles, t_levels, t_roots, t_hashes) AS n (tile, level, root, hashes);
  END IF;
  IF p_recorded_at IS NOT NULL THEN
    INSERT INTO log.checkpoints (size, recorded_at, book_id, origin, root) VALUES (p_size, p_recorded_at, p_book, p_origin, p_root)
    ON CONFLICT (book_id, size) DO NOTHING;
  END IF;
  RETURN true;
END
$$;

-- Keeps a signature under a checkpoint. p_ours: whether it is the log's own, or a witness's.
CREATE FUNCTION log.record_signature(
  p_book text, p_size bigint, p_name text, p_key_id bytea, p_signature bytea, p_signed_at timestamptz, p_ours boolean
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM log.checkpoints c WHERE c.book_id = p_book AND c.size = p_size) THEN
    RAISE EXCEPTION 'book % has no checkpoint of % leaves that could be signed', p_book, p_size USING ERRCODE = 'BK004';
  END IF;
  INSERT INTO log.checkpoint_signatures (size, signed_at, book_id, name, key_id, signature)
  VALUES (p_size, p_signed_at, p_book, p_name, p_key_id, p_signature)
  ON CONFLICT (book_id, size, name, key_id) DO NOTHING;
  IF p_ours THEN
    UPDATE log.trees t SET signed_size = p_size WHERE t.book_id = p_book AND t.signed_size < p_size;
  END IF;
END
$$;

-- The next key that signs. @returns whether it was the next one: of several processes that make one at first start, one wins.
CREATE FUNCTION log.record_signing_key(
  p_number integer, p_name text, p_public_key bytea, p_activated_at timestamptz, p_statement text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  IF p_number > 1 AND NOT EXISTS (SELECT FROM log.signing_keys k WHERE k.number = p_number - 1) THEN
    RAISE EXCEPTION 'there is no signing key % that another one could follow', p_number - 1 USING ERRCODE = 'BK004';
  END IF;
  INSERT INTO log.signing_keys (activated_at, number, name, public_key, statement)
  VALUES (p_activated_at, p_number, p_name, p_public_key, p_statement)
  ON CONFLICT (number) DO NOTHING;
  RETURN FOUND;
END
$$;

-- The next name of a book's log. @returns whether it was the next one
CREATE FUNCTION log.record_origin(
  p_book text, p_number integer, p_origin text, p_size bigint, p_recorded_at timestamptz, p_statement text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  IF p_number > 1 AND NOT EXISTS (SELECT FROM log.origins o WHERE o.book_id = p_book AND o.number = p_number - 1) THEN
    RAISE EXCEPTION 'book % has no origin % that another one could follow', p_book, p_number - 1 USING ERRCODE = 'BK004';
  END IF;
  -- The name of the installation, the book, and from the second name on its number.
  IF p_origin IS DISTINCT FROM (SELECT k.name FROM log.signing_keys k ORDER BY k.number DESC LIMIT 1)
     || '/' || p_book || (CASE p_number WHEN 1 THEN '' ELSE '~' || p_number END) THEN
    RAISE EXCEPTION 'book %: its log cannot have the name %', p_book, p_origin USING ERRCODE = 'BK004';
  END IF;
  INSERT INTO log.origins (size, recorded_at, number, book_id, origin, statement)
  VALUES (p_size, p_recorded_at, p_number, p_book, p_origin, p_statement)
  ON CONFLICT (book_id, number) DO NOTHING;
  RETURN FOUND;
END
$$;

-- An audit pack that was built whole, under the next number. @returns whether it is the first for its question and under this number
CREATE FUNCTION log.record_audit_pack(
  p_book text, p_number integer, p_question text, p_position bigint, p_since bigint, p_checkpoint_size bigint, p_begun_at timestamptz,
  p_release text, p_manifest_hash bytea, p_note text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  IF p_number > 1 AND NOT EXISTS (SELECT FROM log.audit_packs a WHERE a.book_id = p_book AND a.number = p_number - 1) THEN
    RAISE EXCEPTION 'book % has no audit pack % that another one could follow', p_book, p_number - 1 USING ERRCODE = 'BK004';
  END IF;
  INSERT INTO log.audit_packs (position, since_position, checkpoint_size, begun_at, number, book_id, question, release, manifest_hash, note)
  VALUES (p_position, p_since, p_checkpoint_size, p_begun_at, p_number, p_book, p_question, p_release, p_manifest_hash, p_note)
  ON CONFLICT DO NOTHING;
  RETURN FOUND;
END
$$;

REVOKE ALL ON FUNCTION log.seal, log.record_signature, log.record_signing_key, log.record_origin, log.record_audit_pack FROM PUBLIC;
GRANT EXECUTE ON FUNCTION log.seal, log.record_signature, log.record_signing_key, log.record_origin, log.record_audit_pack TO book_keeper_app;
GRANT SELECT ON log.trees, log.tiles, log.checkpoints, log.checkpoint_signatures, log.origins, log.signing_keys, log.audit_packs
  TO book_keeper_app, book_keeper_projector, book_keeper_auditor, book_keeper_archiver;
