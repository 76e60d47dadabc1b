-- name: reserve_key^
-- Nothing comes back when the key is taken by an answer that is still kept. Waits for whoever is storing
-- under the same key at this moment.
INSERT INTO idempotency_keys AS k (tenant_id, key, fingerprint, answer)
VALUES (:tenant_id, :key, :fingerprint, :answer::text::jsonb)
ON CONFLICT (tenant_id, key) DO UPDATE SET
    fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = now()
WHERE k.created_at < now() - make_interval(hours => :kept_hours)
RETURNING true AS reserved;

-- name: get_answer^
-- That of a message that has expired is forgotten, as that of a deleted one.
SELECT fingerprint,
       CASE WHEN EXISTS (SELECT FROM messages m WHERE m.id = (k.answer ->> 'id')::uuid AND m.tenant_id = k.tenant_id
                                                  AND m.expires_at <= now())
            THEN 'null'::jsonb ELSE answer END AS answer
FROM idempotency_keys k WHERE tenant_id = :tenant_id AND key = :key;

-- name: set_answer!
UPDATE idempotency_keys SET answer = :answer::text::jsonb WHERE tenant_id = :tenant_id AND key = :key;

-- name: free_key!
DELETE FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = :key;

-- name: purge_keys!
DELETE FROM idempotency_keys
WHERE (tenant_id, key) IN (
    SELECT tenant_id, key FROM idempotency_keys
    WHERE created_at < now() - make_interval(hours => :kept_hours)
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
);
