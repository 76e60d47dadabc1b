-- name: create_key^
INSERT INTO api_keys (id, name, prefix, hash, tenant_id, user_id, scopes, expires_at, rate_limit, created_at,
                      changed_at)
VALUES (:id, :name, :prefix, :hash, :tenant_id, :user_id, :scopes::text[], :expires_at, :rate_limit, now(),
        clock_timestamp())
RETURNING id, name, prefix, tenant_id, user_id, scopes, expires_at, rate_limit, created_at, last_used_at, revoked_at;

-- name: list_keys
-- Newest first, from the position of the last key of the page before. A tenant of NULL: the caller sees all keys.
SELECT id, name, prefix, tenant_id, user_id, scopes, expires_at, rate_limit, created_at, last_used_at, revoked_at
FROM api_keys
WHERE (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
  AND (:before::timestamptz IS NULL OR (created_at, id) < (:before, :before_id::uuid))
ORDER BY created_at DESC, id DESC
LIMIT :limit;

-- name: revoke_key$
-- The first revocation is the one that counts.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), changed_at = clock_timestamp()
WHERE id = :id AND (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
RETURNING prefix;

-- name: lock_active_key^
SELECT id, name, prefix, tenant_id, user_id, scopes, expires_at, rate_limit, created_at, last_used_at, revoked_at
FROM api_keys
WHERE id = :id AND (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
  AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
FOR UPDATE;

-- name: expire_key!
-- Never later than it would have expired anyway.
UPDATE api_keys SET
    expires_at = least(expires_at, now() + make_interval(secs => :overlap_seconds::float8)),
    changed_at = clock_timestamp()
WHERE id = :id;

-- name: changed_keys
-- Always one row at least, without a key where none has changed: it says up to when was read.
SELECT clock.read_at, k.id, k.prefix, k.hash, k.tenant_id, k.user_id, k.scopes, k.expires_at, k.rate_limit, k.revoked_at
FROM (SELECT clock_timestamp() AS read_at) AS clock
LEFT JOIN api_keys k ON :since::timestamptz IS NULL OR k.changed_at > :since;

-- name: note_uses!
-- A key that is locked is being noted by another replica, or changed: its next use is noted.
WITH used AS (
    SELECT k.id, u.used_at
    FROM unnest(:ids::uuid[], :used_ats::timestamptz[]) AS u(id, used_at) JOIN api_keys k ON k.id = u.id
    WHERE k.last_used_at IS NULL OR k.last_used_at <= u.used_at - interval '1 minute'
    FOR UPDATE OF k SKIP LOCKED
)
UPDATE api_keys k SET last_used_at = used.used_at FROM used WHERE k.id = used.id;

-- name: keys_exist$
SELECT EXISTS (SELECT FROM api_keys);
