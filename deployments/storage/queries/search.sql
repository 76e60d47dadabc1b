-- name: find_candidates
-- The candidates of both sides and the turns beside them, in one round trip, each with what ranking needs.
--
-- indexed: the tenant is a large one, so the GIN index finds words, and the tenant's mean and its document frequencies are
-- kept; otherwise the terms of all of its messages are read, and both are computed from its rows, the mean from mean_sample
-- of them. exact: measures every vector of the tenant; otherwise the HNSW index is walked until enough of the tenant's rows
-- are found (hnsw.iterative_scan). Both indexes' expressions are written here as in their definitions, and nowhere in the
-- other branches, so that no branch can take another's plan: ts_match_vq is what @@ calls, and no index knows it.
--
-- Vectors are compared after the mean of the tenant's is taken off them: the direction that all of a small model's
-- vectors share says nothing. A stored vector has length 1, so the order by its angle to `query - mean` is the order
-- by (vector - mean) . (query - mean), and the index serves it.
--
-- Words find by the query's rarest terms only, as many as hold scan_limit messages together, and by the one term that is
-- too many for that, up to scan_limit of its messages: this bounds the cost, and no rare term drowns in a common one.
-- Terms of less than full weight (stop words) find nothing where another term is known: they are in nearly all messages.
-- What was found is weighed by its terms, roughly, and ranking weighs the best of it as BM25. Terms are joined
-- to nothing once, which unpacks a long message's: else each ts_rank would.
--
-- A query that names a time finds what was said then, whatever it says: of the newest scan_limit messages of that time, the
-- nearest and the most important.
--
-- A fact is no turn: it has no neighbours, and is nobody's.
--
-- Of a content of more than whole_bytes its beginning is returned: hundreds of candidates are ranked, and a few answered.
--
-- A vector of another space than the active one is never compared: `asked` is then NULL, and the search goes by words
-- alone. There is a row even where nothing is found, since it says which space is active.
--
-- What is not scored yet passes min_importance. What has expired at :now is no candidate.
WITH eligible AS NOT MATERIALIZED (
    SELECT m.* FROM messages m
    WHERE m.tenant_id = :tenant_id
      AND (:include_archived OR NOT m.archived)
      AND (:conversation_id::text IS NULL OR m.conversation_id = :conversation_id)
      AND (:conversation_prefix::text IS NULL OR m.conversation_id = :conversation_prefix
           OR starts_with(m.conversation_id, :conversation_prefix || '/'))
      AND (:user_id::text IS NULL OR m.user_id = :user_id)
      AND (:agent_id::text IS NULL OR m.agent_id = :agent_id)
      AND (:role::text IS NULL OR m.role = :role)
      AND (:min_importance::float8 IS NULL
           OR coalesce(m.importance_override, m.importance, 1) >= :min_importance)
      AND (:created_after::timestamptz IS NULL OR m.created_at >= :created_after)
      AND (:created_before::timestamptz IS NULL OR m.created_at < :created_before)
      AND (m.expires_at IS NULL OR m.expires_at > :now)
      AND (:metadata::text IS NULL OR m.metadata @> :metadata::text::jsonb)
      AND (:kinds::text[] IS NULL OR m.kind = ANY(:kinds))
      AND (:as_of::timestamptz IS NULL OR m.kind = 'fact' OR m.created_at <= :as_of)
      AND (:facts_as_of::timestamptz IS NULL OR m.kind <> 'fact'
           OR (m.valid_from <= :facts_as_of AND (least(m.valid_to, m.superseded_at) > :facts_as_of) IS NOT FALSE))
      AND {where}
), means AS MATERIALIZED (
    SELECT sum(embedding_sum * array_fill((1.0 / (summed + :mean_prior::float8))::real,
                                          ARRAY[coalesce(vector_dims(embedding_sum), 1)])::vector) AS mean
    FROM tenant_statistics WHERE tenant_id = :tenant_id AND :indexed
    UNION ALL
    SELECT total * array_fill((1.0 / (summed + :mean_prior::float8))::real, ARRAY[coalesce(vector_dims(total), 1)])::vector
    FROM (
        SELECT sum(embedding::vector) AS total, count(*) AS summed
        FROM (SELECT embedding FROM messages WHERE tenant_id = :tenant_id AND NOT :indexed AND embedding IS NOT NULL
              LIMIT :mean_sample) AS sample
    ) AS sampled
), corpus AS MATERIALIZED (
    SELECT greatest(sum(messages), 1)::float8 AS messages, coalesce(sum(term_count), 0)::float8 AS term_count,
           coalesce(sum(embedded), 0)::bigint AS embedded, (SELECT sum(mean) FROM means) AS mean,
           EXISTS (SELECT FROM large_tenants WHERE tenant_id = :tenant_id AND state = 'ready') AS indexed
    FROM tenant_statistics WHERE tenant_id = :tenant_id
), holding AS MATERIALIZED (
    SELECT term, messages AS holders FROM tenant_terms
    WHERE tenant_id = :tenant_id AND :indexed AND term = ANY(:terms::text[]) AND messages > 0
    UNION ALL
    SELECT term, count(*) FROM messages CROSS JOIN unnest(tsvector_to_array(terms)) AS term
    WHERE tenant_id = :tenant_id AND NOT :indexed AND NOT archived AND embedding_status <> 'pending'
      AND term = ANY(:terms::text[])
    GROUP BY term
), aim AS MATERIALIZED (
    SELECT coalesce(model, '') AS model, coalesce(dimensions, 0) AS dimensions, mean, asked,
           coalesce(asked::vector - mean, asked::vector) AS direction
    FROM corpus LEFT JOIN embedding_space ON true CROSS JOIN LATERAL (
        SELECT CASE WHEN model = :model AND dimensions = :dimensions THEN :embedding::halfvec END AS asked
    ) AS a
), near AS MATERIALIZED (
    (SELECT id, conversation_id, created_at, kind FROM eligible
     WHERE :exact AND :embedding::halfvec IS NOT NULL AND embedding IS NOT NULL
       AND (SELECT asked IS NOT NULL FROM aim)
     ORDER BY embedding <=> (SELECT direction::halfvec FROM aim) LIMIT :limit)
    UNION ALL
    (SELECT id, conversation_id, created_at, kind FROM eligible
     WHERE NOT :exact AND indexed AND :embedding::halfvec IS NOT NULL AND (SELECT asked IS NOT NULL FROM aim)
     ORDER BY embedding::halfvec({dimensions}) <=> (SELECT direction::halfvec({dimensions}) FROM aim) LIMIT :limit)
), query AS MATERIALIZED (
    SELECT term, ('''' || replace(replace(term, '\', '\\'), '''', '''''') || '''')::tsquery AS one, holders, rarity, finds,
           sum(holders) OVER (PARTITION BY finds ORDER BY holders, term) AS together
    FROM (
        SELECT q.term, known.holders,
               weight >= 1 OR NOT bool_or(weight >= 1 AND known.holders > 0) OVER () AS finds,
               q.weight * ln(1 + (greatest(c.messages - known.holders, 0) + 0.5) / (known.holders + 0.5)) AS rarity,
               row_number() OVER (PARTITION BY known.holders > 0 ORDER BY known.holders, q.term) AS place
        FROM corpus c
        CROSS JOIN unnest(:terms::text[], :term_weights::float8[]) AS q (term, weight)
        LEFT JOIN holding h ON h.term = q.term
        CROSS JOIN LATERAL (SELECT coalesce(h.holders, 0) AS holders) AS known
    ) AS asked
    WHERE place <= :term_limit
    ORDER BY holders, term
), looked_up AS MATERIALIZED (
    SELECT string_agg(one::text, ' | ') FILTER (WHERE together <= :scan_limit)::tsquery AS rare,
           array_agg(term_key(:tenant_id, term)) FILTER (WHERE together <= :scan_limit) AS rare_keys,
           string_agg(one::text, ' | ') FILTER (WHERE together > :scan_limit)::tsquery AS common,
           array_agg(term_key(:tenant_id, term)) FILTER (WHERE together > :scan_limit) AS common_keys
    FROM query WHERE finds AND together - holders < :scan_limit
), matching AS MATERIALIZED (
    (SELECT id, conversation_id, created_at, kind, terms || '' AS terms FROM eligible
     WHERE NOT :indexed AND ts_match_vq(terms, (SELECT rare FROM looked_up)) LIMIT :scan_limit)
    UNION ALL
    (SELECT id, conversation_id, created_at, kind, terms || '' AS terms FROM eligible
     WHERE NOT :indexed AND ts_match_vq(terms, (SELECT common FROM looked_up))
       AND ts_match_vq(terms, (SELECT rare FROM looked_up)) IS NOT TRUE LIMIT :scan_limit)
    UNION ALL
    (SELECT id, conversation_id, created_at, kind, terms || '' AS terms FROM eligible
     WHERE :indexed AND indexed AND term_keys(tenant_id, terms) && (SELECT rare_keys FROM looked_up) LIMIT :scan_limit)
    UNION ALL
    (SELECT id, conversation_id, created_at, kind, terms || '' AS terms FROM eligible
     WHERE :indexed AND indexed AND term_keys(tenant_id, terms) && (SELECT common_keys FROM looked_up)
       AND ts_match_vq(terms, (SELECT rare FROM looked_up)) IS NOT TRUE LIMIT :scan_limit)
), said AS MATERIALIZED (
    SELECT m.id, m.conversation_id, m.created_at, m.kind
    FROM matching m, LATERAL (
        SELECT sum(rarity * ts_rank('{1,1,1,1}', m.terms, one, 1)) AS weight FROM query WHERE finds
    ) AS rough
    ORDER BY weight DESC, m.id
    LIMIT :limit
), said_then AS MATERIALIZED (
    SELECT id, conversation_id, created_at, kind, coalesce(importance_override, importance) AS importance,
           embedding <=> (SELECT direction::halfvec FROM aim) AS distance
    FROM eligible
    WHERE :said_after::timestamptz IS NOT NULL AND created_at >= :said_after AND created_at < :said_before
    ORDER BY created_at DESC, id DESC LIMIT :scan_limit
), hits AS MATERIALIZED (
    SELECT * FROM near
    UNION SELECT * FROM said
    UNION (SELECT id, conversation_id, created_at, kind FROM said_then ORDER BY distance, id LIMIT :limit)
    UNION (SELECT id, conversation_id, created_at, kind FROM said_then ORDER BY importance DESC NULLS FIRST, id LIMIT :limit)
), turns AS MATERIALIZED (
    SELECT h.id, before.id AS previous, after.id AS next
    FROM hits h
    LEFT JOIN LATERAL (
        SELECT id FROM messages
        WHERE tenant_id = :tenant_id AND conversation_id = CASE h.kind WHEN 'message' THEN h.conversation_id END
          AND kind = 'message' AND (:include_archived OR NOT archived)
          AND (created_at, id) < (h.created_at, h.id)
        ORDER BY created_at DESC, id DESC LIMIT 1
    ) AS before ON true
    LEFT JOIN LATERAL (
        SELECT id FROM messages
        WHERE tenant_id = :tenant_id AND conversation_id = CASE h.kind WHEN 'message' THEN h.conversation_id END
          AND kind = 'message' AND (:include_archived OR NOT archived)
          AND (created_at, id) > (h.created_at, h.id)
        ORDER BY created_at, id LIMIT 1
    ) AS after ON true
), found AS MATERIALIZED (
    SELECT id FROM turns UNION SELECT previous FROM turns UNION SELECT next FROM turns
)
SELECT m.id, m.conversation_id, m.role, m.name,
       CASE WHEN whole THEN m.content ELSE left(m.content, :beginning) END AS content, m.metadata, m.created_at,
       coalesce(m.importance_override, m.importance) AS importance,
       1 - (m.embedding <=> aim.asked) AS similarity,
       1 - (coalesce(m.embedding::vector - aim.mean, m.embedding::vector) <=> aim.direction) AS closeness,
       ARRAY(SELECT ts_rank('{1,1,1,1}', m.unpacked, one) FROM query) AS ranks,
       m.term_count, t.previous, t.next, m.utc_offset, whole, m.user_id, m.agent_id, m.external_id, m.expires_at,
       CASE WHEN m.kind = 'fact' THEN described_fact(m.id, m.name, m.valid_from, m.valid_to, m.superseded_by,
                                                     m.superseded_at) END AS fact,
       CASE WHEN row_number() OVER () = 1 THEN (
           SELECT json_build_array(messages, term_count, embedded, (SELECT count(*) FROM near),
                                   ARRAY(SELECT term FROM query), ARRAY(SELECT holders FROM query), aim.model, aim.dimensions, indexed)::text FROM corpus
       ) END AS corpus
FROM aim
LEFT JOIN (
    found f
    JOIN LATERAL (SELECT *, terms || '' AS unpacked, octet_length(content) <= :whole_bytes AS whole
                  FROM eligible WHERE id = f.id LIMIT 1) AS m ON true
    LEFT JOIN turns t ON t.id = f.id
) ON true;

-- name: find_neighbors
-- The turns before and after each hit, in its own conversation. Facts are none, and have none.
SELECT hit.id AS hit_id, n.*
FROM messages hit
CROSS JOIN LATERAL (
    (SELECT id, role, name, content, created_at, utc_offset FROM messages
     WHERE tenant_id = :tenant_id AND conversation_id = hit.conversation_id
       AND (created_at, id) < (hit.created_at, hit.id) AND (:include_archived OR NOT archived)
       AND (:user_id::text IS NULL OR user_id = :user_id) AND (expires_at IS NULL OR expires_at > :now)
       AND kind = 'message' AND (:as_of::timestamptz IS NULL OR created_at <= :as_of)
     ORDER BY created_at DESC, id DESC LIMIT :reach)
    UNION ALL
    (SELECT id, role, name, content, created_at, utc_offset FROM messages
     WHERE tenant_id = :tenant_id AND conversation_id = hit.conversation_id
       AND (created_at, id) > (hit.created_at, hit.id) AND (:include_archived OR NOT archived)
       AND (:user_id::text IS NULL OR user_id = :user_id) AND (expires_at IS NULL OR expires_at > :now)
       AND kind = 'message' AND (:as_of::timestamptz IS NULL OR created_at <= :as_of)
     ORDER BY created_at, id LIMIT :reach)
) AS n
WHERE hit.tenant_id = :tenant_id AND hit.kind = 'message' AND hit.id = ANY(:ids::uuid[])
ORDER BY hit.id, n.created_at, n.id;
