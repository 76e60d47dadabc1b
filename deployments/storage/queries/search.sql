-- name: find_candidates
-- The candidates of both sides in one round trip, each with what ranking needs.
--
-- exact: reads all of the tenant's rows, and measures every vector. Otherwise the HNSW index is walked until enough
-- of the tenant's rows are found (hnsw.iterative_scan), and the GIN index finds the words; both hold the rows of all
-- tenants. Their expressions are written here as in their definitions, and nowhere in the exact branches, so that
-- neither branch can take the other's plan: ts_match_vq is what @@ calls, and no index knows it.
-- Words are weighed as BM25 does: a word that few of the matching messages hold counts for more, and so does
-- a match in a short message. Only the rough_limit best by plain ts_rank are weighed, which bounds the cost.
WITH eligible AS NOT MATERIALIZED (
    SELECT m.* FROM messages m
    WHERE m.tenant_id = :tenant_id
      AND (:include_archived OR NOT m.archived)
      AND (:conversation_id::text IS NULL OR m.conversation_id = :conversation_id)
      AND (:role::text IS NULL OR m.role = :role)
      AND (:min_importance::float8 IS NULL
           OR coalesce(m.importance_override, m.importance) >= :min_importance)
      AND (:created_after::timestamptz IS NULL OR m.created_at >= :created_after)
      AND (:created_before::timestamptz IS NULL OR m.created_at < :created_before)
      AND (:metadata::text IS NULL OR m.metadata @> :metadata::text::jsonb)
), near AS MATERIALIZED (
    (SELECT id FROM eligible
     WHERE :exact AND :embedding::halfvec IS NOT NULL AND embedding IS NOT NULL
     ORDER BY embedding <=> :embedding::halfvec LIMIT :limit)
    UNION ALL
    (SELECT id FROM eligible
     WHERE NOT :exact AND :embedding::halfvec IS NOT NULL
     ORDER BY embedding::halfvec({dimensions}) <=> :embedding::halfvec({dimensions}) LIMIT :limit)
), query AS MATERIALIZED (
    SELECT lexeme, quote_literal(lexeme)::tsquery AS one
    FROM unnest(tsvector_to_array(to_tsvector(:language::regconfig, :query))) AS lexeme
    LIMIT 64
), matching AS MATERIALIZED (
    SELECT id, terms, length(terms) AS size
    FROM eligible, (SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS any_of FROM query) AS q
    WHERE (:exact AND ts_match_vq(terms, any_of)) OR (NOT :exact AND terms @@ any_of)
    ORDER BY ts_rank(terms, any_of, 1) DESC
    LIMIT :rough_limit
), hits AS MATERIALIZED (
    SELECT m.id, m.size, count(*) OVER (PARTITION BY q.lexeme) AS holders
    FROM matching m JOIN query q ON m.terms @@ q.one
), corpus AS MATERIALIZED (
    SELECT greatest(count(*), (SELECT embedded FROM tenant_statistics WHERE tenant_id = :tenant_id))::float8
               AS messages,
           avg(size)::float8 AS average_size
    FROM matching
), said AS MATERIALIZED (
    SELECT h.id,
           sum(ln(1 + (c.messages - h.holders + 0.5) / (h.holders + 0.5))
               * (:k1::float8 + 1) / (1 + :k1 * (1 - :b::float8 + :b * h.size / c.average_size))) AS words
    FROM hits h CROSS JOIN corpus c
    GROUP BY h.id
    ORDER BY words DESC, h.id
    LIMIT :limit
), found AS MATERIALIZED (
    SELECT id, coalesce(s.words, 0) AS words FROM near n FULL JOIN said s USING (id)
)
SELECT m.id, m.conversation_id, m.role, m.name, m.content, m.metadata, m.created_at,
       coalesce(m.importance_override, m.importance) AS importance,
       1 - (m.embedding <=> :embedding::halfvec) AS similarity,
       f.words,
       (SELECT count(*) FROM near) AS near,
       (SELECT embedded FROM tenant_statistics WHERE tenant_id = :tenant_id) AS embedded
FROM found f JOIN messages m ON m.id = f.id AND m.tenant_id = :tenant_id;

-- name: find_neighbors
-- The turns before and after each hit, in its own conversation.
SELECT hit.id AS hit_id, n.*
FROM messages hit
CROSS JOIN LATERAL (
    (SELECT id, role, name, content, created_at FROM messages
     WHERE tenant_id = :tenant_id AND conversation_id = hit.conversation_id
       AND (created_at, id) < (hit.created_at, hit.id)
     ORDER BY created_at DESC, id DESC LIMIT :reach)
    UNION ALL
    (SELECT id, role, name, content, created_at FROM messages
     WHERE tenant_id = :tenant_id AND conversation_id = hit.conversation_id
       AND (created_at, id) > (hit.created_at, hit.id)
     ORDER BY created_at, id LIMIT :reach)
) AS n
WHERE hit.tenant_id = :tenant_id AND hit.id = ANY(:ids::uuid[])
ORDER BY hit.id, n.created_at, n.id;
