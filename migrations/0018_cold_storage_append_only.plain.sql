-- The second lock on I3 with cold storage (0004, 0017): an event may leave the table when a range says in which file it stands, and never
-- otherwise, whoever deletes it. Ranges and their index are as final as the events that they stand for.
SET LOCAL ROLE book_keeper_owner;

CREATE FUNCTION log.refuse_loss() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, log, pg_temp
AS $$
BEGIN
  IF EXISTS (
    SELECT FROM (SELECT g.book_id, max(g.position) AS last FROM gone g GROUP BY g.book_id) AS g
     WHERE g.last > coalesce((SELECT r.to_position FROM log.archived_ranges r WHERE r.book_id = g.book_id ORDER BY r.from_position DESC LIMIT 1), 0)) THEN
    RAISE EXCEPTION '% on log.% is refused: what is recorded is never changed (I3)', TG_OP, TG_TABLE_NAME
      USING ERRCODE = 'BK003', HINT = 'events leave the table by log.archive_range only, when they stand in cold storage';
  END IF;
  RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION log.refuse_loss() FROM PUBLIC;

DROP TRIGGER events_append_only ON log.events;
CREATE TRIGGER events_append_only BEFORE UPDATE ON log.events FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER events_archived_first AFTER DELETE ON log.events REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_loss();
CREATE TRIGGER archived_ranges_append_only BEFORE UPDATE OR DELETE ON log.archived_ranges FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER archived_ranges_not_truncated BEFORE TRUNCATE ON log.archived_ranges FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER archived_streams_append_only BEFORE UPDATE OR DELETE ON log.archived_streams FOR EACH ROW EXECUTE FUNCTION log.refuse_change();
CREATE TRIGGER archived_streams_not_truncated BEFORE TRUNCATE ON log.archived_streams FOR EACH STATEMENT EXECUTE FUNCTION log.refuse_change();
