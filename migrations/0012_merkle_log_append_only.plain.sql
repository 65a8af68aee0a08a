-- The second lock on what the Merkle log said to others, as in 0004. log.trees moves with every seal.
SET LOCAL ROLE book_keeper_owner;

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['tiles', 'checkpoints', 'checkpoint_signatures', 'origins', 'signing_keys', 'audit_packs']
  LOOP
    EXECUTE format('CREATE TRIGGER %I BEFORE UPDATE OR DELETE ON log.%I FOR EACH ROW EXECUTE FUNCTION log.refuse_change()', name || '_append_only', name);
    EXECUTE format('CREATE TRIGGER %I BEFORE TRUNCATE ON log.%I FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change()', name || '_not_truncated', name);
  END LOOP;
END
$$;
