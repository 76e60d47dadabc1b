-- name: lock_usage!
-- Only where a quota is set: what a tenant has left is then given away by one transaction at a time. In one order.
SELECT pg_advisory_xact_lock(key)
FROM (
    SELECT DISTINCT hashtextextended(tenant_id, 4) AS key FROM unnest(:tenant_ids::text[]) AS t(tenant_id) ORDER BY key
) AS keys;

-- name: get_usage
-- Settled and waiting in one snapshot: what a worker completes meanwhile is in the one or in the other.
SELECT t.tenant_id, coalesce(u.messages, 0) + waiting.messages AS messages,
       coalesce(u.bytes, 0) + waiting.bytes AS bytes, waiting.messages AS pending_embeddings,
       CASE WHEN u.embedded_on = (now() AT TIME ZONE 'UTC')::date THEN u.embedded ELSE 0 END AS embedded_today
FROM unnest(:tenant_ids::text[]) AS t(tenant_id)
LEFT JOIN tenant_usage u ON u.tenant_id = t.tenant_id
CROSS JOIN LATERAL (
    SELECT count(*) AS messages, coalesce(sum(j.bytes), 0) AS bytes
    FROM embedding_jobs j WHERE NOT j.failed AND j.tenant_id = t.tenant_id
) AS waiting;

-- name: get_user_usage^
-- No counter is kept for users: their messages are read by the index that has them.
SELECT count(*) AS messages, coalesce(sum(octet_length(content)), 0)::bigint AS bytes,
       count(*) FILTER (WHERE embedding_status = 'pending') AS pending_embeddings
FROM messages
WHERE tenant_id = :tenant_id AND user_id = :user_id AND (expires_at IS NULL OR expires_at > now());
