-- name: request_reanalysis!
-- Whoever analyses the tenant already loses its claim, and the next begins with the oldest message again.
INSERT INTO reanalyses AS r (tenant_id, former) VALUES (:tenant_id, ARRAY[:former::text])
ON CONFLICT (tenant_id) DO UPDATE SET
    requested_at = now(), former = ARRAY(SELECT DISTINCT unnest(r.former || excluded.former)),
    reached_at = NULL, reached_id = NULL, claim_id = NULL, leased_until = NULL;
