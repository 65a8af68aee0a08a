#!/bin/sh
# Run by the PostgreSQL image when it initialises an empty volume: the service's own login, which can do what role
# book_keeper_app may and nothing else. The migrations come later and find the role; they give it its rights.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$BOOK_KEEPER_PASSWORD" <<'SQL'
CREATE ROLE book_keeper_app NOLOGIN;
CREATE ROLE book_keeper LOGIN PASSWORD :'password' IN ROLE book_keeper_app;
SQL
