-- name: create_run!
-- That of a user bears its tenant as planned already: a job of the release before, which knows of no users, plans nothing.
INSERT INTO retention_runs (id, tenant_id, user_id, actions, dry_run, forced, source_id, requested_by, policy, as_of,
                            planned_tenant)
VALUES (:id, :tenant_id, :user_id, :actions::text[], :dry_run, :forced, :source_id, :requested_by, :policy::text::jsonb,
        :as_of, CASE WHEN :user_id::text IS NULL THEN '' ELSE :tenant_id::text END);

-- name: find_runs
-- Newest first, from the position of the last run of the page before; an id: that one alone. A tenant of NULL stands for
-- a caller who may see every run. What a dry run would do stands in the place of what was done.
SELECT r.*, would.archived AS would_archive, would.deleted AS would_delete
FROM retention_runs r LEFT JOIN LATERAL (
    SELECT coalesce(sum(planned) FILTER (WHERE action = 'archive'), 0)::bigint AS archived,
           coalesce(sum(planned) FILTER (WHERE action = 'delete'), 0)::bigint AS deleted
    FROM retention_tenants t WHERE t.run_id = r.id AND (r.forced OR NOT t.refused)
) AS would ON r.dry_run
WHERE (:id::uuid IS NULL OR r.id = :id)
  AND (:tenant_id::text IS NULL OR r.tenant_id = :tenant_id)
  AND (:before::timestamptz IS NULL OR (r.created_at, r.id) < (:before, :before_id::uuid))
ORDER BY r.created_at DESC, r.id DESC
LIMIT :limit;

-- name: lock_source^
-- Who applies a plan or undoes a run waits here for others that do the same.
SELECT r.*, r.finished_at < now() - make_interval(days => :kept_days) AS expired, now() AS read_at,
       EXISTS (SELECT FROM retention_runs a WHERE a.source_id = r.id AND a.status IN ('running', 'completed')) AS used,
       (SELECT a.id FROM retention_runs a WHERE a.source_id = r.id AND (a.status = 'running' OR a.archived > 0)
        ORDER BY a.created_at DESC LIMIT 1) AS applied_by
FROM retention_runs r
WHERE r.id = :id AND (:tenant_id::text IS NULL OR r.tenant_id = :tenant_id)
FOR UPDATE;

-- name: planned_tenants
-- Those with the most to do first.
SELECT tenant_id, action, planned, messages, refused, policy
FROM retention_tenants WHERE run_id = :run_id
ORDER BY planned DESC, tenant_id, action
LIMIT :limit;

-- name: planned_samples
-- Evenly from all over the plan, as the messages are now.
SELECT m.id AS message_id, m.tenant_id, i.action, m.conversation_id, m.role,
       coalesce(m.importance_override, m.importance) AS importance, m.created_at, m.archived_at
FROM (
    SELECT t.action, b.least + (b.most - b.least) * n / greatest(:limit - 1, 1) AS position
    FROM unnest(ARRAY['archive', 'delete']) AS t(action)
    CROSS JOIN LATERAL (
        SELECT (SELECT min(position) FROM retention_items WHERE run_id = :run_id AND action = t.action) AS least,
               (SELECT max(position) FROM retention_items WHERE run_id = :run_id AND action = t.action) AS most
    ) AS b
    CROSS JOIN generate_series(0, :limit - 1) AS n
) AS wanted
CROSS JOIN LATERAL (
    SELECT * FROM retention_items
    WHERE run_id = :run_id AND action = wanted.action AND position >= wanted.position
    ORDER BY position LIMIT 1
) AS i
JOIN messages m ON m.id = i.message_id AND m.tenant_id = i.tenant_id
WHERE (m.expires_at IS NULL OR m.expires_at > now())
GROUP BY m.id, i.action, i.position
ORDER BY i.action, i.position;

-- name: next_unfinished$
SELECT id FROM retention_runs WHERE status = 'running' ORDER BY created_at, id LIMIT 1;

-- name: claim_run^
-- Whoever had it before finds that it is theirs no more.
UPDATE retention_runs SET claim_id = :claim_id, heartbeat_at = now()
WHERE id = :id AND status = 'running'
RETURNING *;

-- name: enter_phase$
-- A phase that is entered again goes on where it was.
UPDATE retention_runs SET
    phase = :phase, position = CASE WHEN phase = :phase THEN position ELSE 0 END,
    as_of = coalesce(as_of, :as_of), heartbeat_at = now()
WHERE id = :id AND claim_id = :claim_id
RETURNING position;

-- name: end_run$
-- A run that did nothing since all of it was refused has that as its end.
UPDATE retention_runs r SET
    status = CASE WHEN :status = 'completed' AND archived + deleted + restored + skipped = 0
                       AND EXISTS (SELECT FROM retention_tenants t
                                   WHERE t.run_id = coalesce(r.source_id, r.id) AND t.refused AND NOT r.forced
                                     AND t.action = ANY(r.actions))
                       AND NOT EXISTS (SELECT FROM retention_tenants t
                                       WHERE t.run_id = coalesce(r.source_id, r.id) AND NOT t.refused
                                         AND t.planned > 0 AND t.action = ANY(r.actions))
                  THEN 'refused' ELSE :status END,
    error = :error, finished_at = now()
WHERE id = :id AND claim_id = :claim_id
RETURNING status;

-- name: claim_schedule$
-- True for one caller in each interval. What is further in the future than clocks differ was noted before the clock
-- went back. A scheduled run that is not over yet is not followed by another.
INSERT INTO retention_schedule AS s (started_at)
SELECT coalesce(:now::timestamptz, now())
WHERE NOT EXISTS (SELECT FROM retention_runs WHERE status = 'running' AND requested_by = 'schedule')
ON CONFLICT (only_row) DO UPDATE SET started_at = excluded.started_at
WHERE s.started_at <= excluded.started_at - make_interval(secs => :every)
   OR s.started_at > excluded.started_at + interval '1 minute'
RETURNING true;

-- name: claim_orphans$
-- The newest run of those that wait while nobody works, for one caller: a job that takes it takes those before it too.
WITH idle AS (
    SELECT NOT EXISTS (
        SELECT FROM retention_runs
        WHERE status = 'running'
          AND greatest(heartbeat_at, submitted_at) > now() - make_interval(secs => :stale_seconds)
    ) AS nobody_works
), claimed AS (
    UPDATE retention_runs SET submitted_at = now()
    WHERE id IN (SELECT id FROM retention_runs WHERE status = 'running' FOR UPDATE SKIP LOCKED)
      AND (SELECT nobody_works FROM idle)
      AND greatest(heartbeat_at, submitted_at) <= now() - make_interval(secs => :stale_seconds)
    RETURNING id, created_at
)
SELECT id FROM claimed ORDER BY created_at DESC, id DESC LIMIT 1;

-- name: database_time$
SELECT now();

-- name: try_lock$
SELECT pg_try_advisory_xact_lock(hashtextextended('retention', 7));
