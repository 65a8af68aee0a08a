-- The second lock on I3, for plain PostgreSQL (Citus refuses triggers on distributed tables; there the grants alone hold):
-- even the owner of the tables cannot change what was recorded without first dropping a trigger, which verify then finds.
SET LOCAL ROLE book_keeper_owner;

CREATE FUNCTION log.refuse_change() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION '% on log.% is refused: what is recorded is never changed (I3)', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'BK003', HINT = 'post a reversal or a correction instead';
END
$$;
REVOKE ALL ON FUNCTION log.refuse_change() FROM PUBLIC;

CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON log.events FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER events_not_truncated BEFORE TRUNCATE ON log.events FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER batches_append_only BEFORE UPDATE OR DELETE ON log.batches FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER batches_not_truncated BEFORE TRUNCATE ON log.batches FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER stream_names_append_only BEFORE UPDATE OR DELETE ON log.stream_names FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER stream_names_not_truncated BEFORE TRUNCATE ON log.stream_names FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER books_append_only BEFORE UPDATE OR DELETE ON log.books FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER books_not_truncated BEFORE TRUNCATE ON log.books FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
-- A receipt is as final as an event, but for the count of its replays.
CREATE TRIGGER receipts_append_only
  BEFORE UPDATE OF recorded_at, position, item, status, book_id, key, command, fingerprint, answer, members OR DELETE
  ON log.receipts FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER receipts_not_truncated BEFORE TRUNCATE ON log.receipts FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
