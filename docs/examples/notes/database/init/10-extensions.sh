#!/bin/sh
psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --command 'CREATE EXTENSION IF NOT EXISTS pg_trgm'
