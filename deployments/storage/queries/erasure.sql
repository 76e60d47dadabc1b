-- name: begin_erasure^
-- One that did not come to its end goes on. Whoever erases the same at the same time works on the same receipt.
WITH begun AS (
    INSERT INTO erasures (id, tenant_id, conversation_id, requested_by)
    VALUES (:id, :tenant_id, :conversation_id::text, :requested_by)
    ON CONFLICT (tenant_id, coalesce(conversation_id, '')) WHERE finished_at IS NULL
        DO UPDATE SET requested_by = erasures.requested_by
    RETURNING *
)
SELECT * FROM begun;

-- name: begin_user_erasure^
WITH begun AS (
    INSERT INTO user_erasures (id, tenant_id, user_id, requested_by)
    VALUES (:id, :tenant_id, :user_id, :requested_by)
    ON CONFLICT (tenant_id, user_id) WHERE finished_at IS NULL
        DO UPDATE SET requested_by = user_erasures.requested_by
    RETURNING *
)
SELECT * FROM begun;

-- name: lock_erasure^
-- Of a tenant, a conversation or a user. Whoever holds it erases; the others wait for their turn, and may find it finished then.
SELECT * FROM erasures WHERE id = :id FOR UPDATE;

-- name: latest_erasure^
SELECT * FROM ONLY erasures
WHERE tenant_id = :tenant_id AND (:conversation_id::text IS NULL OR conversation_id = :conversation_id)
ORDER BY started_at DESC, id DESC
LIMIT 1;

-- name: latest_user_erasure^
SELECT * FROM user_erasures WHERE tenant_id = :tenant_id AND user_id = :user_id ORDER BY started_at DESC, id DESC LIMIT 1;

-- name: erase_messages^
-- The next messages behind a position, of a tenant, a conversation or a user; fewer where they are long, since it is their
-- terms that take the time. The jobs are locked before the messages, and
-- in one order, as the workers do. What was answered when a message was stored goes with it; that its idempotency key
-- was used stays, so that a late retry does not store it again.
WITH next AS MATERIALIZED (
    SELECT id, created_at, sum(term_count) OVER (ORDER BY created_at, id) - term_count AS terms_before
    FROM (
        SELECT id, created_at, term_count FROM messages
        WHERE tenant_id = :tenant_id AND (:conversation_id::text IS NULL OR conversation_id = :conversation_id)
          AND (:user_id::text IS NULL OR user_id = :user_id)
          AND (:after::timestamptz IS NULL OR (created_at, id) > (:after, :after_id::uuid))
        ORDER BY created_at, id
        LIMIT :limit
    ) AS m
), doomed AS MATERIALIZED (
    SELECT id, created_at FROM next WHERE terms_before < :most_terms
), going AS MATERIALIZED (
    SELECT id FROM doomed
    UNION
    -- A fact goes with the last of its sources in any case; from here it is counted.
    SELECT fact_id FROM fact_sources
    WHERE fact_id IN (SELECT s.fact_id FROM doomed d JOIN fact_sources s ON s.message_id = d.id)
    GROUP BY fact_id HAVING bool_and(message_id IN (SELECT id FROM doomed))
), jobs AS MATERIALIZED (
    SELECT message_id, failed FROM embedding_jobs WHERE message_id = ANY(ARRAY(SELECT id FROM going))
    ORDER BY message_id FOR UPDATE
), deleted AS (
    DELETE FROM messages
    WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(SELECT id FROM going)) AND (SELECT count(*) FROM jobs) >= 0
    RETURNING id, embedding IS NOT NULL AS embedded, (expires_at IS NULL OR expires_at > now()) AS live
), forgotten AS (
    UPDATE idempotency_keys SET answer = 'null'
    WHERE tenant_id = :tenant_id AND answer ->> 'id' = ANY(ARRAY(SELECT id::text FROM doomed))
    RETURNING key
), last AS (
    SELECT created_at, id FROM doomed ORDER BY created_at DESC, id DESC LIMIT 1
)
SELECT (SELECT count(*) FROM deleted) AS messages,
       (SELECT count(*) FROM deleted WHERE live) AS live,
       (SELECT count(*) FROM deleted WHERE embedded) AS vectors,
       (SELECT count(*) FROM jobs WHERE NOT failed) AS pending_embeddings,
       (SELECT count(*) FROM forgotten) AS idempotency_keys,
       -- They go with their messages.
       (SELECT count(*) FROM message_history WHERE message_id = ANY(ARRAY(SELECT id FROM going))) AS earlier_versions,
       (SELECT created_at FROM last) AS created_at, (SELECT id FROM last) AS id;

-- name: add_erased_versions!
INSERT INTO erased_versions (erasure_id, versions) VALUES (:id, :versions)
ON CONFLICT (erasure_id) DO UPDATE SET versions = erased_versions.versions + excluded.versions;

-- name: erased_versions$
SELECT versions FROM erased_versions WHERE erasure_id = :id;

-- name: erase_idempotency_keys^
-- Counted are those that still held an answer: the others were counted with their messages.
WITH gone AS (
    DELETE FROM idempotency_keys
    WHERE tenant_id = :tenant_id AND key IN (
        SELECT key FROM idempotency_keys WHERE tenant_id = :tenant_id ORDER BY key LIMIT :limit
    )
    RETURNING answer <> 'null' AS held
)
SELECT count(*) AS keys, count(*) FILTER (WHERE held) AS idempotency_keys FROM gone;

-- name: erase_planned$
-- What retention plans for the tenant. What it did stays in its ledger, in figures.
WITH gone AS (
    DELETE FROM retention_items
    WHERE (run_id, action, position) IN (
        SELECT run_id, action, position FROM retention_items WHERE tenant_id = :tenant_id LIMIT :limit
    )
    RETURNING 1
)
SELECT count(*) FROM gone;

-- name: revoke_keys_of_tenant$
-- A user: its keys alone.
WITH revoked AS (
    UPDATE api_keys SET revoked_at = now(), changed_at = clock_timestamp()
    WHERE tenant_id = :tenant_id AND (:user_id::text IS NULL OR user_id = :user_id) AND revoked_at IS NULL AND (:spared::text IS NULL OR prefix <> :spared)
    RETURNING 1
)
SELECT count(*) FROM revoked;

-- name: add_to_erasure!
UPDATE erasures SET
    messages = messages + :messages,
    vectors = vectors + :vectors,
    pending_embeddings = pending_embeddings + :pending_embeddings,
    idempotency_keys = idempotency_keys + :idempotency_keys,
    revoked_keys = revoked_keys + :revoked_keys
WHERE id = :id;

-- name: erase_empty_statistics!
-- Only what says nothing any more: what is stored at this moment is counted, and stays so.
WITH statistics AS (
    DELETE FROM tenant_statistics WHERE tenant_id = :tenant_id AND messages = 0 AND embedded = 0 AND other_embedded = 0
), usage AS (
    DELETE FROM tenant_usage WHERE tenant_id = :tenant_id AND messages = 0 AND bytes = 0
)
DELETE FROM large_tenants l WHERE tenant_id = :tenant_id
    AND NOT EXISTS (SELECT FROM messages m WHERE m.tenant_id = l.tenant_id);

-- name: erase_retention_policy!
DELETE FROM retention_policies WHERE tenant_id = :tenant_id;

-- name: finish_erasure!
UPDATE erasures SET finished_at = now() WHERE id = :id;
