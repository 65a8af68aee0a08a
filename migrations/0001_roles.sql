-- Roles and schemas. Roles belong to the whole server and may exist already (another book-keeper database, an operator who
-- made them first); schemas belong to this database. Nothing here may give a login the right to change an event (I3):
--   book_keeper_owner      owns schema log and every function in it; nobody logs in as it, the service is not a member of it
--   book_keeper_app        what the service is: SELECT on log, EXECUTE on the functions that write, member of projector
--   book_keeper_projector  owns schema projections: everything in it can be dropped and folded again from log.events
--   book_keeper_auditor    SELECT on everything but credentials
--   book_keeper_archiver   may move old events to cold storage (a later migration gives it its one function)
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['book_keeper_owner', 'book_keeper_app', 'book_keeper_projector', 'book_keeper_auditor', 'book_keeper_archiver']
  LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- another database of this server is being migrated at the same moment
    END;
  END LOOP;
  IF NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN
    EXECUTE format('GRANT book_keeper_owner, book_keeper_projector TO %I', current_user);
  END IF;
  IF NOT pg_has_role('book_keeper_app', 'book_keeper_projector', 'MEMBER') THEN
    GRANT book_keeper_projector TO book_keeper_app;
  END IF;
END
$$;

CREATE SCHEMA log AUTHORIZATION book_keeper_owner;
CREATE SCHEMA projections AUTHORIZATION book_keeper_projector;
CREATE SCHEMA access AUTHORIZATION book_keeper_owner;

GRANT USAGE ON SCHEMA log TO book_keeper_app, book_keeper_projector, book_keeper_auditor, book_keeper_archiver;
GRANT USAGE ON SCHEMA access TO book_keeper_app;
GRANT USAGE ON SCHEMA projections TO book_keeper_auditor;
