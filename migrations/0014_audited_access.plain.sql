-- Who made or revoked an API key is told by the audit trail. Keys come in as hashes, and of those only that they are there.
SET LOCAL ROLE book_keeper_owner;
SELECT audit.attach('access.api_keys', masked => '{secret_hash}');
