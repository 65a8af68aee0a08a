-- API keys: who may call. An ordinary table, not part of any book. Only the SHA-256 of a key's secret is kept; the id is the
-- opaque userId that events carry (I12), so a key is revoked, never deleted.
SET LOCAL ROLE book_keeper_owner;

CREATE TABLE access.api_keys (
  id          uuid NOT NULL,
  name        text NOT NULL,
  secret_hash bytea NOT NULL,
  created_at  timestamptz NOT NULL,
  revoked_at  timestamptz,
  CONSTRAINT api_keys_pkey PRIMARY KEY (id),
  CONSTRAINT api_keys_secret_hash UNIQUE (secret_hash),
  CONSTRAINT api_keys_name_form CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$')
);
-- A name may be used again once its key is revoked; while it is valid it names one key.
CREATE UNIQUE INDEX api_keys_valid_name ON access.api_keys (name) WHERE revoked_at IS NULL;

GRANT SELECT, INSERT, UPDATE (revoked_at) ON access.api_keys TO book_keeper_app;
