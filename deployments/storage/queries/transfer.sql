-- name: count_snapshot^
-- And what the vectors belong to: no switch to another space comes between this and the end of the transaction.
SELECT now() AS taken_at, count(*) AS messages, count(embedding) AS vectors,
       (SELECT json_build_object('provider', provider, 'model', model, 'dimensions', dimensions)::text
        FROM embedding_space) AS space
FROM messages
WHERE tenant_id = :tenant_id AND (:user_id::text IS NULL OR user_id = :user_id)
  AND (expires_at IS NULL OR expires_at > now());

-- name: read_snapshot
-- Oldest first, without what had expired when the snapshot was taken, from the position of the last message before. What `mark` is made of changes whenever the row does, and
-- with the embedding space.
SELECT m.id, m.conversation_id, m.role, m.name, m.content, m.metadata, m.importance, m.importance_override, m.archived,
       m.archived_at, m.embedding_status, j.last_error AS embedding_error, m.created_at, m.utc_offset, m.updated_at,
       m.language, m.chat, m.external_id, m.user_id, m.agent_id, m.ttl_seconds, m.expires_at,
       CASE WHEN :with_vectors THEN m.embedding END AS embedding,
       CASE WHEN m.kind = 'fact' THEN described_fact(m.id, m.name, m.valid_from, m.valid_to, m.superseded_by,
                                                     m.superseded_at) END AS fact,
       hashtextextended(concat(m.id, m.xmin, j.last_error, (SELECT concat(model, dimensions) FROM embedding_space)),
                        0) AS mark
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.tenant_id = :tenant_id AND (:user_id::text IS NULL OR m.user_id = :user_id)
  AND (m.expires_at IS NULL OR m.expires_at > now())
  AND (:after::timestamptz IS NULL OR (m.created_at, m.id) > (:after, :after_id::uuid))
ORDER BY m.created_at, m.id
LIMIT :limit;

-- name: marks_until^
-- The marks of all up to a position, added up: equal as long as none of them was changed, deleted or put between.
SELECT count(*) AS messages, coalesce(sum(hashtextextended(
           concat(m.id, m.xmin, j.last_error, (SELECT concat(model, dimensions) FROM embedding_space)), 0)), 0)::text AS marks
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.tenant_id = :tenant_id AND (:user_id::text IS NULL OR m.user_id = :user_id)
  AND (m.created_at, m.id) <= (:until, :until_id::uuid) AND (m.expires_at IS NULL OR m.expires_at > now());

-- name: insert_messages
-- What is there already stays as it is. What has no vector yet waits for one, and so does what has one of a space that is
-- not the active one any more; what had failed is kept for a retry.
WITH space AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM embedding_space WHERE (model, dimensions) = (:model, :dimensions)) AS active
), input AS (
    SELECT id, conversation_id, role, name, content, metadata, importance, importance_override,
           CASE WHEN active THEN embedding END AS embedding,
           CASE WHEN status = 'completed' AND NOT active THEN 'pending' ELSE status END AS status,
           error, archived, archived_at, created_at, updated_at, utc_offset, language, terms, term_count, analysis, chat,
           external_id, user_id, agent_id, ttl_seconds, expires_at
    FROM space, unnest(
        :ids::uuid[], :conversation_ids::text[], :roles::text[], :names::text[], :contents::text[], :metadatas::text[],
        :importances::float8[], :overrides::float8[], :embeddings::halfvec[], :statuses::text[], :errors::text[],
        :archiveds::boolean[], :archived_ats::timestamptz[], :created_ats::timestamptz[], :updated_ats::timestamptz[],
        :utc_offsets::smallint[], :languages::text[], :terms::text[], :term_counts::int[], :analyses::text[],
        :chats::text[], :external_ids::text[], :user_ids::text[], :agent_ids::text[], :ttls::bigint[],
        :expiries::timestamptz[]
    ) AS t(id, conversation_id, role, name, content, metadata, importance, importance_override, embedding, status,
           error, archived, archived_at, created_at, updated_at, utc_offset, language, terms, term_count, analysis,
           chat, external_id, user_id, agent_id, ttl_seconds, expires_at)
), present AS MATERIALIZED (
    SELECT id FROM messages WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid[])
), stored AS (
    INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, metadata, importance,
                          importance_override, embedding, embedding_status, archived, archived_at, created_at, updated_at,
                          utc_offset, language, terms, term_count, analysis, chat, external_id, user_id, agent_id,
                          ttl_seconds, expires_at)
    SELECT id, :tenant_id, conversation_id, role, name, content, metadata::jsonb, importance, importance_override,
           embedding, status, archived, archived_at, created_at, updated_at,
           utc_offset, language, terms::tsvector, term_count, analysis, chat::jsonb, external_id, user_id, agent_id,
           ttl_seconds, expires_at
    FROM input WHERE id NOT IN (SELECT id FROM present)
    ON CONFLICT DO NOTHING
    RETURNING id
), waiting AS (
    INSERT INTO embedding_jobs (message_id, tenant_id, bytes, failed, last_error)
    SELECT id, :tenant_id, octet_length(content), status = 'failed', error
    FROM input JOIN stored USING (id) WHERE status <> 'completed'
)
SELECT id, true AS stored FROM stored UNION ALL SELECT id, false FROM present;
