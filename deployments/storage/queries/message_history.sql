-- name: read_history
-- The message or the fact as it is, and what is kept of it, newest first: from :before downwards. One row without a version: there is
-- such a message, and nothing of it from there on. Of a user: the versions that were that user's.
SELECT v.*
FROM messages m CROSS JOIN message_history_policy p
LEFT JOIN LATERAL (
    SELECT m.version, coalesce(before.until, m.updated_at) AS since, NULL::timestamptz AS until, m.conversation_id, m.role,
           m.created_at, m.utc_offset, m.content, m.name, m.metadata, m.importance_override, m.language, m.external_id,
           m.user_id, m.agent_id, m.ttl_seconds, m.expires_at, m.chat, m.valid_from, m.valid_to, m.superseded_by,
           ARRAY(SELECT s.message_id FROM fact_sources s WHERE s.fact_id = m.id ORDER BY 1) AS source_ids
    FROM (SELECT) AS now LEFT JOIN message_history before ON before.message_id = m.id AND before.version = m.version - 1
    UNION ALL
    SELECT h.version, h.since, h.until, h.conversation_id, h.role, h.created_at, h.utc_offset, h.content, h.name,
           h.metadata, h.importance_override, h.language, h.external_id, h.user_id, h.agent_id, h.ttl_seconds,
           h.expires_at, h.chat, h.valid_from, h.valid_to, h.superseded_by, h.source_ids
    FROM message_history h
    WHERE h.message_id = m.id AND h.until > now() - make_interval(days => p.kept_days)
) AS v ON (:before::int IS NULL OR v.version < :before) AND (:user_id::text IS NULL OR v.user_id = :user_id)
WHERE m.id = :id AND m.tenant_id = coalesce(:tenant_id, m.tenant_id) AND (:user_id::text IS NULL OR m.user_id = :user_id)
  AND m.kind = :kind AND (m.expires_at IS NULL OR m.expires_at > now())
ORDER BY v.version DESC
LIMIT :limit;

-- name: set_history_days!
-- What is kept is up to the database: it writes the history whatever release changes a message.
UPDATE message_history_policy SET kept_days = :days WHERE kept_days <> :days;

-- name: prune_history$
-- What others are working on is left for the next time, so that nobody waits here and no deadlock can come of it.
WITH pruned AS (
    DELETE FROM message_history WHERE (message_id, version) IN (
        SELECT h.message_id, h.version FROM message_history h CROSS JOIN message_history_policy p
        WHERE h.until <= now() - make_interval(days => p.kept_days)
        ORDER BY h.until
        LIMIT :limit
        FOR UPDATE OF h SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) FROM pruned;
