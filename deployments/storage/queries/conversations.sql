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
