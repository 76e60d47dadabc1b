-- name: read_totals^
-- Of all tenants together, for the metrics.
SELECT count(*) FILTER (WHERE NOT failed) AS pending_embeddings,
       count(*) FILTER (WHERE failed) AS failed_embeddings,
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE NOT failed)), 0)::float8 AS oldest_pending_seconds,
       (SELECT count(*) FROM tenant_usage WHERE messages > 0) AS tenants,
       (SELECT coalesce(sum(messages), 0)::bigint FROM erasures) AS erased_messages,
       (SELECT count(*) FROM erasures WHERE finished_at IS NULL) AS unfinished_erasures,
       (SELECT count(*) FROM reanalyses) AS tenants_reanalyzing
FROM embedding_jobs;

-- name: read_retention^
-- The ledger of runs is kept whole, so what it adds up to only grows.
SELECT coalesce(sum(archived), 0)::bigint AS archived,
       coalesce(sum(deleted), 0)::bigint AS deleted,
       coalesce(sum(restored), 0)::bigint AS restored,
       count(*) FILTER (WHERE status = 'running') AS running,
       count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'refused') AS refused,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       extract(epoch FROM max(finished_at) FILTER (WHERE status = 'completed' AND NOT dry_run))::float8 AS completed_at
FROM retention_runs;
