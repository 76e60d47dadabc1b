-- name: inspect_server^
SELECT current_setting('server_version_num')::int AS version_number, current_setting('server_version') AS version,
       pg_backend_pid() AS process, clock_timestamp() AS clock, current_setting('transaction_read_only')::boolean AS read_only,
       pg_database_size(current_database()) AS bytes, current_setting('plan_cache_mode') AS plan_cache_mode;

-- name: inspect_switches
-- Settings of Postgres that must not be off. The session's own do not count: those of the service are asked for.
SELECT name, setting FROM pg_settings
WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes', 'autovacuum') AND setting = 'off';

-- name: inspect_extension^
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector') AS installed,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector') AS available;

-- name: inspect_connections^
-- What we may open, by the server, our role and our database (-1: as many as the server lets), and what others hold.
-- Without pg_read_all_stats another role's session does not say what it is: those of clients have a role and a database.
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true)::int, 0) AS server,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database,
       (SELECT count(*) FROM pg_stat_activity
        WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usesysid IS NOT NULL AND datid IS NOT NULL
          AND application_name <> 'ai-memory-layer') AS others;

-- name: inspect_rights^
-- What keeps our role from the tables: where it sees no schema of ours, those that may hold one and that it may not use.
SELECT quote_ident(current_user) AS role,
       ARRAY(SELECT relnamespace::regnamespace::text FROM pg_class
             WHERE relname = 'alembic_version' AND relkind = 'r' AND NOT has_schema_privilege(relnamespace, 'USAGE')
               AND to_regclass('alembic_version') IS NULL
             ORDER BY 1) AS schemas,
       ARRAY(SELECT relname::text FROM pg_class
             WHERE relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('alembic_version'))
               AND relname = ANY (:tables)
               AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
                        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))
             ORDER BY 1) AS tables;

-- name: inspect_indexes
-- Of the schema that our tables are in; `definition` is for the dimensions of the vectors' indexes.
SELECT c.relname AS name, i.indisvalid AND i.indisready AS usable, pg_get_indexdef(c.oid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('alembic_version'));

-- name: inspect_reembedding^
-- How far the second space is, and whether a job is at it: it holds the lock of `become_the_only_one`.
SELECT (SELECT coalesce(sum(embedded), 0)::bigint FROM tenant_statistics) AS embedded,
       (SELECT coalesce(sum(other_embedded), 0)::bigint FROM tenant_statistics) AS filled,
       (SELECT trouble FROM embedding_space WHERE trouble_at > now() - interval '15 seconds') AS trouble,
       EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (classid::bigint << 32) + objid::bigint = 7205759403792795) AS running;

-- name: inspect_never_analyzed
-- Tables of some size that the planner knows nothing of.
SELECT relname AS name, n_live_tup AS rows FROM pg_stat_user_tables
WHERE relid = ANY (:tables::regclass[]) AND n_live_tup > :rows::bigint
  AND last_analyze IS NULL AND last_autoanalyze IS NULL;

-- name: inspect_long_transactions
-- What keeps vacuum from removing what is dead, for longer than so many seconds.
SELECT * FROM (
    SELECT pid::text AS who, coalesce(nullif(application_name, ''), 'unnamed') AS application, state,
           extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
    FROM pg_stat_activity
    WHERE xact_start IS NOT NULL AND backend_type = 'client backend' AND pid <> pg_backend_pid()
      AND datname = current_database()
    UNION ALL
    SELECT gid, 'prepared', 'prepared', extract(epoch FROM clock_timestamp() - prepared)::float8
    FROM pg_prepared_xacts WHERE database = current_database()
) AS t
WHERE seconds >= :seconds ORDER BY seconds DESC LIMIT 5;

-- name: inspect_hidden_sessions$
-- Sessions in this database that our role sees, but not what they do.
SELECT count(*) FROM pg_stat_activity
WHERE backend_type IS NULL AND usesysid IS NOT NULL AND datname = current_database();

-- name: inspect_backlog^
-- `due_seconds`: for how long the first of those waits that a worker may take.
SELECT count(*) FILTER (WHERE NOT failed) AS pending, count(*) FILTER (WHERE failed) AS failed,
       coalesce(extract(epoch FROM now() - min(available_at) FILTER (WHERE NOT failed AND available_at <= now())), 0)::float8
           AS due_seconds
FROM embedding_jobs;
