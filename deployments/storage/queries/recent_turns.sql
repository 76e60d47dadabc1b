-- name: find_recent_turns
-- The newest turns of one conversation, newest first, read in the order of its index.
SELECT id, conversation_id, role, name, content, created_at, utc_offset
FROM messages
WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id
  AND (:user_id::text IS NULL OR user_id = :user_id) AND (:include_archived OR NOT archived)
  AND (expires_at IS NULL OR expires_at > :now)
  AND kind = 'message' AND (:as_of::timestamptz IS NULL OR created_at <= :as_of)
ORDER BY created_at DESC, id DESC
LIMIT :limit;
