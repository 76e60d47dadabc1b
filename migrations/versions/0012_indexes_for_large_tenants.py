"""HNSW, GIN and document frequencies for large tenants alone; less work for each message that is stored or embedded."""

from importlib import import_module

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_terms = import_module("migrations.versions.0002_term_statistics")
_spaces = import_module("migrations.versions.0009_second_embedding_space")
_changes = import_module("migrations.versions.0011_message_changes")

CREATE_EMBEDDING_SPACE = """
    CREATE OR REPLACE FUNCTION create_embedding_space(provider text, model text, dimensions integer) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        LOCK TABLE embedding_space IN EXCLUSIVE MODE;
        IF NOT EXISTS (SELECT FROM embedding_space) THEN
            INSERT INTO embedding_space (provider, model, dimensions) VALUES (provider, model, dimensions);
            EXECUTE format(
                'CREATE INDEX messages_embedding ON messages '
                'USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops) WHERE {predicate}', dimensions);
        END IF;
    END $$
"""
# The second space's index is there only while a re-embedding is at its end, or can be undone.
REBUILD_VECTOR_INDEXES = """
    DO $$
    DECLARE
        size integer;
        other_size integer;
    BEGIN
        SELECT dimensions, other_dimensions INTO size, other_size FROM embedding_space;
        IF FOUND THEN
            DROP INDEX messages_embedding;
            EXECUTE format(
                'CREATE INDEX messages_embedding ON messages '
                'USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops) WHERE {predicate}', size);
        END IF;
        IF to_regclass('messages_other_embedding') IS NOT NULL THEN
            DROP INDEX messages_other_embedding;
            EXECUTE format(
                'CREATE INDEX messages_other_embedding ON messages '
                'USING hnsw ((other_embedding::halfvec(%1$s)) halfvec_cosine_ops) WHERE {predicate}', other_size);
        END IF;
    END $$
"""

TABLES = (
    "ALTER TABLE messages ADD COLUMN indexed boolean NOT NULL DEFAULT false",
    # `growing`: its messages are being marked as indexed; `ready`: all are, and so is what is stored from now on;
    # `leaving`: the marks are being taken off. `all_before`: the transactions that may not know of the state have lower
    # numbers. `reached_at`, `reached_id`: the last message that was looked at.
    """
    CREATE TABLE large_tenants (
        tenant_id text PRIMARY KEY,
        state text NOT NULL DEFAULT 'growing' CHECK (state IN ('growing', 'ready', 'leaving')),
        all_before xid8,
        reached_at timestamptz,
        reached_id uuid,
        since timestamptz NOT NULL DEFAULT now()
    )
    """,
    # `summed`, `other_summed`: how many vectors the sums hold, those of indexed messages.
    """
    ALTER TABLE tenant_statistics
        ADD COLUMN summed bigint NOT NULL DEFAULT 0,
        ADD COLUMN other_summed bigint NOT NULL DEFAULT 0
    """,
    "UPDATE tenant_statistics SET embedding_sum = NULL, other_embedding_sum = NULL",
    "TRUNCATE tenant_terms",
)

# The three that no query needs: each costs 2 us for each message that is stored, and again when it is embedded.
INDEXES = (
    "DROP INDEX messages_created_at, messages_archived, messages_tenant_archived",
    "DROP INDEX messages_terms",
    "CREATE INDEX messages_terms ON messages USING gin (term_keys(tenant_id, terms)) WHERE indexed",
)

# How many messages and vectors there are is counted for every tenant; document frequencies and sums of vectors for
# indexed messages. One statement for all of tenant_statistics: the order of its rows is the order of their locks.
KEEP = """
    CREATE OR REPLACE FUNCTION keep_statistics_on_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        tenants text[];
        words text[];
    BEGIN
        INSERT INTO tenant_statistics AS s (tenant_id, embedded, messages, term_count, summed, embedding_sum,
                                            other_embedded, other_summed, other_embedding_sum)
        SELECT tenant_id,
               coalesce(sum(way) FILTER (WHERE embedding IS NOT NULL), 0),
               coalesce(sum(way) FILTER (WHERE counted), 0),
               coalesce(sum(way * term_count) FILTER (WHERE counted), 0),
               coalesce(sum(way) FILTER (WHERE indexed AND embedding IS NOT NULL), 0),
               difference(sum(embedding::vector) FILTER (WHERE indexed AND way = 1),
                          sum(embedding::vector) FILTER (WHERE indexed AND way = -1)),
               coalesce(sum(way) FILTER (WHERE other IS NOT NULL), 0),
               coalesce(sum(way) FILTER (WHERE indexed AND other IS NOT NULL), 0),
               difference(sum(other::vector) FILTER (WHERE indexed AND way = 1),
                          sum(other::vector) FILTER (WHERE indexed AND way = -1))
        FROM ({rows}) AS r WHERE counted OR embedding IS NOT NULL OR other IS NOT NULL
        GROUP BY tenant_id
        HAVING bool_or(indexed)
            OR sum(way) FILTER (WHERE embedding IS NOT NULL) <> 0
            OR sum(way) FILTER (WHERE other IS NOT NULL) <> 0
            OR sum(way) FILTER (WHERE counted) <> 0
            OR sum(way * term_count) FILTER (WHERE counted) <> 0
        ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET
            embedded = s.embedded + excluded.embedded,
            messages = s.messages + excluded.messages,
            term_count = s.term_count + excluded.term_count,
            summed = s.summed + excluded.summed,
            embedding_sum = CASE WHEN s.summed + excluded.summed > 0 THEN
                coalesce(s.embedding_sum + excluded.embedding_sum, s.embedding_sum, excluded.embedding_sum) END,
            other_embedded = s.other_embedded + excluded.other_embedded,
            other_summed = s.other_summed + excluded.other_summed,
            other_embedding_sum = CASE WHEN s.other_summed + excluded.other_summed > 0 THEN
                coalesce(s.other_embedding_sum + excluded.other_embedding_sum, s.other_embedding_sum,
                         excluded.other_embedding_sum) END;
        IF NOT EXISTS (SELECT FROM ({rows}) AS r WHERE indexed) THEN
            RETURN NULL;
        END IF;
        WITH counted AS (
            INSERT INTO tenant_terms AS t (tenant_id, term, messages)
            SELECT tenant_id, term, sum(way) FROM ({moved}) AS moved, unnest(tsvector_to_array(terms)) AS term
            WHERE octet_length(term) <= {longest}
            GROUP BY tenant_id, term HAVING sum(way) <> 0 ORDER BY tenant_id, term
            ON CONFLICT (tenant_id, term) DO UPDATE SET messages = t.messages + excluded.messages
            RETURNING t.tenant_id, t.term, t.messages
        )
        SELECT array_agg(tenant_id), array_agg(term) INTO tenants, words FROM counted WHERE messages <= 0;
        -- Terms that no message holds any more are deleted.
        IF tenants IS NOT NULL THEN
            DELETE FROM tenant_terms t USING unnest(tenants, words) AS gone (tenant_id, term)
            WHERE t.tenant_id = gone.tenant_id AND t.term = gone.term AND t.messages <= 0;
        END IF;
        RETURN NULL;
    END $$
"""
CAME_ROWS = """
    SELECT tenant_id, 1 AS way, NOT archived AND embedding_status <> 'pending' AS counted, term_count, indexed,
           embedding, other_embedding AS other
    FROM changed_to
"""
WENT_ROWS = CAME_ROWS.replace("1 AS way", "-1 AS way").replace("changed_to", "changed_from")
COUNTED = "CASE WHEN {row}.indexed THEN counted_terms({row}.archived, {row}.embedding_status, {row}.terms) END"
CAME = f"SELECT n.tenant_id, 1 AS way, {COUNTED.format(row='n')} AS terms FROM changed_to n"  # noqa: S608 - constants # nosec B608
WENT = f"SELECT o.tenant_id, -1 AS way, {COUNTED.format(row='o')} AS terms FROM changed_from o"  # noqa: S608 - constants # nosec B608
# A full join, for the reasons that 0002 gives.
CHANGED = f"""
    SELECT tenant_id, moved.*
    FROM changed_from o FULL JOIN changed_to n USING (id, tenant_id), LATERAL (
        SELECT {COUNTED.format(row="o")} AS old_terms, {COUNTED.format(row="n")} AS new_terms
    ) AS c, LATERAL (VALUES
        (1, CASE WHEN new_terms IS DISTINCT FROM old_terms THEN new_terms END),
        (-1, CASE WHEN new_terms IS DISTINCT FROM old_terms THEN old_terms END)
    ) AS moved (way, terms)
"""  # noqa: S608 - constants # nosec B608
MOVED = {
    "insert": (CAME_ROWS, CAME),
    "update": (f"{CAME_ROWS} UNION ALL {WENT_ROWS}", CHANGED),
    "delete": (WENT_ROWS, WENT),
}

# Whoever writes, now or in an older release: the messages of large tenants are marked. A trigger's statement sees what
# was committed before it began, and its transaction has its number by then: see all_before.
MARK = (
    """
    CREATE FUNCTION mark_indexed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT FROM changed_to c JOIN large_tenants l USING (tenant_id)
                   WHERE NOT c.indexed AND l.state <> 'leaving') THEN
            UPDATE messages m SET indexed = true
            FROM changed_to c JOIN large_tenants l USING (tenant_id)
            WHERE m.id = c.id AND m.tenant_id = c.tenant_id AND NOT m.indexed AND l.state <> 'leaving';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER mark_indexed_on_insert AFTER INSERT ON messages REFERENCING NEW TABLE AS changed_to
        FOR EACH STATEMENT EXECUTE FUNCTION mark_indexed()
    """,
    """
    CREATE TRIGGER mark_indexed_on_update AFTER UPDATE ON messages REFERENCING NEW TABLE AS changed_to
        FOR EACH STATEMENT EXECUTE FUNCTION mark_indexed()
    """,
    # A statement that changes the mark of one row changes that of all its rows, and nothing else: no index in memory
    # holds the mark. The rows of both tables are in the same order.
    _changes.NOTE.format(event="update", changed=_changes.EVENTS["update"][0])
    .replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    .replace(
        "BEGIN",
        """BEGIN
        IF (SELECT indexed FROM changed_from LIMIT 1) <> (SELECT indexed FROM changed_to LIMIT 1) THEN
            RETURN NULL;
        END IF;""",
    ),
)

# A generated column is computed with every update of a row: half of the rest of what writing an embedding back takes.
# A release that does not give the number of terms has it counted.
TERM_COUNT = (
    "ALTER TABLE messages ALTER COLUMN term_count DROP EXPRESSION",
    """
    CREATE FUNCTION count_terms() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.term_count := term_count(NEW.terms);
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER count_terms_on_insert BEFORE INSERT ON messages FOR EACH ROW
        WHEN (NEW.term_count IS NULL) EXECUTE FUNCTION count_terms()
    """,
    """
    CREATE TRIGGER count_terms_on_update BEFORE UPDATE OF terms ON messages FOR EACH ROW
        WHEN (NEW.terms <> OLD.terms AND NEW.term_count = OLD.term_count) EXECUTE FUNCTION count_terms()
    """,
)

# A foreign key looks its message up, and locks it, for each job: a third of what storing one message cost.
JOBS = (
    "ALTER TABLE embedding_jobs DROP CONSTRAINT embedding_jobs_message_id_fkey",
    """
    CREATE FUNCTION delete_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM embedding_jobs j USING changed_from c WHERE j.message_id = c.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER delete_jobs_on_delete AFTER DELETE ON messages REFERENCING OLD TABLE AS changed_from
        FOR EACH STATEMENT EXECUTE FUNCTION delete_jobs()
    """,
)

UNDO = (
    "DROP TRIGGER delete_jobs_on_delete ON messages",
    "DROP FUNCTION delete_jobs()",
    """
    ALTER TABLE embedding_jobs ADD CONSTRAINT embedding_jobs_message_id_fkey
        FOREIGN KEY (message_id) REFERENCES messages ON DELETE CASCADE
    """,
    "DROP TRIGGER mark_indexed_on_insert ON messages",
    "DROP TRIGGER mark_indexed_on_update ON messages",
    "DROP FUNCTION mark_indexed()",
    "DROP TRIGGER count_terms_on_insert ON messages",
    "DROP TRIGGER count_terms_on_update ON messages",
    "DROP FUNCTION count_terms()",
    "DROP INDEX messages_terms",
    "ALTER TABLE messages DROP COLUMN term_count",
    "ALTER TABLE messages ADD COLUMN term_count integer NOT NULL GENERATED ALWAYS AS (term_count(terms)) STORED",
    "CREATE INDEX messages_terms ON messages USING gin (term_keys(tenant_id, terms))",
    "CREATE INDEX messages_created_at ON messages (created_at)",
    "CREATE INDEX messages_archived ON messages (archived) WHERE archived",
    "CREATE INDEX messages_tenant_archived ON messages (tenant_id, archived)",
    "DROP TABLE large_tenants",
    "ALTER TABLE tenant_statistics DROP COLUMN summed, DROP COLUMN other_summed",
    "TRUNCATE tenant_terms",
    *_terms.BACKFILL,
    """
    UPDATE tenant_statistics s SET other_embedding_sum = m.sum
    FROM (SELECT tenant_id, sum(other_embedding::vector) AS sum FROM messages GROUP BY tenant_id) AS m
    WHERE m.tenant_id = s.tenant_id
    """,
)


def upgrade() -> None:
    for statement in (*TABLES, *INDEXES, *TERM_COUNT, *MARK, *JOBS):
        op.execute(statement)
    for event, (rows, moved) in MOVED.items():
        op.execute(KEEP.format(event=event, rows=rows, moved=moved, longest=_terms.LONGEST))
    for statement in (CREATE_EMBEDDING_SPACE, REBUILD_VECTOR_INDEXES):
        op.execute(statement.replace("{predicate}", "indexed AND NOT archived"))


def downgrade() -> None:
    for event, moved in _spaces.MOVED.items():
        op.execute(_spaces.KEEP.format(event=event, moved=moved, longest=_terms.LONGEST))
    note = _changes.NOTE.format(event="update", changed=_changes.EVENTS["update"][0])
    op.execute(note.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    # The vectors' indexes last: the new column rewrites the table, and builds each index that is there anew.
    for statement in (*UNDO, CREATE_EMBEDDING_SPACE, REBUILD_VECTOR_INDEXES):
        op.execute(statement.replace("{predicate}", "NOT archived"))
    op.execute("ALTER TABLE messages DROP COLUMN indexed")
