-- name: archive_batch$
-- The next messages of the plan that are as they were, and that nobody is changing at this moment; the others, and those
-- of a tenant that is exempt by now, are left alone. Positions, counts and messages are written together: a run that is killed goes on behind its last batch.
WITH run AS MATERIALIZED (
    SELECT id, coalesce(source_id, id) AS plan_id, position, forced FROM retention_runs
    WHERE id = :run_id AND claim_id = :claim_id
    FOR UPDATE
), batch AS MATERIALIZED (
    SELECT i.*, run.forced OR NOT t.refused AS wanted
    FROM run
    CROSS JOIN LATERAL (
        SELECT * FROM retention_items
        WHERE run_id = run.plan_id AND action = 'archive' AND position > run.position
        ORDER BY position
        LIMIT :limit
    ) AS i
    JOIN retention_tenants t ON t.run_id = i.run_id AND t.tenant_id = i.tenant_id AND t.action = i.action
), unchanged AS MATERIALIZED (
    SELECT m.id, m.tenant_id
    FROM batch b JOIN messages m ON m.id = b.message_id AND m.tenant_id = b.tenant_id
    WHERE b.wanted AND NOT m.archived AND m.embedding_status <> 'pending' AND m.updated_at = b.updated_at
      AND coalesce(m.importance_override, m.importance) = b.importance
      AND NOT EXISTS (SELECT FROM retention_policies p WHERE p.tenant_id = b.tenant_id AND p.exempt)
    FOR NO KEY UPDATE OF m SKIP LOCKED
), moved AS (
    UPDATE messages m SET archived = true, archived_at = now(), archived_by = :run_id
    FROM unchanged u WHERE m.id = u.id AND m.tenant_id = u.tenant_id
    RETURNING 1
), counted AS (
    SELECT count(*) AS items, count(*) FILTER (WHERE wanted) AS wanted, max(position) AS reached,
           (SELECT count(*) FROM moved) AS moved
    FROM batch
)
UPDATE retention_runs r SET
    position = coalesce(c.reached, r.position), archived = r.archived + c.moved,
    skipped = r.skipped + c.wanted - c.moved, heartbeat_at = now()
FROM counted c
WHERE r.id = :run_id AND r.claim_id = :claim_id
RETURNING c.items AS done;

-- name: delete_batch$
-- The same for deletions. The jobs are locked before the messages, and in one order, as the workers do.
WITH run AS MATERIALIZED (
    SELECT id, coalesce(source_id, id) AS plan_id, position, forced FROM retention_runs
    WHERE id = :run_id AND claim_id = :claim_id
    FOR UPDATE
), batch AS MATERIALIZED (
    SELECT i.*, run.forced OR NOT t.refused AS wanted
    FROM run
    CROSS JOIN LATERAL (
        SELECT * FROM retention_items
        WHERE run_id = run.plan_id AND action = 'delete' AND position > run.position
        ORDER BY position
        LIMIT :limit
    ) AS i
    JOIN retention_tenants t ON t.run_id = i.run_id AND t.tenant_id = i.tenant_id AND t.action = i.action
), jobs AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs
    WHERE message_id = ANY(ARRAY(SELECT message_id FROM batch WHERE wanted))
    ORDER BY message_id
    FOR UPDATE
), unchanged AS MATERIALIZED (
    SELECT m.id, m.tenant_id
    FROM batch b JOIN messages m ON m.id = b.message_id AND m.tenant_id = b.tenant_id
    WHERE (SELECT count(*) FROM jobs) >= 0 AND b.wanted AND m.archived AND m.archived_at = b.archived_at
      AND m.updated_at = b.updated_at
      AND coalesce(m.importance_override, m.importance) IS NOT DISTINCT FROM b.importance
      AND NOT EXISTS (SELECT FROM retention_policies p WHERE p.tenant_id = b.tenant_id AND p.exempt)
    FOR UPDATE OF m SKIP LOCKED
), moved AS (
    DELETE FROM messages m USING unchanged u WHERE m.id = u.id AND m.tenant_id = u.tenant_id
    RETURNING 1
), counted AS (
    SELECT count(*) AS items, count(*) FILTER (WHERE wanted) AS wanted, max(position) AS reached,
           (SELECT count(*) FROM moved) AS moved
    FROM batch
)
UPDATE retention_runs r SET
    position = coalesce(c.reached, r.position), deleted = r.deleted + c.moved,
    skipped = r.skipped + c.wanted - c.moved, heartbeat_at = now()
FROM counted c
WHERE r.id = :run_id AND r.claim_id = :claim_id
RETURNING c.items AS done;

-- name: restore_batch$
-- What a run archived is live again, whatever became of it since, as long as it is there.
WITH run AS MATERIALIZED (
    SELECT source_id, tenant_id FROM retention_runs WHERE id = :run_id AND claim_id = :claim_id FOR UPDATE
), batch AS MATERIALIZED (
    SELECT m.id, m.tenant_id
    FROM messages m
    WHERE m.archived_by = (SELECT source_id FROM run)
      AND m.tenant_id = coalesce((SELECT tenant_id FROM run), m.tenant_id)
    ORDER BY m.id
    LIMIT :limit
    FOR NO KEY UPDATE
), moved AS (
    UPDATE messages m SET archived = false, archived_at = NULL, archived_by = NULL
    FROM batch b WHERE m.id = b.id AND m.tenant_id = b.tenant_id
    RETURNING 1
)
UPDATE retention_runs r SET restored = r.restored + c.moved, heartbeat_at = now()
FROM (SELECT count(*) AS moved FROM moved) AS c
WHERE r.id = :run_id AND r.claim_id = :claim_id
RETURNING c.moved AS done;

-- name: count_left$
-- How many messages a phase has still to look at.
SELECT CASE WHEN r.phase = 'restoring' THEN (
    SELECT count(*) FROM messages m
    WHERE m.archived_by = r.source_id AND m.tenant_id = coalesce(r.tenant_id, m.tenant_id)
) ELSE (
    SELECT count(*) FROM retention_items i
    WHERE i.run_id = coalesce(r.source_id, r.id) AND i.position > r.position
      AND i.action = CASE r.phase WHEN 'archiving' THEN 'archive' ELSE 'delete' END
) END
FROM retention_runs r WHERE r.id = :run_id;
