-- The audit trail as a hash chain: each SQL transaction that changed audited tables, with all of its changes, is a link that holds the hash
-- of the one before. Links are made after the commit, in the order in which they are found there (audit.seal), so that writers wait for
-- nobody. The last link is to be kept where whoever can write this database cannot change it: book-keeper puts it into its log ~system,
-- whose Merkle tree is signed.
SET LOCAL ROLE audit_trail_owner;

CREATE TABLE audit.chain (
  place   bigint NOT NULL,
  number  bigint NOT NULL,
  changes bigint NOT NULL,
  hash    bytea NOT NULL,
  chain   bytea NOT NULL,
  CONSTRAINT chain_pkey PRIMARY KEY (place),
  CONSTRAINT chain_number UNIQUE (number),
  CONSTRAINT chain_place_from_one CHECK (place > 0),
  CONSTRAINT chain_sha256 CHECK (octet_length(hash) = 32 AND octet_length(chain) = 32)
);

-- The hash of an SQL transaction: SHA-256 over the hash of who did it and when, and the hashes of its changes in the order of seq, each of
-- the text that PostgreSQL gives a jsonb object, times in UTC.
CREATE FUNCTION audit.hash_of(p_number bigint, OUT changes bigint, OUT hash bytea)
LANGUAGE sql STABLE
SET search_path = pg_catalog, audit, pg_temp SET timezone = 'UTC'
AS $$
  SELECT count(c.seq), sha256(sha256(convert_to(jsonb_build_object(
           'number', x.number, 'beganAt', x.began_at, 'committedAt', k.committed_at, 'login', x.login, 'actor', x.actor, 'ip', x.ip,
           'agent', x.agent, 'reason', x.reason)::text, 'UTF8'))
         || coalesce(string_agg(sha256(convert_to(jsonb_build_object(
           'seq', c.seq, 'changedAt', c.changed_at, 'table', c.table_id, 'operation', c.operation, 'key', c.row_key, 'old', c.old, 'new', c.new,
           'place', c.place, 'depth', c.depth)::text, 'UTF8')), '' ORDER BY c.seq), ''))
    FROM audit.transactions x
    JOIN audit.commits k ON k.number = x.number
    LEFT JOIN audit.changes c ON c.number = x.number
   WHERE x.number = p_number
   GROUP BY x.number, k.committed_at
$$;

-- Makes links of what waits, p_limit at most. One session at a time. Returns the last link there is; none: place 0.
CREATE FUNCTION audit.seal(p_limit integer DEFAULT 1000, OUT place bigint, OUT chain bytea, OUT made integer)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
  v_number bigint;
  v_link   record;
BEGIN
  made := 0;
  IF EXISTS (SELECT FROM audit.unsealed) THEN
    LOCK TABLE audit.chain IN SHARE ROW EXCLUSIVE MODE;
  END IF;
  SELECT c.place, c.chain INTO place, chain FROM audit.chain c ORDER BY c.place DESC LIMIT 1;
  place := coalesce(place, 0);
  chain := coalesce(chain, decode(repeat('00', 32), 'hex'));
  FOR v_number IN SELECT u.number FROM audit.unsealed u ORDER BY u.number LIMIT p_limit
  LOOP
    SELECT * INTO v_link FROM audit.hash_of(v_number);
    place := place + 1;
    chain := sha256(chain || v_link.hash);
    made := made + 1;
    INSERT INTO audit.chain (place, number, changes, hash, chain) VALUES (place, v_number, v_link.changes, v_link.hash, chain);
    DELETE FROM audit.unsealed u WHERE u.number = v_number;
  END LOOP;
END
$$;
REVOKE ALL ON FUNCTION audit.seal FROM PUBLIC;

CREATE TRIGGER chain_append_only BEFORE UPDATE OR DELETE ON audit.chain FOR EACH ROW EXECUTE FUNCTION audit.refuse_change();
CREATE TRIGGER chain_not_truncated BEFORE TRUNCATE ON audit.chain FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change();
ALTER TABLE audit.chain ENABLE ALWAYS TRIGGER chain_append_only, ENABLE ALWAYS TRIGGER chain_not_truncated;

-- Who uses it as book-keeper does; elsewhere these roles need not be.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'book_keeper_app') THEN
    GRANT EXECUTE ON FUNCTION audit.seal TO book_keeper_app;
    GRANT SELECT ON ALL TABLES IN SCHEMA audit TO book_keeper_app, book_keeper_auditor;
  END IF;
END
$$;
