-- name: languages_of
-- Each tenant's own language, if it has one, and the languages that some of its rows may still be analysed by. `policy`:
-- the default one that the database was last brought to.
SELECT t.tenant_id, l.language, l.detect, coalesce(r.former, '{}') AS former, r.tenant_id IS NOT NULL AS reanalyzing,
       (SELECT policy FROM analysis_policy) AS policy
FROM unnest(:tenant_ids::text[]) AS t(tenant_id)
LEFT JOIN tenant_languages l ON l.tenant_id = t.tenant_id
LEFT JOIN reanalyses r ON r.tenant_id = t.tenant_id;

-- name: lock_languages$
-- Until the end of the transaction: of two changes at once, the second finds what the first made.
SELECT pg_advisory_xact_lock(hashtextextended(:tenant_id, 7205759403792796));

-- name: put_language!
INSERT INTO tenant_languages (tenant_id, language, detect) VALUES (:tenant_id, :language, :detect)
ON CONFLICT (tenant_id) DO UPDATE SET
    language = excluded.language, detect = excluded.detect, changed_at = now();

-- name: delete_language!
DELETE FROM tenant_languages WHERE tenant_id = :tenant_id;

-- name: erase_language!
WITH reanalysis AS (DELETE FROM reanalyses WHERE tenant_id = :tenant_id)
DELETE FROM tenant_languages WHERE tenant_id = :tenant_id;
