-- The log: events, the head of each book, the heads (snapshots) of each stream, receipts. Written by the functions of
-- 0003 only. Tables marked "tenant" have book_id first in every key, so that the same schema runs distributed (Citus).
SET LOCAL ROLE book_keeper_owner;

-- Reference: which books exist. Written before BookOpened, idempotently; the only table that lists books.
CREATE TABLE log.books (
  book_id       text COLLATE "C" NOT NULL,
  registered_at timestamptz NOT NULL,
  CONSTRAINT books_pkey PRIMARY KEY (book_id),
  CONSTRAINT books_id_form CHECK (book_id ~ '^(~system|[a-z0-9][a-z0-9-]{0,39}(~actions)?)$')
);

-- Tenant: the head of a book. position counts events; tail is new with every append, also with one that stores only
-- refusals, so that (position, tail) names one state of the book and no other; recorded_floor is the latest instant that a
-- query was answered for: nothing may be recorded at or before it any more. One hot row: room for in-page updates.
CREATE TABLE log.book_heads (
  book_id        text COLLATE "C" NOT NULL,
  position       bigint NOT NULL,
  tail           uuid NOT NULL,
  recorded_at    timestamptz NOT NULL,
  recorded_floor timestamptz NOT NULL,
  CONSTRAINT book_heads_pkey PRIMARY KEY (book_id),
  CONSTRAINT book_heads_position_not_negative CHECK (position >= 0)
) WITH (fillfactor = 20);

-- Tenant: the books and the audit trail. Fixed-width columns first: 8-byte alignment costs no padding.
CREATE TABLE log.events (
  position      bigint NOT NULL,
  version       bigint NOT NULL,
  recorded_at   timestamptz NOT NULL,
  stream_id     uuid NOT NULL,
  event_id      uuid NOT NULL,
  event_version smallint NOT NULL,
  book_id       text COLLATE "C" NOT NULL,
  event_type    text COLLATE "C" NOT NULL,
  data          jsonb NOT NULL,
  metadata      jsonb NOT NULL,
  leaf_hash     bytea NOT NULL,
  CONSTRAINT events_pkey PRIMARY KEY (book_id, position),
  CONSTRAINT events_stream_version UNIQUE (book_id, stream_id, version),
  CONSTRAINT events_position_from_one CHECK (position > 0),
  CONSTRAINT events_version_from_one CHECK (version > 0),
  CONSTRAINT events_leaf_hash_sha256 CHECK (octet_length(leaf_hash) = 32)
);

-- Tenant: one row per append that wrote events; recorded_at grows with last_position (I10), so it answers both "which
-- position was the last one known at this instant?" and "where does the batch of this position begin and end?" by one seek.
CREATE TABLE log.batches (
  last_position bigint NOT NULL,
  recorded_at   timestamptz NOT NULL,
  book_id       text COLLATE "C" NOT NULL,
  CONSTRAINT batches_pkey PRIMARY KEY (book_id, last_position),
  CONSTRAINT batches_recorded_at UNIQUE (book_id, recorded_at)
);

-- Tenant: the state of a stream at a version, as its aggregate's reducer folds it. A row that is missing or of another
-- reducer_version is folded again from events. version_before is the version that the writer of this row started from: it
-- lets ON CONFLICT compare the expected version without a second look-up.
CREATE TABLE log.heads (
  version         bigint NOT NULL,
  version_before  bigint,
  stream_id       uuid NOT NULL,
  reducer_version smallint NOT NULL,
  book_id         text COLLATE "C" NOT NULL,
  state           jsonb NOT NULL,
  CONSTRAINT heads_pkey PRIMARY KEY (book_id, stream_id),
  CONSTRAINT heads_version_from_one CHECK (version > 0)
) WITH (fillfactor = 70);

-- Tenant: names that lead to a stream (an account code to its account). Given once, for ever.
CREATE TABLE log.stream_names (
  stream_id uuid NOT NULL,
  book_id   text COLLATE "C" NOT NULL,
  category  text COLLATE "C" NOT NULL,
  name      text COLLATE "C" NOT NULL,
  CONSTRAINT stream_names_pkey PRIMARY KEY (book_id, category, name)
);

-- Tenant: the outcome of every command that was decided (I6): done, rejected, conflict, not_found. answer is the body that
-- was sent, byte for byte. members holds a fingerprint per member of a refused command, because no event tells what it said.
CREATE TABLE log.receipts (
  recorded_at timestamptz NOT NULL,
  position    bigint,
  item        integer NOT NULL,
  replays     integer NOT NULL DEFAULT 0,
  status      smallint NOT NULL,
  book_id     text COLLATE "C" NOT NULL,
  key         text COLLATE "C" NOT NULL,
  command     text COLLATE "C" NOT NULL,
  fingerprint bytea NOT NULL,
  answer      text NOT NULL,
  members     jsonb,
  CONSTRAINT receipts_pkey PRIMARY KEY (book_id, key, item),
  CONSTRAINT receipts_fingerprint_sha256 CHECK (octet_length(fingerprint) = 32)
) WITH (fillfactor = 95);

-- Tenant: from where commands came (personal data, may be erased); events hold context_hash only.
CREATE TABLE log.command_contexts (
  first_seen_at timestamptz NOT NULL,
  book_id       text COLLATE "C" NOT NULL,
  context_hash  bytea NOT NULL,
  salt          bytea NOT NULL,
  ip            text,
  user_agent    text,
  CONSTRAINT command_contexts_pkey PRIMARY KEY (book_id, context_hash)
);

GRANT SELECT ON ALL TABLES IN SCHEMA log TO book_keeper_app, book_keeper_projector, book_keeper_auditor, book_keeper_archiver;
REVOKE SELECT ON log.command_contexts FROM book_keeper_projector, book_keeper_archiver;
