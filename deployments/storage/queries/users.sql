-- name: list_users
-- In the order of their names, from the one behind :after on: from user to user by one index entry each, so that a page
-- costs what its users have, and not what the tenant has.
WITH RECURSIVE walk AS (
    (SELECT user_id, 1 AS place FROM messages
     WHERE tenant_id = :tenant_id AND user_id IS NOT NULL AND (:after::text IS NULL OR user_id > :after)
       AND (expires_at IS NULL OR expires_at > now())
     ORDER BY user_id LIMIT 1)
    UNION ALL
    SELECT next.user_id, walk.place + 1
    FROM walk CROSS JOIN LATERAL (
        SELECT m.user_id FROM messages m WHERE m.tenant_id = :tenant_id AND m.user_id > walk.user_id
          AND (m.expires_at IS NULL OR m.expires_at > now())
        ORDER BY m.user_id LIMIT 1
    ) AS next
    WHERE walk.place < :limit
)
SELECT walk.user_id, own.messages, own.first_message_at, own.last_message_at
FROM walk CROSS JOIN LATERAL (
    SELECT count(*) AS messages, min(u.created_at) AS first_message_at, max(u.created_at) AS last_message_at
    FROM messages u WHERE u.tenant_id = :tenant_id AND u.user_id = walk.user_id
      AND (u.expires_at IS NULL OR u.expires_at > now())
) AS own
ORDER BY walk.place;
