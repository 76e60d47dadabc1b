-- name: schema_revision$
SELECT version_num FROM alembic_version;

-- name: create_embedding_space$
SELECT create_embedding_space(:provider, :model, :dimensions);

-- name: embedding_space^
SELECT model, dimensions FROM embedding_space;

-- name: known_space$
-- Whether it is the active space, the one beside it, or one that was left.
SELECT EXISTS (
    SELECT FROM embedding_space
    WHERE (model, dimensions) = (:model, :dimensions) OR (other_model, other_dimensions) = (:model, :dimensions)
) OR EXISTS (SELECT FROM former_embedding_spaces WHERE (model, dimensions) = (:model, :dimensions));

-- name: takes_no_writes$
SELECT current_setting('transaction_read_only')::boolean;

-- name: may_make_temporary_tables$
SELECT has_database_privilege(current_database(), 'TEMPORARY');

-- name: try_write#
-- A new table's file grows by 32 pages (256 kB): a row would find room in a page that is there, however full the disk is.
-- It stands where messages do, not where temporary files may.
BEGIN;
SET LOCAL temp_tablespaces = '';
CREATE TEMPORARY TABLE room WITH (fillfactor = 10) AS SELECT n FROM generate_series(1, 700) AS n;
ROLLBACK;

-- name: connection_limit$
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
    - coalesce(current_setting('reserved_connections', true)::int, 0);
