-- name: read_standing^
-- Of all tenants together, for the metrics.
SELECT count(*) FILTER (WHERE NOT failed) AS pending_embeddings,
       count(*) FILTER (WHERE failed) AS failed_embeddings,
       coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE NOT failed)), 0)::float8 AS oldest_pending_seconds,
       (SELECT count(*) FROM tenant_usage WHERE messages > 0) AS tenants
FROM embedding_jobs;
