-- name: grow_tenants
-- Tenants that are beyond the border; a tenant that already has a state keeps it.
INSERT INTO large_tenants (tenant_id)
SELECT tenant_id FROM tenant_usage
WHERE messages > :exact AND (messages > :messages OR messages * :bytes_of_message::bigint + bytes > :bytes)
ORDER BY tenant_id
ON CONFLICT (tenant_id) DO NOTHING
RETURNING tenant_id;

-- name: shrink_tenants
-- Tenants that are far below the border, or gone.
UPDATE large_tenants l SET state = 'leaving', all_before = NULL, reached_at = NULL, reached_id = NULL, since = now()
WHERE state <> 'leaving' AND NOT EXISTS (
    SELECT FROM tenant_usage u
    WHERE u.tenant_id = l.tenant_id AND u.messages > :exact
      AND (u.messages > :messages OR u.messages * :bytes_of_message::bigint + u.bytes > :bytes)
)
RETURNING tenant_id;

-- name: lock_unfinished^
-- A tenant whose messages are being marked, or their marks taken off. Another worker takes another.
SELECT tenant_id, state FROM large_tenants
WHERE state <> 'ready' AND NOT tenant_id = ANY(:but_not::text[])
ORDER BY since, tenant_id LIMIT 1
FOR UPDATE SKIP LOCKED;

-- name: note_writers!
-- Run after the state was committed. A writer that has not seen the state has a number by now, or sees it.
UPDATE large_tenants SET all_before = pg_snapshot_xmax(pg_current_snapshot())
WHERE all_before IS NULL AND state <> 'ready';

-- name: mark_next$
-- The next messages behind the position, each marked as :indexed says. Rows that others hold are left for the next pass.
-- Returns how many were marked; the position is NULL again behind the last message.
WITH page AS MATERIALIZED (
    SELECT m.id, m.created_at FROM messages m
    WHERE m.tenant_id = :tenant_id AND m.indexed <> :indexed
      AND (m.created_at, m.id) > (
          SELECT coalesce(reached_at, '-infinity'), coalesce(reached_id, '00000000-0000-0000-0000-000000000000'::uuid)
          FROM large_tenants WHERE tenant_id = :tenant_id)
    ORDER BY m.created_at, m.id
    LIMIT :limit
), free AS MATERIALIZED (
    SELECT m.id FROM page JOIN messages m ON m.id = page.id
    WHERE m.tenant_id = :tenant_id AND m.indexed <> :indexed
    FOR NO KEY UPDATE OF m SKIP LOCKED
), marked AS (
    UPDATE messages m SET indexed = :indexed FROM free WHERE m.id = free.id AND m.tenant_id = :tenant_id
    RETURNING 1
), reached AS (
    UPDATE large_tenants SET (reached_at, reached_id) = (
        SELECT created_at, id FROM page ORDER BY created_at DESC, id DESC LIMIT 1)
    WHERE tenant_id = :tenant_id
)
SELECT count(*) FROM marked;

-- name: finish_tenant$
-- Where every writer that may not have known of the state has ended, and no message is left: a tenant that grew is ready,
-- one that shrank is forgotten. Returns whether it is so.
WITH done AS MATERIALIZED (
    SELECT tenant_id, state FROM large_tenants l
    WHERE tenant_id = :tenant_id AND pg_snapshot_xmin(pg_current_snapshot()) >= all_before
      AND NOT EXISTS (SELECT FROM messages m
                      WHERE m.tenant_id = :tenant_id AND m.indexed = (l.state = 'leaving'))
), ready AS (
    UPDATE large_tenants l SET state = 'ready', since = now()
    FROM done WHERE l.tenant_id = done.tenant_id AND done.state = 'growing'
), forgotten AS (
    DELETE FROM large_tenants l USING done WHERE l.tenant_id = done.tenant_id AND done.state = 'leaving'
)
SELECT EXISTS (SELECT FROM done);

-- name: tenant_size^
-- Whether a tenant's searches may go by the indexes, and how many vectors it has.
SELECT EXISTS (SELECT FROM large_tenants WHERE tenant_id = :tenant_id AND state = 'ready') AS indexed,
       coalesce((SELECT embedded FROM tenant_statistics WHERE tenant_id = :tenant_id), 0) AS embedded;
