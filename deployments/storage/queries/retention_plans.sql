-- name: next_tenant^
-- The tenant behind :after, with what it or its user has, and the policy of its own.
SELECT u.tenant_id, coalesce(own.stored, u.messages) AS stored, coalesce(own.live, s.messages, 0) AS live, p.tenant_id IS NOT NULL AS has_own,
       p.max_age_days, p.importance_threshold, p.delete_after_days, p.keep_newest, p.exempt
FROM tenant_usage u
LEFT JOIN tenant_statistics s ON s.tenant_id = u.tenant_id
LEFT JOIN retention_policies p ON p.tenant_id = u.tenant_id
LEFT JOIN LATERAL (
    SELECT count(*) AS stored, count(*) FILTER (WHERE NOT archived) AS live
    FROM messages m WHERE m.tenant_id = u.tenant_id AND m.user_id = :user_id
) AS own ON :user_id::text IS NOT NULL
WHERE u.tenant_id > :after AND (:only_tenant::text IS NULL OR u.tenant_id = :only_tenant)
ORDER BY u.tenant_id
LIMIT 1;

-- name: is_planned$
SELECT EXISTS (SELECT FROM retention_tenants WHERE run_id = :run_id);

-- name: count_stored$
SELECT coalesce(sum(messages), 0)::bigint FROM tenant_usage WHERE :only_tenant::text IS NULL OR tenant_id = :only_tenant;

-- name: oldest_kept^
-- The last of the newest messages that are kept.
SELECT created_at, id FROM messages
WHERE tenant_id = :tenant_id AND NOT archived AND (expires_at IS NULL OR expires_at > now())
ORDER BY created_at DESC, id DESC
LIMIT 1 OFFSET :kept - 1;

-- name: plan_archiving^
-- One page of a tenant's messages, oldest first: those that the policy selects go into the plan as they are now. What is
-- not scored yet, or about to be again, or has expired, is none of them.
WITH ours AS MATERIALIZED (
    UPDATE retention_runs SET heartbeat_at = now() WHERE id = :run_id AND claim_id = :claim_id RETURNING id
), page AS MATERIALIZED (
    SELECT id, created_at, updated_at, archived, embedding_status, expires_at,
           coalesce(importance_override, importance) AS importance
    FROM messages
    WHERE tenant_id = :tenant_id AND (created_at, id) > (:after, :after_id::uuid) AND created_at < :archive_before
      AND (:user_id::text IS NULL OR user_id = :user_id)
      AND (:kept_from::timestamptz IS NULL OR (created_at, id) < (:kept_from, :kept_from_id::uuid))
    ORDER BY created_at, id
    LIMIT :limit
), planned AS (
    INSERT INTO retention_items (run_id, action, position, tenant_id, message_id, importance, updated_at)
    SELECT ours.id, 'archive', :position + row_number() OVER (ORDER BY created_at, page.id), :tenant_id, page.id,
           importance, updated_at
    FROM page, ours
    WHERE NOT archived AND embedding_status <> 'pending' AND importance < :threshold
      AND (expires_at IS NULL OR expires_at > now())
    RETURNING 1
)
SELECT (SELECT count(*) FROM ours) AS ours, (SELECT count(*) FROM planned) AS planned, count(*) AS read,
       max(created_at) AS last_at, (SELECT id FROM page ORDER BY created_at DESC, id DESC LIMIT 1) AS last_id
FROM page;

-- name: plan_deleting^
-- One page of a tenant's archived messages, in the order in which they were archived. What has expired goes
-- without a plan.
WITH ours AS MATERIALIZED (
    UPDATE retention_runs SET heartbeat_at = now() WHERE id = :run_id AND claim_id = :claim_id RETURNING id
), page AS MATERIALIZED (
    SELECT id, archived_at, updated_at, expires_at, coalesce(importance_override, importance) AS importance
    FROM messages
    WHERE tenant_id = :tenant_id AND archived AND (archived_at, id) > (:after, :after_id::uuid)
      AND archived_at <= :delete_until AND (:user_id::text IS NULL OR user_id = :user_id)
    ORDER BY archived_at, id
    LIMIT :limit
), planned AS (
    INSERT INTO retention_items (run_id, action, position, tenant_id, message_id, importance, updated_at, archived_at)
    SELECT ours.id, 'delete', :position + row_number() OVER (ORDER BY archived_at, page.id), :tenant_id, page.id,
           importance, updated_at, archived_at
    FROM page, ours
    WHERE (expires_at IS NULL OR expires_at > now())
    RETURNING 1
)
SELECT (SELECT count(*) FROM ours) AS ours, (SELECT count(*) FROM planned) AS planned, count(*) AS read,
       max(archived_at) AS last_at, (SELECT id FROM page ORDER BY archived_at DESC, id DESC LIMIT 1) AS last_id
FROM page;

-- name: note_tenant$
-- A tenant is planned when this says so: what a killed run planned of it before is planned anew.
WITH ours AS (
    UPDATE retention_runs SET planned_tenant = :tenant_id, planned = :planned
    WHERE id = :run_id AND claim_id = :claim_id RETURNING id
), noted AS (
    INSERT INTO retention_tenants (run_id, tenant_id, action, planned, messages, refused, policy)
    SELECT ours.id, :tenant_id, p.action, p.planned, p.messages, p.refused, :policy::text::jsonb
    FROM ours, unnest(:actions::text[], :counts::bigint[], :messages::bigint[], :refusals::boolean[])
        AS p(action, planned, messages, refused)
)
SELECT count(*) FROM ours;

-- name: drop_items$
-- A plan's items behind a position, some at a time.
WITH dropped AS (
    DELETE FROM retention_items
    WHERE (run_id, action, position) IN (
        SELECT run_id, action, position FROM retention_items
        WHERE run_id = :run_id AND action = ANY(ARRAY['archive', 'delete']) AND position > :position
        LIMIT :limit
    )
    RETURNING 1
)
SELECT count(*) FROM dropped;

-- name: spent_plans
-- Plans that nobody may apply any more: of runs that are over, and of dry runs that were applied or are too old. One
-- that was refused as a whole may still be forced.
SELECT r.id FROM retention_runs r
WHERE r.plan_kept
  AND (r.id = :run_id
       OR r.id = (SELECT source_id FROM retention_runs WHERE id = :run_id AND archived + deleted + skipped > 0)
       OR (r.status <> 'running' AND (NOT r.dry_run OR r.finished_at < now() - make_interval(days => :kept_days))));

-- name: forget_plan!
UPDATE retention_runs SET plan_kept = false WHERE id = :run_id;
