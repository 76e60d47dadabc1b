-- name: get_policy^
SELECT max_age_days, importance_threshold, delete_after_days, keep_newest, exempt
FROM retention_policies WHERE tenant_id = :tenant_id;

-- name: put_policy!
INSERT INTO retention_policies (tenant_id, max_age_days, importance_threshold, delete_after_days, keep_newest, exempt)
VALUES (:tenant_id, :max_age_days, :importance_threshold, :delete_after_days, :keep_newest, :exempt)
ON CONFLICT (tenant_id) DO UPDATE SET
    max_age_days = excluded.max_age_days, importance_threshold = excluded.importance_threshold,
    delete_after_days = excluded.delete_after_days, keep_newest = excluded.keep_newest, exempt = excluded.exempt;

-- name: delete_policy!
DELETE FROM retention_policies WHERE tenant_id = :tenant_id;
