-- name: list_conversations
-- The most recently used first.
SELECT conversation_id, count(*) AS messages, min(created_at) AS first_message_at,
       max(created_at) AS last_message_at
FROM messages
WHERE tenant_id = :tenant_id
GROUP BY conversation_id
HAVING :before::timestamptz IS NULL OR (max(created_at), conversation_id) < (:before, :before_id::text)
ORDER BY last_message_at DESC, conversation_id DESC
LIMIT :limit;

-- name: get_conversation^
SELECT conversation_id, count(*) AS messages, min(created_at) AS first_message_at,
       max(created_at) AS last_message_at
FROM messages
WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id
GROUP BY conversation_id;

-- name: delete_conversation$
-- The jobs are locked before the messages, and in one order, as the workers do.
WITH doomed AS (
    SELECT id FROM messages WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id
), jobs AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs WHERE message_id IN (SELECT id FROM doomed)
    ORDER BY message_id FOR UPDATE
), deleted AS (
    DELETE FROM messages
    WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id AND (SELECT count(*) FROM jobs) >= 0
    RETURNING 1
)
SELECT count(*) FROM deleted;
