-- name: refresh_expiry
-- Of messages with a time to live that were read: they live for that long from now on. Nothing is written where less than
-- :least_gain of it would be gained, nor where somebody else is writing to the message: a read neither waits nor takes
-- part in a deadlock. `updated_at` stays, by which the trigger tells it from a change of the caller's.
UPDATE messages m SET expires_at = now() + make_interval(secs => due.ttl_seconds)
FROM (
    SELECT id, tenant_id, ttl_seconds FROM messages
    WHERE id = ANY(:ids::uuid[]) AND tenant_id = :tenant_id AND ttl_seconds IS NOT NULL AND expires_at > now()
      AND expires_at < now() + make_interval(secs => ttl_seconds * (1 - :least_gain::float8))
    FOR NO KEY UPDATE SKIP LOCKED
) AS due
WHERE m.id = due.id AND m.tenant_id = due.tenant_id
RETURNING m.id, m.expires_at;

-- name: delete_expired$
-- Those of one tenant, or of all where it is NULL; fewer where they are long, since it is their terms that take the time.
-- The jobs are locked before the messages, and in one order, as the workers do. What was refreshed or given another time
-- meanwhile stays. What was answered when a message was stored goes with it; that its idempotency key was used stays.
WITH next AS MATERIALIZED (
    SELECT id, sum(term_count) OVER (ORDER BY expires_at, id) - term_count AS terms_before
    FROM (
        SELECT id, expires_at, term_count FROM messages
        WHERE expires_at <= now() AND tenant_id = coalesce(:tenant_id, tenant_id)
        ORDER BY expires_at, id
        LIMIT :limit
    ) AS m
), doomed AS MATERIALIZED (
    SELECT id FROM next WHERE terms_before < :most_terms
), jobs AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs WHERE message_id = ANY(ARRAY(SELECT id FROM doomed))
    ORDER BY message_id FOR UPDATE
), locked AS MATERIALIZED (
    SELECT id, tenant_id FROM messages
    WHERE id = ANY(ARRAY(SELECT id FROM doomed)) AND tenant_id = coalesce(:tenant_id, tenant_id)
      AND expires_at <= now() AND (SELECT count(*) FROM jobs) >= 0
    ORDER BY id
    FOR UPDATE SKIP LOCKED
), deleted AS (
    DELETE FROM messages m USING locked WHERE m.id = locked.id AND m.tenant_id = locked.tenant_id
    RETURNING m.id, m.tenant_id
), forgotten AS (
    UPDATE idempotency_keys k SET answer = 'null'
    FROM deleted WHERE k.answer ->> 'id' = deleted.id::text AND k.tenant_id = deleted.tenant_id
)
SELECT count(*) FROM deleted;
