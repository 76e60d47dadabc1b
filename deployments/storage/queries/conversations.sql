-- name: list_conversations
-- The most recently used first. Expired messages and facts are looked up by their own indexes, and are few: that keeps
-- the counting an index-only scan.
SELECT conversation_id, count(*) AS messages, min(created_at) AS first_message_at,
       max(created_at) AS last_message_at
FROM messages m
WHERE m.tenant_id = :tenant_id
  AND NOT EXISTS (SELECT FROM messages f WHERE f.tenant_id = :tenant_id AND f.id = m.id AND f.kind = 'fact')
  AND NOT EXISTS (SELECT FROM messages e WHERE e.tenant_id = :tenant_id AND e.id = m.id AND e.expires_at <= now())
  AND (:conversation_prefix::text IS NULL OR conversation_id = :conversation_prefix
       OR starts_with(conversation_id, :conversation_prefix || '/'))
GROUP BY conversation_id
HAVING :before::timestamptz IS NULL OR (max(created_at), conversation_id) < (:before, :before_id::text)
ORDER BY last_message_at DESC, conversation_id DESC
LIMIT :limit;

-- name: get_conversation^
SELECT conversation_id, count(*) AS messages, min(created_at) AS first_message_at,
       max(created_at) AS last_message_at
FROM messages m
WHERE m.tenant_id = :tenant_id AND conversation_id = :conversation_id
  AND NOT EXISTS (SELECT FROM messages f WHERE f.tenant_id = :tenant_id AND f.id = m.id AND f.kind = 'fact')
  AND NOT EXISTS (SELECT FROM messages e WHERE e.tenant_id = :tenant_id AND e.id = m.id AND e.expires_at <= now())
GROUP BY conversation_id;
