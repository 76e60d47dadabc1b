"""What BM25 and centred vectors need to know of each tenant."""

from importlib import import_module

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SAID_ON = "to_char(created_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY')"

# What was said is indexed together with who said it and when: a question asks for "May 2023" as it asks for words.
TERMS = (
    """
    CREATE FUNCTION message_terms(language regconfig, name text, content text, said_at timestamptz) RETURNS tsvector
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN to_tsvector(language,
                       concat_ws(' ', to_char(said_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY'), name, content))
    """,
    # No index can be searched for a tenant and a term together, unless both are one key.
    """
    CREATE FUNCTION term_key(tenant_id text, term text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN hashtextextended(term, hashtextextended(tenant_id, 0))
    """,
    """
    CREATE FUNCTION term_keys(tenant_id text, terms tsvector) RETURNS bigint[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT term_key(tenant_id, term) FROM unnest(tsvector_to_array(terms)) AS term)
    """,
    """
    CREATE FUNCTION term_count(terms tsvector) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT coalesce(sum(coalesce(cardinality(positions), 1)), 0)::integer FROM unnest(terms))
    """,
    "DROP INDEX messages_terms",
    # The language is the operator's setting, which no migration knows: the names of months are English to all. Terms
    # that hold the date stay: a downgrade leaves it there. In one pass over the table, which builds each index once:
    # an UPDATE would put every row into the HNSW index a second time.
    f"""
    ALTER TABLE messages
        ALTER COLUMN terms TYPE tsvector USING
            CASE WHEN terms @@ plainto_tsquery('english', {SAID_ON}) THEN terms
                 ELSE terms || to_tsvector('english', {SAID_ON}) END,
        ADD COLUMN term_count integer NOT NULL GENERATED ALWAYS AS (term_count(terms)) STORED
    """,
    "CREATE INDEX messages_terms ON messages USING gin (term_keys(tenant_id, terms))",
)

COUNT_EMBEDDED = ("insert", "update", "delete")

STATISTICS = (
    *(f"DROP TRIGGER count_embedded_on_{event} ON messages" for event in COUNT_EMBEDDED),
    *(f"DROP FUNCTION count_embedded_on_{event}()" for event in COUNT_EMBEDDED),
    """
    ALTER TABLE tenant_statistics
        ADD COLUMN messages bigint NOT NULL DEFAULT 0,
        ADD COLUMN term_count bigint NOT NULL DEFAULT 0,
        ADD COLUMN embedding_sum vector
    """,
    """
    CREATE TABLE tenant_terms (
        tenant_id text NOT NULL,
        term text NOT NULL,
        messages bigint NOT NULL,
        PRIMARY KEY (tenant_id, term)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05)
    """,
    # What waits for its embedding is not counted yet: so the counting is the workers' work, done a batch
    # at a time, and no store waits for the rows that all of a tenant's messages share.
    """
    CREATE FUNCTION counted_terms(archived boolean, embedding_status text, terms tsvector) RETURNS tsvector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN NOT archived AND embedding_status <> 'pending' THEN terms END
    """,
    """
    CREATE FUNCTION difference(plus vector, minus vector) RETURNS vector
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(plus, minus - minus) - coalesce(minus, plus - plus)
    """,
)

# A key of an index holds 2,704 bytes, where the name of a tenant has up to 1,020 and a term up to 2,046. Longer terms
# are no words, and are taken to be held by no message.
LONGEST = 1_500

# Each row of `moved` is a message that came (1) or went (-1). The order of the rows is the order of their locks.
KEEP = """
    CREATE FUNCTION keep_statistics_on_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        tenants text[];
        words text[];
    BEGIN
        WITH moved AS MATERIALIZED (
            SELECT * FROM ({moved}) AS m WHERE terms IS NOT NULL OR embedding IS NOT NULL
        ), summed AS (
            INSERT INTO tenant_statistics AS s (tenant_id, embedded, messages, term_count, embedding_sum)
            SELECT tenant_id,
                   coalesce(sum(way) FILTER (WHERE embedding IS NOT NULL), 0),
                   coalesce(sum(way) FILTER (WHERE terms IS NOT NULL), 0),
                   coalesce(sum(way * term_count(terms)) FILTER (WHERE terms IS NOT NULL), 0),
                   difference(sum(embedding::vector) FILTER (WHERE way = 1),
                              sum(embedding::vector) FILTER (WHERE way = -1))
            FROM moved GROUP BY tenant_id ORDER BY tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET
                embedded = s.embedded + excluded.embedded,
                messages = s.messages + excluded.messages,
                term_count = s.term_count + excluded.term_count,
                embedding_sum = CASE WHEN s.embedded + excluded.embedded > 0 THEN
                    coalesce(s.embedding_sum + excluded.embedding_sum, s.embedding_sum, excluded.embedding_sum) END
        ), counted AS (
            INSERT INTO tenant_terms AS t (tenant_id, term, messages)
            SELECT tenant_id, term, sum(way) FROM moved, unnest(tsvector_to_array(terms)) AS term
            WHERE octet_length(term) <= {longest}
            GROUP BY tenant_id, term HAVING sum(way) <> 0 ORDER BY tenant_id, term
            ON CONFLICT (tenant_id, term) DO UPDATE SET messages = t.messages + excluded.messages
            RETURNING t.tenant_id, t.term, t.messages
        )
        SELECT array_agg(tenant_id), array_agg(term) INTO tenants, words FROM counted WHERE messages <= 0;
        -- What nobody says any more is not kept: the words of a deleted message go with it.
        IF tenants IS NOT NULL THEN
            DELETE FROM tenant_terms t USING unnest(tenants, words) AS gone (tenant_id, term)
            WHERE t.tenant_id = gone.tenant_id AND t.term = gone.term AND t.messages <= 0;
        END IF;
        RETURN NULL;
    END $$
"""
CAME = """
    SELECT tenant_id, 1 AS way, counted_terms(archived, embedding_status, terms) AS terms, embedding FROM changed_to
"""
WENT = """
    SELECT tenant_id, -1 AS way, counted_terms(archived, embedding_status, terms) AS terms, embedding FROM changed_from
"""
# What an update leaves as it was is not counted off and on again. A full join: what moves to another tenant goes here
# and comes there; and it cannot be planned as a nested loop, which plpgsql would keep after an update of one row.
CHANGED = """
    SELECT tenant_id, moved.*
    FROM changed_from o FULL JOIN changed_to n USING (id, tenant_id), LATERAL (
        SELECT counted_terms(o.archived, o.embedding_status, o.terms) AS old_terms,
               counted_terms(n.archived, n.embedding_status, n.terms) AS new_terms
    ) AS c, LATERAL (VALUES
        (1, CASE WHEN new_terms IS DISTINCT FROM old_terms THEN new_terms END,
         CASE WHEN n.embedding IS DISTINCT FROM o.embedding THEN n.embedding END),
        (-1, CASE WHEN new_terms IS DISTINCT FROM old_terms THEN old_terms END,
         CASE WHEN n.embedding IS DISTINCT FROM o.embedding THEN o.embedding END)
    ) AS moved (way, terms, embedding)
"""
TABLES = {
    "insert": (CAME, "NEW TABLE AS changed_to"),
    "update": (CHANGED, "OLD TABLE AS changed_from NEW TABLE AS changed_to"),
    "delete": (WENT, "OLD TABLE AS changed_from"),
}
TRIGGER = """
    CREATE TRIGGER keep_statistics_on_{event} AFTER {event} ON messages REFERENCING {tables}
        FOR EACH STATEMENT EXECUTE FUNCTION keep_statistics_on_{event}()
"""

BACKFILL = (
    """
    INSERT INTO tenant_statistics AS s (tenant_id, embedded, messages, term_count, embedding_sum)
    SELECT tenant_id, count(embedding), count(counted), coalesce(sum(term_count) FILTER (WHERE counted IS NOT NULL), 0),
           sum(embedding::vector)
    FROM messages, LATERAL (SELECT counted_terms(archived, embedding_status, terms) AS counted) AS c
    GROUP BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET
        messages = excluded.messages, term_count = excluded.term_count, embedding_sum = excluded.embedding_sum
    """,
    f"""
    INSERT INTO tenant_terms (tenant_id, term, messages)
    SELECT tenant_id, term, count(*)
    FROM messages, unnest(tsvector_to_array(counted_terms(archived, embedding_status, terms))) AS term
    WHERE octet_length(term) <= {LONGEST}
    GROUP BY tenant_id, term
    """,  # noqa: S608 - a constant # nosec B608
)
UNDO = (
    "DROP INDEX messages_terms",
    "CREATE INDEX messages_terms ON messages USING gin (terms)",
    "ALTER TABLE messages DROP COLUMN term_count",
    *(f"DROP TRIGGER keep_statistics_on_{event} ON messages" for event in TABLES),
    *(f"DROP FUNCTION keep_statistics_on_{event}()" for event in TABLES),
    "DROP TABLE tenant_terms",
    "ALTER TABLE tenant_statistics DROP COLUMN messages, DROP COLUMN term_count, DROP COLUMN embedding_sum",
    "DROP FUNCTION counted_terms(boolean, text, tsvector)",
    "DROP FUNCTION difference(vector, vector)",
    "DROP FUNCTION term_keys(text, tsvector)",
    "DROP FUNCTION term_key(text, text)",
    "DROP FUNCTION term_count(tsvector)",
    "DROP FUNCTION message_terms(regconfig, text, text, timestamptz)",
)


def upgrade() -> None:
    for statement in (*TERMS, *STATISTICS):
        op.execute(statement)
    for event, (moved, tables) in TABLES.items():
        op.execute(KEEP.format(event=event, moved=moved, longest=LONGEST))
        op.execute(TRIGGER.format(event=event, tables=tables))
    for statement in BACKFILL:
        op.execute(statement)


def downgrade() -> None:
    for statement in UNDO:
        op.execute(statement)
    _, *functions_and_triggers = import_module("migrations.versions.0001_messages").TENANT_STATISTICS
    for statement in functions_and_triggers:
        op.execute(statement)
