-- What a key may do beyond what every key may: `controller` closes and reopens periods and posts into softly closed ones. Roles
-- will say more. scopes: words, with blanks in between, so that a new one needs no migration.
SET LOCAL ROLE book_keeper_owner;

ALTER TABLE access.api_keys ADD COLUMN scopes text NOT NULL DEFAULT '';
ALTER TABLE access.api_keys ALTER COLUMN scopes DROP DEFAULT;
