-- name: store_facts
-- Each fact, its sources and its pending embedding, in one statement. Returns the ids of those that were stored.
WITH input AS (
    SELECT * FROM unnest(
        :ids::uuid[], :tenant_ids::text[], :conversation_ids::text[], :subjects::text[], :contents::text[],
        :metadatas::text[], :overrides::float8[], :languages::text[], :terms::text[], :term_counts::int[],
        :analyses::text[], :request_ids::text[], :external_ids::text[], :user_ids::text[], :agent_ids::text[],
        :ttls::bigint[], :expiries::timestamptz[], :valid_froms::timestamptz[], :valid_tos::timestamptz[]
    ) AS t(id, tenant_id, conversation_id, subject, content, metadata, importance_override, language, terms, term_count,
           analysis, request_id, external_id, user_id, agent_id, ttl_seconds, expires_at, valid_from, valid_to)
), stored AS (
    INSERT INTO messages (id, tenant_id, conversation_id, role, name, content, metadata, importance_override, created_at,
                          updated_at, language, terms, term_count, analysis, external_id, user_id, agent_id, ttl_seconds,
                          expires_at, kind, valid_from, valid_to)
    SELECT id, tenant_id, conversation_id, 'system', subject, content, metadata::jsonb, importance_override,
           :now::timestamptz, :now, language, terms::tsvector, term_count, analysis, external_id, user_id, agent_id,
           ttl_seconds, expires_at, 'fact', valid_from, valid_to
    FROM input
    ON CONFLICT DO NOTHING
    RETURNING id
), sources AS (
    INSERT INTO fact_sources (fact_id, message_id)
    SELECT s.fact_id, s.message_id FROM unnest(:fact_ids::uuid[], :message_ids::uuid[]) AS s (fact_id, message_id)
    JOIN stored ON stored.id = s.fact_id
), pending AS (
    INSERT INTO embedding_jobs (message_id, tenant_id, request_id, bytes)
    SELECT id, tenant_id, request_id, octet_length(content) FROM input JOIN stored USING (id)
    ON CONFLICT (message_id) DO NOTHING
)
SELECT id FROM stored;

-- name: lock_order_of_facts!
-- Whoever says what supersedes what waits here for others of the same tenants: no two of them close a circle.
SELECT pg_advisory_xact_lock(hashtextextended('facts ' || tenant_id, 0))
FROM (SELECT DISTINCT unnest(:tenant_ids::text[]) AS tenant_id ORDER BY 1) AS t;

-- name: hold_memories
-- Those of the messages and facts that are there; none of them is deleted before this transaction ends.
SELECT tenant_id, id, kind, created_at, utc_offset, valid_from FROM messages
WHERE tenant_id = ANY(:tenant_ids::text[]) AND id = ANY(:ids::uuid[]) AND (expires_at IS NULL OR expires_at > now())
  AND (:user_id::text IS NULL OR user_id = :user_id)
ORDER BY id
FOR KEY SHARE;

-- name: supersede
-- Each old fact is replaced from the time on from which the new one holds.
UPDATE messages m
SET superseded_by = i.new_id, superseded_at = i.superseded_at, version = version + 1, updated_at = :now
FROM unnest(:old_ids::uuid[], :new_ids::uuid[], :superseded_ats::timestamptz[], :tenant_ids::text[])
         AS i (id, new_id, superseded_at, tenant_id)
WHERE m.tenant_id = i.tenant_id AND m.id = i.id AND m.kind = 'fact'
RETURNING m.id;

-- name: find_successors
-- What supersedes facts, and what supersedes that, up to those that hold: each with what supersedes it.
WITH RECURSIVE chain AS (
    SELECT id, superseded_by FROM messages
    WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid[]) AND superseded_by IS NOT NULL
    UNION
    SELECT m.id, m.superseded_by FROM chain c JOIN messages m ON m.id = c.superseded_by
    WHERE m.tenant_id = :tenant_id AND m.superseded_by IS NOT NULL
)
SELECT id, superseded_by FROM chain;

-- name: read_facts
-- A tenant of NULL stands for a caller who may see every tenant, and a user of NULL for one who may see every user.
SELECT m.id, m.tenant_id, nullif(m.conversation_id, '') AS conversation_id, m.name AS subject, m.content, m.metadata,
       coalesce(m.importance_override, m.importance) AS importance, m.embedding_status, m.archived,
       m.created_at, m.utc_offset, m.updated_at, m.language, j.last_error AS embedding_error,
       m.external_id, m.user_id, m.agent_id, m.ttl_seconds, m.expires_at, m.version, m.valid_from, m.valid_to,
       m.superseded_by,
       ARRAY(SELECT s.message_id FROM fact_sources s WHERE s.fact_id = m.id ORDER BY 1) AS source_ids
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.id = ANY(:ids::uuid[]) AND m.tenant_id = coalesce(:tenant_id, m.tenant_id) AND m.kind = 'fact'
  AND (:user_id::text IS NULL OR m.user_id = :user_id) AND (m.expires_at IS NULL OR m.expires_at > now());

-- name: list_facts
-- Newest first, from the position of the last fact of the page before.
SELECT m.id, m.tenant_id, nullif(m.conversation_id, '') AS conversation_id, m.name AS subject, m.content, m.metadata,
       coalesce(m.importance_override, m.importance) AS importance, m.embedding_status, m.archived,
       m.created_at, m.utc_offset, m.updated_at, m.language, j.last_error AS embedding_error,
       m.external_id, m.user_id, m.agent_id, m.ttl_seconds, m.expires_at, m.version, m.valid_from, m.valid_to,
       m.superseded_by,
       ARRAY(SELECT s.message_id FROM fact_sources s WHERE s.fact_id = m.id ORDER BY 1) AS source_ids
FROM messages m LEFT JOIN embedding_jobs j ON j.message_id = m.id
WHERE m.tenant_id = :tenant_id AND m.kind = 'fact' AND (m.expires_at IS NULL OR m.expires_at > now())
  AND (:user_id::text IS NULL OR m.user_id = :user_id)
  AND (:agent_id::text IS NULL OR m.agent_id = :agent_id)
  AND (:conversation_id::text IS NULL OR m.conversation_id = :conversation_id)
  AND (:subject::text IS NULL OR m.name = :subject)
  AND (:external_id::text IS NULL OR m.external_id = :external_id)
  AND (:source_id::uuid IS NULL
       OR EXISTS (SELECT FROM fact_sources s WHERE s.message_id = :source_id AND s.fact_id = m.id))
  AND (:as_of::timestamptz IS NULL OR (m.valid_from <= :as_of AND (least(m.valid_to, m.superseded_at) > :as_of) IS NOT FALSE))
  AND (:before::timestamptz IS NULL OR (m.created_at, m.id) < (:before, :before_id::uuid))
ORDER BY m.created_at DESC, m.id DESC
LIMIT :limit;

-- name: find_superseded
-- What facts supersede.
SELECT superseded_by, id FROM messages WHERE tenant_id = ANY(:tenant_ids::text[]) AND superseded_by = ANY(:ids::uuid[]);

-- name: lock_fact^
SELECT id, tenant_id, valid_from, valid_to, superseded_by, superseded_at, version, updated_at FROM messages
WHERE id = :id AND tenant_id = :tenant_id AND kind = 'fact' AND (:user_id::text IS NULL OR user_id = :user_id)
  AND (expires_at IS NULL OR expires_at > now())
FOR NO KEY UPDATE;

-- name: read_sources
SELECT message_id FROM fact_sources WHERE fact_id = :fact_id ORDER BY 1;

-- name: update_fact!
-- Those that it superseded are replaced from its new `valid_from` on; of that they say nothing, so it is no version of
-- theirs. :counted: the same change has counted its version already.
WITH earlier AS (
    UPDATE messages SET superseded_at = :valid_from
    WHERE tenant_id = :tenant_id AND superseded_by = :id::uuid AND superseded_at <> :valid_from
)
UPDATE messages
SET valid_from = :valid_from, valid_to = :valid_to, superseded_by = :superseded_by::uuid,
    superseded_at = :superseded_at, version = version + CASE WHEN :counted::boolean THEN 0 ELSE 1 END, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :id;

-- name: replace_sources!
WITH wanted AS (
    SELECT unnest(:message_ids::uuid[]) AS message_id
), dropped AS (
    DELETE FROM fact_sources WHERE fact_id = :fact_id::uuid AND message_id NOT IN (SELECT message_id FROM wanted)
)
INSERT INTO fact_sources (fact_id, message_id) SELECT :fact_id, message_id FROM wanted
ON CONFLICT DO NOTHING;

-- name: convert_to_facts!
-- Has messages that have just come in be facts.
WITH sources AS (
    INSERT INTO fact_sources (fact_id, message_id)
    SELECT s.fact_id, s.message_id FROM unnest(:source_fact_ids::uuid[], :source_ids::uuid[]) AS s (fact_id, message_id)
    ON CONFLICT DO NOTHING
)
UPDATE messages m
SET kind = 'fact', valid_from = i.valid_from, valid_to = i.valid_to, superseded_by = i.superseded_by,
    superseded_at = i.superseded_at
FROM unnest(:ids::uuid[], :valid_froms::timestamptz[], :valid_tos::timestamptz[], :superseded_bys::uuid[],
            :superseded_ats::timestamptz[]) AS i (id, valid_from, valid_to, superseded_by, superseded_at)
WHERE m.tenant_id = :tenant_id AND m.id = i.id;
