-- Projections: everything here is folded from log.events and can be dropped and folded again (I7). Amounts are in major
-- units with the scale of their currency. All tables are tenant tables.
SET LOCAL ROLE book_keeper_projector;

-- How far a projection has folded a book; moved by compare-and-set in the SQL transaction that writes the rows.
CREATE TABLE projections.cursors (
  position   bigint NOT NULL,
  book_id    text COLLATE "C" NOT NULL,
  projection text COLLATE "C" NOT NULL,
  CONSTRAINT cursors_pkey PRIMARY KEY (book_id, projection)
) WITH (fillfactor = 50);

-- As-of on both axes: what was posted to (account, currency) with an effective date inside a bucket, counted up to and with
-- position. bucket: Y year, M month, D day; start is the bucket's first day. One row per bucket and commit batch, at the
-- batch's last position: a back-dated line appends rows and changes none. There is no bucket for all dates: it is the sum of
-- the years, a seek each, and would be a quarter of all rows.
CREATE TABLE projections.running_totals (
  position   bigint NOT NULL,
  account_id uuid NOT NULL,
  start      date NOT NULL,
  bucket     "char" NOT NULL,
  book_id    text COLLATE "C" NOT NULL,
  currency   text COLLATE "C" NOT NULL,
  debit      numeric NOT NULL,
  credit     numeric NOT NULL,
  CONSTRAINT running_totals_pkey PRIMARY KEY (book_id, account_id, currency, bucket, start, position),
  CONSTRAINT running_totals_bucket CHECK (bucket IN ('Y', 'M', 'D'))
);

-- The register: every posted line under its account, in statement order.
CREATE TABLE projections.account_lines (
  position       bigint NOT NULL,
  account_id     uuid NOT NULL,
  effective_date date NOT NULL,
  line           integer NOT NULL,
  side           "char" NOT NULL,
  book_id        text COLLATE "C" NOT NULL,
  currency       text COLLATE "C" NOT NULL,
  amount         numeric NOT NULL,
  CONSTRAINT account_lines_pkey PRIMARY KEY (book_id, account_id, effective_date, position, line),
  CONSTRAINT account_lines_side CHECK (side IN ('D', 'C'))
);

-- The journal index: one row per posted entry; the entry itself is the event at this position.
CREATE TABLE projections.entries (
  position       bigint NOT NULL,
  number         bigint NOT NULL,
  entry_id       uuid NOT NULL,
  effective_date date NOT NULL,
  book_id        text COLLATE "C" NOT NULL,
  journal_code   text COLLATE "C" NOT NULL,
  fiscal_year    text COLLATE "C" NOT NULL,
  entry_type     text COLLATE "C" NOT NULL,
  reference      text COLLATE "C",
  CONSTRAINT entries_pkey PRIMARY KEY (book_id, position),
  CONSTRAINT entries_number UNIQUE (book_id, journal_code, fiscal_year, number)
);
CREATE INDEX entries_effective_date ON projections.entries (book_id, effective_date, position);
CREATE INDEX entries_reference ON projections.entries (book_id, reference, position) WHERE reference IS NOT NULL;

-- The chart of accounts at any position: one row per change of an account, valid from its position on. state is the whole
-- account as the API shows it, without balances.
CREATE TABLE projections.account_versions (
  position   bigint NOT NULL,
  account_id uuid NOT NULL,
  book_id    text COLLATE "C" NOT NULL,
  code       text COLLATE "C" NOT NULL,
  state      jsonb NOT NULL,
  CONSTRAINT account_versions_pkey PRIMARY KEY (book_id, account_id, position)
);
CREATE INDEX account_versions_code ON projections.account_versions (book_id, code, position);

GRANT SELECT ON ALL TABLES IN SCHEMA projections TO book_keeper_auditor;
