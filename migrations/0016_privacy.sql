-- Keys of persons, in a schema of their own so that they are backed up apart from the books (pg_dump --schema=privacy and
-- --exclude-schema=privacy): whoever restores an old backup of the events gets no key with it. Keys are kept wrapped by a master key that
-- is not in the database. libs/privacy writes and reads them; nobody else has a right here.
CREATE SCHEMA privacy AUTHORIZATION book_keeper_owner;
SET LOCAL ROLE book_keeper_owner;
GRANT USAGE ON SCHEMA privacy TO book_keeper_app;

-- Tenant: one key per person and scope. wrapped: iv, ciphertext and tag; fingerprint: tells the key without leading back to it.
CREATE TABLE privacy.subject_keys (
  created_at    timestamptz NOT NULL,
  subject_id    uuid NOT NULL,
  master_number integer NOT NULL,
  book_id       text COLLATE "C" NOT NULL,
  scope         text COLLATE "C" NOT NULL,
  fingerprint   bytea NOT NULL,
  wrapped       bytea NOT NULL,
  CONSTRAINT subject_keys_pkey PRIMARY KEY (book_id, subject_id, scope),
  CONSTRAINT subject_keys_scope_form CHECK (scope ~ '^[a-z0-9-]{1,40}$')
);

-- Tenant: keys that are no more, and never will be again. rewritten_at: since when no page of subject_keys can hold them; NULL: not yet.
CREATE TABLE privacy.destroyed_keys (
  destroyed_at timestamptz NOT NULL,
  rewritten_at timestamptz,
  subject_id   uuid NOT NULL,
  book_id      text COLLATE "C" NOT NULL,
  scope        text COLLATE "C" NOT NULL,
  CONSTRAINT destroyed_keys_pkey PRIMARY KEY (book_id, subject_id, scope)
);

-- Reference: the master keys that were used so far, told by their fingerprints.
CREATE TABLE privacy.master_keys (
  number        integer NOT NULL,
  first_seen_at timestamptz NOT NULL,
  fingerprint   bytea NOT NULL,
  CONSTRAINT master_keys_pkey PRIMARY KEY (number)
);

GRANT SELECT, INSERT ON privacy.subject_keys, privacy.master_keys TO book_keeper_app;
GRANT SELECT ON privacy.destroyed_keys TO book_keeper_app;

-- Takes keys away and remembers that they are: both or neither. The keys first, as whoever rewrites their table does, or the two could
-- wait for each other. True: there was one, and pages hold it still.
CREATE FUNCTION privacy.destroy_keys(p_book text, p_subject uuid, p_scopes text[], p_at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, privacy, pg_temp
AS $$
DECLARE
  gone text[];
BEGIN
  WITH deleted AS (
    DELETE FROM privacy.subject_keys WHERE book_id = p_book AND subject_id = p_subject AND scope = ANY (p_scopes) RETURNING scope
  )
  SELECT coalesce(array_agg(d.scope), '{}') INTO gone FROM deleted d;
  INSERT INTO privacy.destroyed_keys (destroyed_at, rewritten_at, subject_id, book_id, scope)
  SELECT p_at, CASE WHEN s = ANY (gone) THEN NULL ELSE p_at END, p_subject, p_book, s FROM unnest(p_scopes) AS s
  ON CONFLICT (book_id, subject_id, scope) DO UPDATE SET rewritten_at = NULL WHERE destroyed_keys.scope = ANY (gone);
  RETURN cardinality(gone) > 0;
END
$$;

-- DELETE leaves the bytes of a row in its page until something else takes their place, and VACUUM may have to leave them longer; a table
-- that is written anew has the rows that are visible now and no others (PostgreSQL manual, ALTER TABLE, Notes). The expression is what
-- makes PostgreSQL rewrite it. Gives up where somebody holds the table for long: it is done with the next call.
CREATE FUNCTION privacy.rewrite_keys(p_at timestamptz, p_always boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, privacy, pg_temp
SET lock_timeout = '2s'
AS $$
BEGIN
  -- One that was made in the moment in which it was destroyed.
  IF EXISTS (SELECT FROM privacy.destroyed_keys d JOIN privacy.subject_keys k USING (book_id, subject_id, scope)) THEN
    DELETE FROM privacy.subject_keys k USING privacy.destroyed_keys d
     WHERE k.book_id = d.book_id AND k.subject_id = d.subject_id AND k.scope = d.scope;
  ELSIF NOT p_always AND NOT EXISTS (SELECT FROM privacy.destroyed_keys WHERE rewritten_at IS NULL) THEN
    RETURN;
  END IF;
  ALTER TABLE privacy.subject_keys ALTER COLUMN wrapped TYPE bytea USING (wrapped || ''::bytea);
  UPDATE privacy.destroyed_keys SET rewritten_at = p_at WHERE rewritten_at IS NULL;
END
$$;

-- Puts a key under another master key, unless it was changed or destroyed meanwhile.
CREATE FUNCTION privacy.rewrap_key(p_book text, p_subject uuid, p_scope text, p_before bytea, p_wrapped bytea, p_number integer) RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, privacy, pg_temp
AS $$
  UPDATE privacy.subject_keys SET wrapped = p_wrapped, master_number = p_number
   WHERE book_id = p_book AND subject_id = p_subject AND scope = p_scope AND wrapped = p_before
$$;

REVOKE ALL ON FUNCTION privacy.destroy_keys(text, uuid, text[], timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION privacy.rewrite_keys(timestamptz, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION privacy.rewrap_key(text, uuid, text, bytea, bytea, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION privacy.destroy_keys(text, uuid, text[], timestamptz) TO book_keeper_app;
GRANT EXECUTE ON FUNCTION privacy.rewrite_keys(timestamptz, boolean) TO book_keeper_app;
GRANT EXECUTE ON FUNCTION privacy.rewrap_key(text, uuid, text, bytea, bytea, integer) TO book_keeper_app;
