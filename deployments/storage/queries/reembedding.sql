-- name: become_the_only_one$
-- One re-embedding at a time, for as long as this connection lives.
SELECT pg_try_advisory_lock(7205759403792795);

-- name: set_session$
-- Locks are waited for shortly, work that takes long is not cut off, and ends soon after whoever asked for it is gone.
SELECT set_config('lock_timeout', '2s', false), set_config('statement_timeout', '0', false),
       set_config('client_connection_check_interval', '500ms', false);

-- name: set_index_memory$
-- Not in parallel: the service goes on beside it, and shared memory may be scarce.
SELECT set_config('maintenance_work_mem', :megabytes || 'MB', false),
       set_config('max_parallel_maintenance_workers', '0', false), set_config('lock_timeout', '0', false);

-- name: begin_filling!
UPDATE embedding_space SET
    base_url = coalesce(base_url, :active_base_url),
    other_provider = :provider, other_model = :model, other_dimensions = :dimensions, other_base_url = :base_url,
    other_state = 'next', other_since = now(), trouble = NULL, trouble_at = NULL
WHERE other_state IS NULL;

-- name: count_filled^
SELECT coalesce(sum(embedded), 0)::bigint AS embedded, coalesce(sum(other_embedded), 0)::bigint AS filled
FROM tenant_statistics;

-- name: table_bytes$
SELECT pg_total_relation_size('messages');

-- name: trouble^
-- What a replica complains of just now, and for how long it could have.
SELECT CASE WHEN trouble_at > now() - interval '15 seconds' THEN trouble END AS trouble,
       extract(epoch FROM now() - other_since)::float8 AS seconds
FROM embedding_space;

-- name: find_holes
-- Messages that have a vector in the active space and none in the other, behind a position, a tenant after the other.
SELECT m.id AS message_id, m.tenant_id, m.role, m.name, m.content, m.created_at, m.utc_offset, m.updated_at
FROM (
    SELECT tenant_id FROM tenant_statistics
    WHERE embedded > other_embedded AND tenant_id >= :tenant_id
    ORDER BY tenant_id LIMIT :limit
) AS t CROSS JOIN LATERAL (
    SELECT id, tenant_id, role, name, content, created_at, utc_offset, updated_at FROM messages
    WHERE messages.tenant_id = t.tenant_id AND embedding IS NOT NULL AND other_embedding IS NULL
      AND (tenant_id, created_at, id) > (:tenant_id, coalesce(:created_at::timestamptz, '-infinity'), :id::uuid)
    ORDER BY tenant_id, created_at, id LIMIT :limit
) AS m
LIMIT :limit;

-- name: fill_holes$
-- Only what is still as it was when it was read, and what nobody else holds: whoever has a request to answer waits for
-- no row of ours in a circle.
WITH made AS (
    SELECT * FROM unnest(:ids::uuid[], :tenant_ids::text[], :updated_ats::timestamptz[], :vectors::halfvec[])
        AS t(id, tenant_id, updated_at, vector)
), there AS MATERIALIZED (
    SELECT m.id, m.tenant_id, made.vector
    FROM made JOIN messages m ON m.id = made.id AND m.tenant_id = made.tenant_id
    WHERE m.updated_at = made.updated_at AND m.embedding IS NOT NULL AND m.other_embedding IS NULL
      AND EXISTS (SELECT FROM embedding_space WHERE (other_model, other_dimensions) = (:model, :dimensions))
    FOR NO KEY UPDATE OF m SKIP LOCKED
), filled AS (
    UPDATE messages m SET other_embedding = there.vector
    FROM there WHERE m.id = there.id AND m.tenant_id = there.tenant_id
    RETURNING 1
)
SELECT count(*) FROM filled;

-- name: index_is_valid$
-- NULL where there is none; false where its making was cut short.
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('messages_other_embedding');

-- name: drop_index#
DROP INDEX CONCURRENTLY IF EXISTS messages_other_embedding;

-- name: create_index#
CREATE INDEX CONCURRENTLY messages_other_embedding ON messages
    USING hnsw ((other_embedding::halfvec({dimensions})) halfvec_cosine_ops) WHERE indexed AND NOT archived;

-- name: analyze_vectors#
-- What the planner knows of a column comes with it when it is renamed.
ANALYZE messages (other_embedding);

-- name: sample_messages
-- Messages by chance, of tenants that have enough others to find.
SELECT m.id, m.tenant_id, m.content
FROM messages m TABLESAMPLE SYSTEM (:percent)
JOIN tenant_statistics s ON m.tenant_id = s.tenant_id
WHERE s.other_embedded > :least AND m.other_embedding IS NOT NULL AND NOT m.archived
ORDER BY random() LIMIT :limit;

-- name: nearest_in_both^
-- The nearest to a query in each space, the mean of the tenant's vectors taken off as in a search; not the message itself.
WITH sums AS MATERIALIZED (
    SELECT sum(embedding::vector) AS active, sum(other_embedding::vector) AS other,
           (1.0 / (count(*) + :mean_prior::float8))::real AS share
    FROM (
        SELECT embedding, other_embedding FROM messages
        WHERE tenant_id = :tenant_id AND embedding IS NOT NULL AND other_embedding IS NOT NULL LIMIT :mean_sample
    ) AS sample
), aims AS MATERIALIZED (
    SELECT (:active::halfvec::vector - active * array_fill(share, ARRAY[coalesce(vector_dims(active), 1)])::vector)::halfvec AS active,
           (:other::halfvec::vector - other * array_fill(share, ARRAY[coalesce(vector_dims(other), 1)])::vector)::halfvec AS other
    FROM sums
), there AS NOT MATERIALIZED (
    SELECT id, embedding, other_embedding FROM messages
    WHERE messages.tenant_id = :tenant_id AND id <> :id AND NOT archived
      AND embedding IS NOT NULL AND other_embedding IS NOT NULL
)
SELECT ARRAY(SELECT id FROM there ORDER BY embedding <=> (SELECT active FROM aims) LIMIT :limit) AS active,
       ARRAY(SELECT id FROM there ORDER BY other_embedding <=> (SELECT other FROM aims) LIMIT :limit) AS other;

-- name: wait_for_locks$
SELECT set_config('lock_timeout', :milliseconds || 'ms', true);

-- name: lock_out_maintenance!
-- Autovacuum gives way to this after a second, in which nobody else waits for us.
LOCK TABLE messages IN SHARE UPDATE EXCLUSIVE MODE;

-- name: lock_out_everybody!
-- In the order in which searches and writes come to them.
LOCK TABLE messages, tenant_statistics, embedding_space IN ACCESS EXCLUSIVE MODE;

-- name: give_up_messages!
-- What the other space's provider refuses has failed, and is found by its words, once that space is active.
WITH refused AS (
    SELECT * FROM unnest(:ids::uuid[], :tenant_ids::text[]) AS t(id, tenant_id)
), failed AS (
    UPDATE messages m SET embedding = NULL, embedding_status = 'failed'
    FROM refused r
    WHERE m.id = r.id AND m.tenant_id = r.tenant_id AND m.embedding IS NOT NULL AND m.other_embedding IS NULL
    RETURNING m.id, m.tenant_id, m.content
)
INSERT INTO embedding_jobs (message_id, tenant_id, bytes, failed, last_error)
SELECT id, tenant_id, octet_length(content), true, 'The provider of the new embedding space refuses it.' FROM failed;

-- name: swap_spaces#
ALTER TABLE messages RENAME COLUMN embedding TO swapped;
ALTER TABLE messages RENAME COLUMN other_embedding TO embedding;
ALTER TABLE messages RENAME COLUMN swapped TO other_embedding;
ALTER TABLE tenant_statistics RENAME COLUMN embedded TO swapped;
ALTER TABLE tenant_statistics RENAME COLUMN other_embedded TO embedded;
ALTER TABLE tenant_statistics RENAME COLUMN swapped TO other_embedded;
ALTER TABLE tenant_statistics RENAME COLUMN summed TO swapped;
ALTER TABLE tenant_statistics RENAME COLUMN other_summed TO summed;
ALTER TABLE tenant_statistics RENAME COLUMN swapped TO other_summed;
ALTER TABLE tenant_statistics RENAME COLUMN embedding_sum TO swapped;
ALTER TABLE tenant_statistics RENAME COLUMN other_embedding_sum TO embedding_sum;
ALTER TABLE tenant_statistics RENAME COLUMN swapped TO other_embedding_sum;
ALTER INDEX messages_embedding RENAME TO messages_swapped;
ALTER INDEX messages_other_embedding RENAME TO messages_embedding;
ALTER INDEX messages_swapped RENAME TO messages_other_embedding;
UPDATE embedding_space SET
    provider = other_provider, model = other_model, dimensions = other_dimensions, base_url = other_base_url,
    other_provider = provider, other_model = model, other_dimensions = dimensions, other_base_url = base_url,
    other_state = CASE other_state WHEN 'next' THEN 'previous' ELSE 'next' END, other_since = now(), trouble = NULL, trouble_at = NULL;

-- name: drop_other_space#
-- A column that is dropped and made anew costs nothing, however many rows there are: its room is reused as they change.
ALTER TABLE messages DROP COLUMN other_embedding, ADD COLUMN other_embedding halfvec;
ALTER TABLE tenant_statistics DROP COLUMN other_embedded, DROP COLUMN other_summed, DROP COLUMN other_embedding_sum,
    ADD COLUMN other_embedded bigint NOT NULL DEFAULT 0, ADD COLUMN other_summed bigint NOT NULL DEFAULT 0,
    ADD COLUMN other_embedding_sum vector;
INSERT INTO former_embedding_spaces AS f (model, dimensions)
SELECT other_model, other_dimensions FROM embedding_space WHERE other_state IS NOT NULL
ON CONFLICT (model, dimensions) DO UPDATE SET dropped_at = now();
UPDATE embedding_space SET other_provider = NULL, other_model = NULL, other_dimensions = NULL, other_base_url = NULL,
    other_state = NULL, other_since = NULL, trouble = NULL, trouble_at = NULL;
