-- Whatever changes several jobs locks them by their ids first: statements that lock the same rows in different orders wait
-- for each other until Postgres ends one of them.

-- name: due_tenants
-- Walks from tenant to tenant by one index entry each, from the one behind :after round to where it began, until it has
-- met as many with due messages as a batch has room for. Among many tenants whose messages are not due yet it ends after
-- :visits: those of the oldest messages come last, so that a batch is filled and age alone brings a turn too.
WITH RECURSIVE oldest AS MATERIALIZED (
    SELECT tenant_id FROM embedding_jobs
    WHERE NOT failed AND available_at <= now()
    ORDER BY available_at, message_id
    LIMIT :limit
), walk AS (
    SELECT start.tenant_id, start.available_at, start.tenant_id AS began_at, 1 AS visited,
           (start.available_at <= now())::int AS met
    FROM (
        (SELECT tenant_id, available_at FROM embedding_jobs WHERE NOT failed AND tenant_id > :after
         ORDER BY tenant_id, available_at LIMIT 1)
        UNION ALL
        (SELECT tenant_id, available_at FROM embedding_jobs WHERE NOT failed
         ORDER BY tenant_id, available_at LIMIT 1)
        LIMIT 1
    ) AS start
    WHERE EXISTS (SELECT FROM oldest)
    UNION ALL
    SELECT next.tenant_id, next.available_at, w.began_at, w.visited + 1, w.met + (next.available_at <= now())::int
    FROM walk w CROSS JOIN LATERAL (
        (SELECT tenant_id, available_at FROM embedding_jobs WHERE NOT failed AND tenant_id > w.tenant_id
         ORDER BY tenant_id, available_at LIMIT 1)
        UNION ALL
        (SELECT tenant_id, available_at FROM embedding_jobs WHERE NOT failed
         ORDER BY tenant_id, available_at LIMIT 1)
        LIMIT 1
    ) AS next
    WHERE w.visited < :visits AND w.met < :limit AND next.tenant_id <> w.began_at
)
SELECT tenant_id, (SELECT tenant_id FROM walk ORDER BY visited DESC LIMIT 1) AS reached
FROM (
    SELECT tenant_id, visited FROM walk WHERE available_at <= now()
    UNION ALL
    SELECT tenant_id, NULL FROM oldest
) AS due
GROUP BY tenant_id
ORDER BY min(visited) NULLS LAST
LIMIT :limit;

-- name: seconds_until_due$
-- NULL: nothing waits. The time of a claim counts too: that is when its lease runs out.
SELECT extract(epoch FROM min(available_at) - now())::float8 FROM embedding_jobs WHERE NOT failed;

-- name: claim_jobs
-- The oldest messages of each tenant, at most :share of each. A claim is a lease: if its worker dies, it runs out and
-- another worker takes the messages. The tenant is compared and ordered by together with the time: only the index that
-- begins with it serves that, however little the planner knows of a tenant that has just come. An attempt is counted
-- here, before it crashes; of messages that are tried alone, each one's is counted by `begin_attempt`. What has expired is
-- claimed, and embedded by nobody: it is deleted with its job.
WITH due AS MATERIALIZED (
    SELECT j.message_id, j.attempts
    FROM unnest(:tenant_ids::text[]) AS t(tenant_id) CROSS JOIN LATERAL (
        SELECT message_id, attempts FROM embedding_jobs
        WHERE NOT failed
          AND (tenant_id, available_at) >= (t.tenant_id, '-infinity'::timestamptz)
          AND (tenant_id, available_at) <= (t.tenant_id, now())
        ORDER BY tenant_id, available_at, message_id
        LIMIT :share
        FOR UPDATE SKIP LOCKED
    ) AS j
), claimed AS (
    UPDATE embedding_jobs j SET
        claim_id = :claim_id,
        attempts = attempts + (attempts < :alone_after)::integer,
        available_at = now() + make_interval(secs => :lease_seconds)
    WHERE j.message_id = ANY(ARRAY(SELECT message_id FROM due))
    RETURNING j.message_id, j.tenant_id, j.request_id, j.deferrals
)
SELECT c.message_id, c.tenant_id, c.request_id, d.attempts, c.deferrals, m.role, m.name, m.content, m.created_at,
       m.utc_offset
FROM claimed c JOIN due d USING (message_id) JOIN messages m ON m.id = c.message_id AND m.tenant_id = c.tenant_id
WHERE (m.expires_at IS NULL OR m.expires_at > now())
ORDER BY c.message_id;

-- name: begin_attempt$
-- NULL: the message is not ours any more.
UPDATE embedding_jobs SET attempts = attempts + 1
WHERE message_id = :message_id AND claim_id = :claim_id
RETURNING true;

-- name: complete_jobs$
-- Only what is still ours: a message that was changed or deleted since, or whose lease ran out, is left alone.
-- Each vector goes where its space is now: they may have changed places since it was made. NULL if none of them is of the
-- active space; then nothing is done.
WITH results AS (
    SELECT * FROM unnest(:message_ids::uuid[], :embeddings::halfvec[], :others::halfvec[], :importances::float8[])
        AS r(message_id, embedding, other, importance)
), places AS MATERIALIZED (
    SELECT (model, dimensions) = (:model, :dimensions) AS first,
           (model, dimensions) = (:other_model, :other_dimensions) AS second,
           (other_model, other_dimensions) = (:model, :dimensions) AS other_first,
           (other_model, other_dimensions) = (:other_model, :other_dimensions) AS other_second
    FROM embedding_space
), ours AS MATERIALIZED (
    SELECT j.message_id, j.tenant_id FROM embedding_jobs j
    WHERE j.message_id = ANY(:message_ids::uuid[]) AND j.claim_id = :claim_id
      AND (SELECT first OR second FROM places)
    ORDER BY j.message_id FOR UPDATE
), finished AS (
    DELETE FROM embedding_jobs j USING ours WHERE j.message_id = ours.message_id
), completed AS (
    UPDATE messages m SET
        embedding = CASE WHEN p.first THEN r.embedding ELSE r.other END,
        other_embedding = CASE WHEN p.other_first THEN r.embedding WHEN p.other_second THEN r.other END,
        importance = r.importance, embedding_status = 'completed'
    FROM ours JOIN results r USING (message_id) CROSS JOIN places p
    WHERE m.id = ours.message_id AND m.tenant_id = ours.tenant_id
    RETURNING 1
)
SELECT CASE WHEN (SELECT first OR second FROM places) THEN (SELECT count(*) FROM completed) END;

-- name: postpone_jobs$
-- What was scored already is kept: importance does not wait for an embedding that is long in coming. A deferral takes
-- back the attempt: the provider or Scoring was away, and the message is not to blame.
WITH results AS (
    SELECT * FROM unnest(:message_ids::uuid[], :delays::float8[], :importances::float8[])
        AS r(message_id, delay, importance)
), held AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs
    WHERE message_id = ANY(:message_ids::uuid[]) AND claim_id = :claim_id
    ORDER BY message_id FOR UPDATE
), ours AS (
    UPDATE embedding_jobs j SET
        claim_id = NULL, available_at = now() + make_interval(secs => r.delay), last_error = :error,
        attempts = attempts - :deferred::boolean::integer, deferrals = deferrals + :deferred::boolean::integer
    FROM results r JOIN held USING (message_id)
    WHERE j.message_id = r.message_id
    RETURNING j.message_id, j.tenant_id, r.importance
), scored AS (
    UPDATE messages m SET importance = ours.importance
    FROM ours
    WHERE m.id = ours.message_id AND m.tenant_id = ours.tenant_id AND ours.importance IS NOT NULL
)
SELECT count(*) FROM ours;

-- name: fail_jobs$
-- The last attempt is over: the message stays, found by its words, and can be tried again.
WITH results AS (
    SELECT * FROM unnest(:message_ids::uuid[], :importances::float8[]) AS r(message_id, importance)
), held AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs
    WHERE message_id = ANY(:message_ids::uuid[]) AND claim_id = :claim_id
    ORDER BY message_id FOR UPDATE
), ours AS (
    UPDATE embedding_jobs j SET claim_id = NULL, failed = true, last_error = :error
    FROM held WHERE j.message_id = held.message_id
    RETURNING j.message_id, j.tenant_id
), marked AS (
    UPDATE messages m SET importance = r.importance, embedding_status = 'failed'
    FROM ours JOIN results r USING (message_id)
    WHERE m.id = ours.message_id AND m.tenant_id = ours.tenant_id
    RETURNING 1
)
SELECT count(*) FROM marked;

-- name: enqueue_job!
-- Also takes a claim away from a worker that embeds what the message said before.
INSERT INTO embedding_jobs AS j (message_id, tenant_id, request_id, bytes)
VALUES (:message_id, :tenant_id, :request_id, octet_length(:content))
ON CONFLICT (message_id) DO UPDATE SET
    claim_id = NULL, attempts = 0, deferrals = 0, available_at = now(), failed = false, last_error = NULL,
    request_id = excluded.request_id, bytes = excluded.bytes;

-- name: lock_job$
-- Before the message, as the workers do: the order of locks is what keeps them out of deadlocks.
SELECT message_id FROM embedding_jobs WHERE message_id = :message_id FOR UPDATE;

-- name: retry_failed$
-- A NULL message stands for all of the tenant's, a NULL user for all of its users, a NULL tenant for all tenants.
WITH held AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs j
    WHERE failed
      AND tenant_id = coalesce(:tenant_id, tenant_id)
      AND message_id = coalesce(:message_id, message_id)
      AND (:user_id::text IS NULL OR EXISTS (
          SELECT FROM messages o WHERE o.id = j.message_id AND o.tenant_id = j.tenant_id AND o.user_id = :user_id))
    ORDER BY message_id FOR UPDATE
), again AS (
    UPDATE embedding_jobs j SET attempts = 0, deferrals = 0, available_at = now(), failed = false
    FROM held WHERE j.message_id = held.message_id
    RETURNING j.message_id, j.tenant_id
), marked AS (
    UPDATE messages m SET embedding_status = 'pending'
    FROM again WHERE m.id = again.message_id AND m.tenant_id = again.tenant_id
    RETURNING 1
)
SELECT count(*) FROM marked;

-- name: announce_jobs$
SELECT pg_notify('embedding_jobs', '');

-- name: count_jobs^
-- `due_since`, `due_first`: since when the first of those that a worker may take waits, and how many with it.
-- `oldest_seconds`: the age of the oldest, except those that wait for a retry since they failed for a reason of their own.
-- `removed`: how many rows were ever deleted: each completed message removes one, and so does each deleted one. It
-- may be ten seconds late, and begins anew with 0 after a crash of Postgres.
WITH due AS (SELECT min(available_at) AS since FROM embedding_jobs WHERE NOT failed AND available_at <= now())
SELECT count(*) FILTER (WHERE NOT failed) AS pending, count(*) FILTER (WHERE failed) AS failed,
       (SELECT since FROM due) AS due_since,
       count(*) FILTER (WHERE NOT failed AND available_at = (SELECT since FROM due)) AS due_first,
       extract(epoch FROM now() - min(created_at) FILTER (
           WHERE NOT failed AND (attempts = 0 OR claim_id IS NOT NULL OR available_at <= now())
       ))::float8 AS oldest_seconds,
       pg_stat_get_tuples_deleted('embedding_jobs'::regclass) AS removed
FROM embedding_jobs;

-- name: extend_claim!
WITH held AS MATERIALIZED (
    SELECT message_id FROM embedding_jobs
    WHERE message_id = ANY(:message_ids::uuid[]) AND claim_id = :claim_id
    ORDER BY message_id FOR UPDATE
)
UPDATE embedding_jobs j SET available_at = now() + make_interval(secs => :lease_seconds)
FROM held WHERE j.message_id = held.message_id;
