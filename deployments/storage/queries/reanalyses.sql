-- name: request_reanalysis!
-- For one tenant, or for all with messages where it is NULL: those whose messages all wait for their embedding have no
-- usage yet. Whoever analyses a tenant already loses its claim, and the next begins with the oldest message again.
INSERT INTO reanalyses AS r (tenant_id, former)
SELECT tenant_id, ARRAY[:former::text] FROM (
    SELECT :tenant_id::text AS tenant_id WHERE :tenant_id::text IS NOT NULL
    UNION SELECT tenant_id FROM tenant_usage WHERE :tenant_id::text IS NULL
    UNION SELECT tenant_id FROM embedding_jobs WHERE :tenant_id::text IS NULL
) AS requested
ORDER BY tenant_id
ON CONFLICT (tenant_id) DO UPDATE SET
    requested_at = now(), former = ARRAY(SELECT DISTINCT unnest(r.former || excluded.former)),
    reached_at = NULL, reached_id = NULL, claim_id = NULL, leased_until = NULL;

-- name: request_unanalyzed!
-- For tenants with messages of an older release. Where there are none, an empty index says so.
INSERT INTO reanalyses (tenant_id)
SELECT t.tenant_id FROM tenant_usage t
WHERE EXISTS (SELECT FROM messages m WHERE m.tenant_id = t.tenant_id AND m.analysis IS NULL)
ORDER BY t.tenant_id
ON CONFLICT DO NOTHING;

-- name: lock_policy$
SELECT policy FROM analysis_policy FOR UPDATE;

-- name: put_policy_tag!
INSERT INTO analysis_policy (policy) VALUES (:policy) ON CONFLICT (only_row) DO UPDATE SET policy = excluded.policy;

-- name: claim_reanalysis^
-- The tenant that has waited longest. Not before every replica goes by its new language, and not by the policy of a
-- replica whose release or settings are not those that the database was brought to.
UPDATE reanalyses SET claim_id = :claim_id, leased_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = (
    SELECT tenant_id FROM reanalyses
    WHERE (:tenant_id::text IS NULL OR tenant_id = :tenant_id)
      AND requested_at <= now() - make_interval(secs => :settling_seconds)
      AND (leased_until IS NULL OR leased_until <= now())
      AND EXISTS (SELECT FROM analysis_policy WHERE policy = :policy)
    ORDER BY requested_at, tenant_id LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING tenant_id, reached_at, reached_id;

-- name: read_stale
-- The next messages with terms of another policy, behind a position; fewer where they are long.
SELECT id, tenant_id, name, content, created_at, utc_offset, language, updated_at FROM (
    SELECT *, sum(term_count) OVER (ORDER BY created_at, id) - term_count AS terms_before
    FROM (
        SELECT * FROM messages
        WHERE tenant_id = :tenant_id AND analysis IS DISTINCT FROM :tag
          AND (:after::timestamptz IS NULL OR (created_at, id) > (:after, :after_id::uuid))
        ORDER BY created_at, id
        LIMIT :limit
    ) AS next
) AS m
WHERE terms_before < :most_terms
ORDER BY created_at, id;

-- name: note_reached$
-- Records how far the claim is, and renews its lease. NULL where the claim was lost.
UPDATE reanalyses SET
    reached_at = :reached_at, reached_id = :reached_id, leased_until = now() + make_interval(secs => :lease_seconds)
WHERE tenant_id = :tenant_id AND claim_id = :claim_id
RETURNING tenant_id;

-- name: rewrite_terms$
-- Only rows that have not changed since they were read and that no other transaction locks, so no deadlock can arise.
WITH made AS (
    SELECT * FROM unnest(:ids::uuid[], :updated_ats::timestamptz[], :terms::text[]) AS t(id, updated_at, terms)
), there AS MATERIALIZED (
    SELECT m.id, made.terms::tsvector AS terms FROM made JOIN messages m ON m.id = made.id
    WHERE m.tenant_id = :tenant_id AND m.updated_at = made.updated_at AND m.analysis IS DISTINCT FROM :tag
    FOR NO KEY UPDATE OF m SKIP LOCKED
), rewritten AS (
    UPDATE messages m SET terms = there.terms, term_count = term_count(there.terms), analysis = :tag
    FROM there WHERE m.id = there.id AND m.tenant_id = :tenant_id
    RETURNING 1
)
SELECT count(*) FROM rewritten;

-- name: end_reanalysis$
-- Where nothing is left; else the next claim begins with the oldest message again. Says whether it is over.
WITH stale AS MATERIALIZED (
    SELECT EXISTS (SELECT FROM messages WHERE tenant_id = :tenant_id AND analysis IS DISTINCT FROM :tag) AS left
), ended AS (
    DELETE FROM reanalyses WHERE tenant_id = :tenant_id AND claim_id = :claim_id AND NOT (SELECT stale.left FROM stale)
    RETURNING 1
), again AS (
    UPDATE reanalyses SET
        reached_at = NULL, reached_id = NULL, claim_id = NULL,
        leased_until = now() + make_interval(secs => :pause_seconds)
    WHERE tenant_id = :tenant_id AND claim_id = :claim_id AND (SELECT stale.left FROM stale)
)
SELECT EXISTS (SELECT FROM ended);

-- name: request_stale!
-- For the tenants that are named, unless they are under way already.
INSERT INTO reanalyses (tenant_id) SELECT unnest(:tenant_ids::text[]) ORDER BY 1 ON CONFLICT DO NOTHING;

-- name: tenants_with_messages
SELECT tenant_id FROM tenant_usage WHERE :tenant_id::text IS NULL OR tenant_id = :tenant_id
UNION SELECT tenant_id FROM embedding_jobs WHERE :tenant_id::text IS NULL OR tenant_id = :tenant_id
ORDER BY tenant_id;

-- name: count_stale$
SELECT count(*) FROM messages WHERE tenant_id = :tenant_id AND analysis IS DISTINCT FROM :tag;

-- name: is_reanalyzing$
SELECT EXISTS (SELECT FROM reanalyses WHERE :tenant_id::text IS NULL OR tenant_id = :tenant_id);
