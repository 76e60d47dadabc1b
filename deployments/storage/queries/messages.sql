-- name: store_messages$
-- Each message and its pending embedding, in one statement: both are there, or neither. Returns the ids that were there
-- already: their messages stay as they are.
WITH input AS (
    SELECT * FROM unnest(
        :ids::uuid[], :tenant_ids::text[], :conversation_ids::text[], :roles::text[], :names::text[],
        :contents::text[], :metadatas::text[], :overrides::float8[], :created_ats::timestamptz[],
        :utc_offsets::smallint[], :languages::text[], :terms::text[], :term_counts::int[], :analyses::text[],
        :request_ids::text[], :external_ids::text[], :user_ids::text[], :agent_ids::text[], :ttls::bigint[],
        :expiries::timestamptz[], :chats::text[]
    ) AS t(id, tenant_id, conversation_id, role, name, content, metadata, importance_override, created_at,
           utc_offset, language, terms, term_count, analysis, request_id, external_id, user_id, agent_id, ttl_seconds,
           expires_at, chat)
), stored AS (
    INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, metadata,
                          importance_override, created_at, updated_at, utc_offset, language, terms, term_count, analysis,
                          external_id, user_id, agent_id, ttl_seconds, expires_at, chat)
    SELECT id, tenant_id, conversation_id, role, name, content, metadata::jsonb, importance_override,
           created_at, :now::timestamptz, utc_offset, language, terms::tsvector, term_count, analysis,
           external_id, user_id, agent_id, ttl_seconds, expires_at, chat::jsonb
    FROM input
    ON CONFLICT DO NOTHING
    RETURNING id
), pending AS (
    INSERT INTO embedding_jobs (message_id, tenant_id, request_id, bytes)
    SELECT id, tenant_id, request_id, octet_length(content) FROM input JOIN stored USING (id)
    -- Two attempts may be stored together.
    ON CONFLICT (message_id) DO NOTHING
)
SELECT (SELECT array_agg(id) FROM input WHERE id NOT IN (SELECT id FROM stored)), pg_notify('embedding_jobs', '');

-- name: get_message^
-- A tenant of NULL stands for a caller who may see every tenant, a user of NULL for one who may see every user. From its
-- `expires_at` on a message is hidden from every read, by the database's clock. "expires_at > now() IS NOT FALSE" would
-- say the same, and the planner take it for rare.
SELECT m.id, m.tenant_id, m.conversation_id, m.role, m.name, m.content, m.metadata,
       coalesce(m.importance_override, m.importance) AS importance_score, m.embedding_status, m.archived,
       m.created_at, m.utc_offset, m.updated_at, m.language, j.last_error AS embedding_error,
       m.external_id, m.user_id, m.agent_id, m.ttl_seconds, m.expires_at, m.version, m.chat
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.id = :id AND m.tenant_id = coalesce(:tenant_id, m.tenant_id) AND (:user_id::text IS NULL OR m.user_id = :user_id)
  AND m.kind = :kind AND (m.expires_at IS NULL OR m.expires_at > now());

-- name: list_messages
-- In the order of time, from the position of the last message of the page before. What is not scored yet passes
-- min_importance. Facts have a listing of their own.
SELECT m.id, m.tenant_id, m.conversation_id, m.role, m.name, m.content, m.metadata,
       coalesce(m.importance_override, m.importance) AS importance_score, m.embedding_status, m.archived,
       m.created_at, m.utc_offset, m.updated_at, m.language, j.last_error AS embedding_error,
       m.external_id, m.user_id, m.agent_id, m.ttl_seconds, m.expires_at, m.version, m.chat
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.tenant_id = :tenant_id AND m.kind = 'message' AND (m.expires_at IS NULL OR m.expires_at > now())
  AND (:include_archived OR NOT m.archived)
  AND (:conversation_id::text IS NULL OR m.conversation_id = :conversation_id)
  AND (:conversation_prefix::text IS NULL OR m.conversation_id = :conversation_prefix
       OR starts_with(m.conversation_id, :conversation_prefix || '/'))
  AND (:user_id::text IS NULL OR m.user_id = :user_id)
  AND (:agent_id::text IS NULL OR m.agent_id = :agent_id)
  AND (:external_id::text IS NULL OR m.external_id = :external_id)
  AND (:role::text IS NULL OR m.role = :role)
  AND (:name::text IS NULL OR m.name = :name)
  AND (:min_importance::float8 IS NULL
       OR coalesce(m.importance_override, m.importance, 1) >= :min_importance)
  AND (:created_after::timestamptz IS NULL OR m.created_at >= :created_after)
  AND (:created_before::timestamptz IS NULL OR m.created_at < :created_before)
  AND (:metadata::text IS NULL OR m.metadata @> :metadata::text::jsonb)
  AND {where}
  AND (:position::timestamptz IS NULL OR (m.created_at, m.id) {beyond} (:position, :position_id::uuid))
ORDER BY m.created_at {order}, m.id {order}
LIMIT :limit;

-- name: lock_message^
SELECT tenant_id, role, name, content, metadata, importance_override, embedding_status, created_at, utc_offset, language,
       version, updated_at, ttl_seconds, expires_at, chat
FROM messages
WHERE id = :id AND tenant_id = coalesce(:tenant_id, tenant_id) AND (:user_id::text IS NULL OR user_id = :user_id)
  AND kind = :kind AND (expires_at IS NULL OR expires_at > now())
FOR NO KEY UPDATE;

-- name: update_message!
-- Terms of NULL stay as they are, and so does the policy under which they were made.
UPDATE messages SET
    name = :name,
    content = :content,
    metadata = :metadata::text::jsonb,
    chat = :chat::text::jsonb,
    importance_override = :importance_override,
    language = :language,
    ttl_seconds = :ttl_seconds,
    expires_at = :expires_at,
    terms = coalesce(:terms::text::tsvector, terms),
    term_count = coalesce(:term_count::int, term_count),
    analysis = CASE WHEN :terms::text IS NULL THEN analysis ELSE :analysis::text END,
    updated_at = :now
WHERE id = :id AND tenant_id = :tenant_id;

-- name: forget_meaning!
-- What was embedded is not what the message says any more. Before its terms change: the counts of a tenant's terms
-- are then touched by this statement alone, in their order, which keeps transactions out of deadlocks.
UPDATE messages SET embedding = NULL, other_embedding = NULL, importance = NULL, embedding_status = 'pending'
WHERE id = :id AND tenant_id = :tenant_id;

-- name: forget_analysis!
-- Before other terms are written: a trigger takes terms that change under the same policy for those of an older release.
UPDATE messages SET analysis = NULL WHERE id = :id AND tenant_id = :tenant_id;

-- name: delete_message$
-- What was answered when it was stored goes with it; that its idempotency key was used stays. A trigger deletes facts that
-- follow from it alone: their jobs are locked with its own, in one order, as the workers do.
WITH job AS (
    SELECT message_id FROM embedding_jobs
    WHERE message_id = ANY(ARRAY(SELECT fact_id FROM fact_sources WHERE message_id = :id) || :id::uuid)
    ORDER BY message_id FOR UPDATE
), deleted AS (
    DELETE FROM messages m
    WHERE m.id = :id AND m.tenant_id = coalesce(:tenant_id, m.tenant_id) AND (:user_id::text IS NULL OR m.user_id = :user_id)
      AND m.kind = :kind AND (m.expires_at IS NULL OR m.expires_at > now())
      AND (SELECT count(*) FROM job) >= 0
    RETURNING m.id, m.tenant_id
), forgotten AS (
    UPDATE idempotency_keys k SET answer = 'null'
    FROM deleted WHERE k.answer ->> 'id' = deleted.id::text AND k.tenant_id = deleted.tenant_id
)
SELECT id FROM deleted;
