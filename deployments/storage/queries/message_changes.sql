-- name: read_changes^
-- What is new in each tenant since the position that it was last read at: pairs of a place in :tenant_ids and a message.
-- `position`: that of this statement. `gaps`: the places whose position is of another table (a restored or truncated one),
-- of another run of the server (whose transactions may have gone with a crash, a failover or a restore), or older than
-- the changes that are kept.
--
-- A restored dump holds the numbers of another server's transactions, which may be ahead of this one's: no committed
-- transaction is, so they are left out. A standby's snapshot does not tell which transactions were running, so there all
-- from the oldest one on are read again.
WITH here AS MATERIALIZED (
    SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), pg_is_in_recovery(),
                     pg_relation_filepath('messages')) AS source
), asked AS MATERIALIZED (
    SELECT place, hashtextextended(tenant_id, 0) AS tenant_key, split_part(position, '@', 1)::pg_snapshot AS snapshot,
           split_part(position, '@', 2) AS source
    FROM unnest(:tenant_ids::text[], :positions::text[]) WITH ORDINALITY AS a (tenant_id, position, place)
), changed AS MATERIALIZED (
    SELECT DISTINCT a.place, id
    FROM asked a
    JOIN message_changes c ON c.tenant_key = a.tenant_key AND c.xid >= pg_snapshot_xmin(a.snapshot)
        AND c.xid < pg_snapshot_xmax(pg_current_snapshot())
        AND (pg_is_in_recovery() OR NOT pg_visible_in_snapshot(c.xid, a.snapshot))
    CROSS JOIN unnest(c.message_ids) AS id
)
SELECT pg_current_snapshot()::text || '@' || here.source AS position, s.model, s.dimensions,
       ARRAY(SELECT place FROM changed ORDER BY place, id) AS places,
       ARRAY(SELECT id FROM changed ORDER BY place, id) AS ids,
       ARRAY(SELECT place FROM asked
             WHERE asked.source <> here.source
                OR pg_snapshot_xmin(asked.snapshot) < (SELECT min(all_before) FROM message_change_marks
                                                       WHERE all_before <= pg_snapshot_xmin(pg_current_snapshot()))) AS gaps
FROM here CROSS JOIN embedding_space s;

-- name: read_messages
-- Those of :ids that an index holds; the others are gone from it, or never belonged to it.
SELECT m.id, m.conversation_id, m.role, m.name, m.content, m.metadata, m.created_at, m.utc_offset,
       coalesce(m.importance_override, m.importance) AS importance, halfvec_send(m.embedding) AS embedding,
       m.terms::text AS terms, m.term_count, m.user_id, m.agent_id, m.external_id, m.expires_at,
       CASE WHEN m.kind = 'fact' THEN described_fact(m.id, m.name, m.valid_from, m.valid_to, m.superseded_by,
                                                     m.superseded_at) END AS fact,
       s.model, s.dimensions
FROM messages m CROSS JOIN embedding_space s
WHERE m.tenant_id = :tenant_id AND m.id = ANY(:ids::uuid[]) AND (:include_archived OR NOT m.archived);

-- name: hold_columns!
-- Before the snapshot of a load is taken: a re-embedding changes which column holds the active space's vectors.
LOCK TABLE messages IN ACCESS SHARE MODE;

-- name: start_of_load^
-- `position`: as in read_changes. `messages`: what was counted of the tenant, to know of a large one before it is read.
SELECT pg_current_snapshot()::text || '@'
           || concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), pg_is_in_recovery(),
                        pg_relation_filepath('messages')) AS position,
       s.model, s.dimensions,
       coalesce((SELECT messages FROM tenant_usage WHERE tenant_id = :tenant_id), 0) AS messages
FROM embedding_space s;

-- name: tenant_messages
-- The columns of read_messages.
SELECT id, conversation_id, role, name, content, metadata, created_at, utc_offset,
       coalesce(importance_override, importance) AS importance, halfvec_send(embedding) AS embedding,
       terms::text AS terms, term_count, user_id, agent_id, external_id, expires_at,
       CASE WHEN kind = 'fact' THEN described_fact(id, name, valid_from, valid_to, superseded_by, superseded_at) END AS fact
FROM messages
WHERE tenant_id = :tenant_id AND (:include_archived OR NOT archived);

-- name: mark_position!
INSERT INTO message_change_marks (all_before)
SELECT pg_snapshot_xmin(pg_current_snapshot()) WHERE EXISTS (SELECT FROM message_changes)
ON CONFLICT DO NOTHING;

-- name: prune_changes$
-- Changes of before the newest mark that is older than :kept_seconds. Marks and changes whose transactions are yet to come
-- came with a dump: such a mark says nothing of what is kept here.
WITH oldest AS MATERIALIZED (
    SELECT max(all_before) AS mark FROM message_change_marks
    WHERE marked_at < now() - make_interval(secs => :kept_seconds)
      AND all_before <= pg_snapshot_xmin(pg_current_snapshot())
), marks AS (
    DELETE FROM message_change_marks
    WHERE all_before < (SELECT mark FROM oldest) OR all_before > pg_snapshot_xmin(pg_current_snapshot())
), pruned AS (
    DELETE FROM message_changes
    WHERE xid < (SELECT mark FROM oldest) OR xid >= pg_snapshot_xmax(pg_current_snapshot())
    RETURNING 1
)
SELECT count(*) FROM pruned;
