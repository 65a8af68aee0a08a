-- Projections make their own tables: each is declared in its file (libs/ledger/src/projections), and prepareProjections makes what
-- is missing, after migrating and when a service starts. The tables that older migrations made are dropped; every book is folded
-- again from its first event. Here stay the cursors, which now say the version that folded, and the sets that there are.
SET LOCAL ROLE book_keeper_projector;

DROP TABLE projections.running_totals, projections.account_lines, projections.entries, projections.account_versions, projections.cursors;

-- How far a set of a projection has folded a book; moved by compare-and-set in the SQL transaction that writes the rows. projection is
-- the name for the live set, name~set for any other.
CREATE TABLE projections.cursors (
  position   bigint NOT NULL,
  version    integer NOT NULL,
  book_id    text COLLATE "C" NOT NULL,
  projection text COLLATE "C" NOT NULL,
  CONSTRAINT cursors_pkey PRIMARY KEY (book_id, projection)
) WITH (fillfactor = 50);

-- The sets of tables of each projection; build is a set's number, among all sets. The live one has the plain table names and is what
-- queries read; a set that is being built and one that was replaced have names that end with __ and their number. made_by: service,
-- for a version that the release brings; command, for what somebody asked for (a rebuild, a scratch set), which no service folds.
-- indexed: false while rows are copied into tables without indexes. tables: their plain names, with blanks in between.
CREATE TABLE projections.builds (
  begun_at   timestamptz NOT NULL,
  build      integer NOT NULL,
  version    integer NOT NULL,
  indexed    boolean NOT NULL,
  projection text COLLATE "C" NOT NULL,
  state      text COLLATE "C" NOT NULL,
  made_by    text COLLATE "C" NOT NULL,
  tables     text NOT NULL,
  CONSTRAINT builds_pkey PRIMARY KEY (build),
  CONSTRAINT builds_state CHECK (state IN ('live', 'building', 'retired', 'scratch')),
  CONSTRAINT builds_made_by CHECK (made_by IN ('service', 'command'))
);
CREATE UNIQUE INDEX builds_live ON projections.builds (projection) WHERE state = 'live';
CREATE UNIQUE INDEX builds_building ON projections.builds (projection) WHERE state = 'building';

GRANT SELECT ON projections.cursors, projections.builds TO book_keeper_auditor;
