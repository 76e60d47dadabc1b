-- name: get_messages
-- By ids or external ids, in no order. From its `expires_at` on a message is hidden from every read.
SELECT m.id, m.tenant_id, m.conversation_id, m.role, m.name, m.content, m.metadata,
       coalesce(m.importance_override, m.importance) AS importance_score, m.embedding_status, m.archived,
       m.created_at, m.utc_offset, m.updated_at, m.language, j.last_error AS embedding_error,
       m.external_id, m.user_id, m.agent_id, m.ttl_seconds, m.expires_at, m.version, m.chat, m.importance_override, m.kind
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.tenant_id = :tenant_id AND (m.id = ANY(:ids::uuid[]) OR m.external_id = ANY(:external_ids::text[]))
  AND (:user_id::text IS NULL OR m.user_id = :user_id) AND (m.expires_at IS NULL OR m.expires_at > now());

-- name: delete_messages
-- Jobs and messages are locked in one order, and the jobs first, as the workers do. What was answered when a message was
-- stored goes with it. :expired takes those alone that have expired, facts too; else neither these nor facts are there.
WITH named AS MATERIALIZED (
    SELECT id FROM messages
    WHERE tenant_id = :tenant_id AND (id = ANY(:ids::uuid[]) OR external_id = ANY(:external_ids::text[]))
      AND (:user_id::text IS NULL OR user_id = :user_id)
      AND (expires_at IS NULL OR expires_at > now()) = (NOT :expired::boolean) AND (kind = 'message' OR :expired)
), jobs AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs WHERE message_id = ANY(ARRAY(SELECT id FROM named))
    ORDER BY message_id FOR UPDATE
), doomed AS MATERIALIZED (
    SELECT id FROM messages
    WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(SELECT id FROM named)) AND (SELECT count(*) FROM jobs) >= 0
    ORDER BY id FOR UPDATE
), deleted AS (
    DELETE FROM messages WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(SELECT id FROM doomed))
    RETURNING id, external_id
), forgotten AS (
    UPDATE idempotency_keys SET answer = 'null'
    WHERE tenant_id = :tenant_id AND answer ->> 'id' = ANY(ARRAY(SELECT id::text FROM doomed))
)
SELECT id, external_id FROM deleted;

-- name: lock_to_replace^
SELECT id, tenant_id, conversation_id, role, name, content, metadata, importance_override, embedding_status, archived,
       created_at, utc_offset, language, external_id, user_id, agent_id, ttl_seconds, expires_at, chat, version, updated_at
FROM messages
WHERE id = :id AND tenant_id = :tenant_id AND (:user_id::text IS NULL OR user_id = :user_id)
  AND (expires_at IS NULL OR expires_at > now())
FOR NO KEY UPDATE;

-- name: replace_message!
-- Terms of NULL stay as they are, and so does the policy under which they were made.
UPDATE messages SET
    conversation_id = :conversation_id,
    role = :role,
    name = :name,
    content = :content,
    metadata = :metadata::text::jsonb,
    chat = :chat::text::jsonb,
    importance_override = :importance_override,
    created_at = :created_at,
    utc_offset = :utc_offset,
    language = :language,
    user_id = :user_id,
    agent_id = :agent_id,
    ttl_seconds = :ttl_seconds,
    expires_at = :expires_at,
    archived = false,
    archived_at = NULL,
    terms = coalesce(:terms::text::tsvector, terms),
    term_count = coalesce(:term_count::int, term_count),
    analysis = CASE WHEN :terms::text IS NULL THEN analysis ELSE :analysis::text END,
    updated_at = :now
WHERE id = :id AND tenant_id = :tenant_id;
