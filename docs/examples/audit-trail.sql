-- A shop that can say what its catalogue and its users' profiles were at any moment, and who changed them. A test runs this file
-- (test/integration/audit-trail-example.int.spec.ts); psql -f does too, in a database that has the audit trail (libs/audit-trail/README.md).
CREATE SCHEMA shop;

CREATE TABLE shop.products (
  sku      text PRIMARY KEY,
  name     text NOT NULL,
  price    numeric(12, 2) NOT NULL,
  currency char(3) NOT NULL DEFAULT 'EUR',
  tags     text[] NOT NULL DEFAULT '{}',
  search   tsvector GENERATED ALWAYS AS (to_tsvector('simple', name)) STORED
);
CREATE TABLE shop.profiles (
  id            uuid PRIMARY KEY,
  email         text NOT NULL UNIQUE,
  password_hash text NOT NULL,
  is_active     boolean NOT NULL DEFAULT true
);

-- What can be made again from the other columns leaves no trace; of passwords only that they changed; nobody changes a profile anonymously.
SELECT audit.attach('shop.products', excluded => '{search}');
SELECT audit.attach('shop.profiles', masked => '{password_hash}', demanded => '{actor}');

-- The application says who acts, once per SQL transaction.
BEGIN;
SELECT audit.act_as('buyer-3', 'spring catalogue', '192.0.2.10', 'shop/2.1');
INSERT INTO shop.products (sku, name, price, tags)
VALUES ('B-1', 'Double Entry for Engineers', 40.00, '{book}'), ('B-2', 'The Particulars of Reckonings', 25.50, '{book,history}');
COMMIT;

BEGIN;
SELECT audit.act_as('profile-service', NULL, '192.0.2.11');
INSERT INTO shop.profiles VALUES ('6f3c1d7e-0000-4000-8000-000000000001', 'a@example.com', 'scrypt$1', true);
COMMIT;

BEGIN;
SELECT audit.act_as('buyer-3', 'two per cent more');
UPDATE shop.products SET price = round(price * 1.02, 2) WHERE 'book' = ANY (tags);
COMMIT;

BEGIN;
SELECT audit.act_as('6f3c1d7e-0000-4000-8000-000000000001', 'password forgotten', '192.0.2.12');
UPDATE shop.profiles SET password_hash = 'scrypt$2' WHERE email = 'a@example.com';
COMMIT;

-- A change that is taken back leaves nothing.
BEGIN;
DELETE FROM shop.products;
ROLLBACK;

BEGIN;
SELECT audit.act_as('buyer-4', 'out of print');
DELETE FROM shop.products WHERE sku = 'B-2';
COMMIT;
