-- name: bound_transaction$
-- How long each statement of this transaction may take, and on no more than one core.
SELECT set_config('statement_timeout', :timeout, true) || set_config('max_parallel_workers_per_gather', '0', true);

-- name: read_tables_whole$
-- From now on in this transaction no index is used, so that one that has lost rows is seen. NULL, and nothing is changed,
-- where the table is too large for that.
SELECT set_config('enable_seqscan', 'on', true) || set_config('enable_indexscan', 'off', true)
    || set_config('enable_indexonlyscan', 'off', true) || set_config('enable_bitmapscan', 'off', true)
WHERE pg_relation_size('messages') <= :most_bytes;

-- name: measure_all
-- The distances of what a search found, and those of the nearest that it did not find, as many as limit says.
--
-- What is eligible, and the direction, are those of find_candidates (a test holds them together). No order by distance
-- alone, and no number of dimensions: the HNSW index serves neither.
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
), corpus AS MATERIALIZED (
    SELECT sum(embedding_sum * array_fill((1.0 / (summed + :mean_prior::float8))::real,
                                          ARRAY[coalesce(vector_dims(embedding_sum), 1)])::vector) AS mean
    FROM tenant_statistics WHERE tenant_id = :tenant_id
), aim AS MATERIALIZED (
    SELECT coalesce(asked::vector - mean, asked::vector) AS direction
    FROM corpus LEFT JOIN embedding_space ON true CROSS JOIN LATERAL (
        SELECT CASE WHEN model = :model AND dimensions = :dimensions THEN :embedding::halfvec END AS asked
    ) AS a
)
SELECT embedding <=> (SELECT direction::halfvec FROM aim) AS distance, id = ANY(:found::uuid[]) AS found
FROM eligible
WHERE embedding IS NOT NULL AND (SELECT direction IS NOT NULL FROM aim)
ORDER BY found DESC, distance
LIMIT :limit + cardinality(:found::uuid[]);
