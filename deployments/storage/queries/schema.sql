-- name: schema_revision$
SELECT version_num FROM alembic_version;

-- name: create_embedding_space$
SELECT create_embedding_space(:model, :dimensions);

-- name: embedding_space^
SELECT model, dimensions FROM embedding_space;

-- name: has_language$
SELECT EXISTS (SELECT FROM pg_ts_config WHERE cfgname = :language);

-- name: connection_limit$
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int;
