-- name: walk_conversations
-- The most recently used first, among the newest :walked messages behind the position: a page costs what it holds, and not
-- what the tenant has. `short`: the page needs more of them, and is not counted yet. A conversation whose last message is
-- as old as the oldest that was walked is left out then: others may have one of the same time. Whether a conversation was
-- on an earlier page is looked up for each, since a join would be made of all of the tenant's messages. Of a user or an
-- agent: what others said does not count.
WITH walked AS MATERIALIZED (
    SELECT conversation_id, created_at FROM messages
    WHERE tenant_id = :tenant_id
      AND (:user_id::text IS NULL OR user_id = :user_id) AND (:agent_id::text IS NULL OR agent_id = :agent_id)
      AND kind = 'message' AND (expires_at IS NULL OR expires_at > now())
      AND (:conversation_prefix::text IS NULL OR conversation_id = :conversation_prefix
           OR starts_with(conversation_id, :conversation_prefix || '/'))
      AND (:before::timestamptz IS NULL OR created_at <= :before)
    ORDER BY created_at DESC, id DESC
    LIMIT :walked
), reached AS MATERIALIZED (
    SELECT count(*) = :walked AS cut, min(created_at) AS oldest FROM walked
), page AS MATERIALIZED (
    SELECT conversation_id, last_message_at
    FROM (SELECT conversation_id, max(created_at) AS last_message_at FROM walked GROUP BY conversation_id) AS used, reached
    WHERE (NOT cut OR last_message_at > oldest)
      AND (:before::timestamptz IS NULL OR (last_message_at, conversation_id) < (:before, :before_id::text) AND (
          SELECT l.created_at FROM messages l
          WHERE l.tenant_id = :tenant_id AND l.conversation_id = used.conversation_id
            AND (:user_id::text IS NULL OR l.user_id = :user_id) AND (:agent_id::text IS NULL OR l.agent_id = :agent_id)
            AND l.kind = 'message' AND (l.expires_at IS NULL OR l.expires_at > now())
          ORDER BY l.created_at DESC LIMIT 1
      ) <= :before)
    ORDER BY last_message_at DESC, conversation_id DESC
    LIMIT :limit
), judged AS MATERIALIZED (
    SELECT cut AND (SELECT count(*) FROM page) < :limit AS short FROM reached
), counted AS (
    SELECT page.conversation_id, page.last_message_at, own.messages, own.first_message_at
    FROM page CROSS JOIN LATERAL (
        SELECT count(*) AS messages, min(c.created_at) AS first_message_at FROM messages c
        WHERE c.tenant_id = :tenant_id AND c.conversation_id = page.conversation_id
          AND (:user_id::text IS NULL OR c.user_id = :user_id) AND (:agent_id::text IS NULL OR c.agent_id = :agent_id)
          AND c.kind = 'message' AND (c.expires_at IS NULL OR c.expires_at > now())
    ) AS own
    WHERE NOT (SELECT short FROM judged)
)
SELECT short, conversation_id, messages, first_message_at, last_message_at
FROM judged LEFT JOIN counted ON true
ORDER BY last_message_at DESC, conversation_id DESC;

-- name: group_conversations
-- The same from all of the tenant's messages. Expired ones and facts are looked up by their own indexes, and are few: that
-- keeps the counting an index-only scan.
SELECT conversation_id, count(*) AS messages, min(created_at) AS first_message_at, max(created_at) AS last_message_at
FROM messages m
WHERE m.tenant_id = :tenant_id
  AND (:user_id::text IS NULL OR user_id = :user_id) AND (:agent_id::text IS NULL OR agent_id = :agent_id)
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
WHERE m.tenant_id = :tenant_id AND conversation_id = :conversation_id AND (:user_id::text IS NULL OR user_id = :user_id)
  AND NOT EXISTS (SELECT FROM messages f WHERE f.tenant_id = :tenant_id AND f.id = m.id AND f.kind = 'fact')
  AND NOT EXISTS (SELECT FROM messages e WHERE e.tenant_id = :tenant_id AND e.id = m.id AND e.expires_at <= now())
GROUP BY conversation_id;
