"""Room for a second embedding space beside the active one."""

from importlib import import_module

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_terms = import_module("migrations.versions.0002_term_statistics")
_retention = import_module("migrations.versions.0007_retention")

# What is named `embedding` is of the active space: a switch swaps the columns' names, so that no query has to choose.
ROOM = (
    "ALTER TABLE messages ADD COLUMN other_embedding halfvec",
    """
    ALTER TABLE tenant_statistics
        ADD COLUMN other_embedded bigint NOT NULL DEFAULT 0,
        ADD COLUMN other_embedding_sum vector
    """,
    # `other_state`: it is to be the `next` one, or was the `previous` one and is kept for going back.
    """
    ALTER TABLE embedding_space
        ADD COLUMN provider text,
        ADD COLUMN base_url text,
        ADD COLUMN other_provider text,
        ADD COLUMN other_model text,
        ADD COLUMN other_dimensions integer CHECK (other_dimensions BETWEEN 1 AND 4000),
        ADD COLUMN other_base_url text,
        ADD COLUMN other_state text CHECK (other_state IN ('next', 'previous')),
        ADD COLUMN other_since timestamptz,
        ADD COLUMN trouble text,
        ADD COLUMN trouble_at timestamptz,
        ADD CHECK (num_nulls(other_provider, other_model, other_dimensions, other_state, other_since) IN (0, 5))
    """,
    """
    UPDATE embedding_space SET provider = CASE
        WHEN model = 'wordllama/l2_supercat' THEN 'local'
        WHEN model LIKE 'models/%' OR model LIKE 'tunedModels/%' THEN 'google_gemini'
        ELSE 'openai_compatible' END
    """,
    "ALTER TABLE embedding_space ALTER COLUMN provider SET NOT NULL",
    """
    CREATE TABLE former_embedding_spaces (
        model text NOT NULL,
        dimensions integer NOT NULL,
        dropped_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (model, dimensions)
    )
    """,
    "DROP FUNCTION create_embedding_space(text, integer)",
    """
    CREATE FUNCTION create_embedding_space(provider text, model text, dimensions integer) RETURNS void
    LANGUAGE plpgsql AS $$
    BEGIN
        LOCK TABLE embedding_space IN EXCLUSIVE MODE;
        IF NOT EXISTS (SELECT FROM embedding_space) THEN
            INSERT INTO embedding_space (provider, model, dimensions) VALUES (provider, model, dimensions);
            EXECUTE format(
                'CREATE INDEX messages_embedding ON messages '
                'USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops) WHERE NOT archived', dimensions);
        END IF;
    END $$
    """,
)

# As in 0002, with the other space's vectors beside.
KEEP = """
    CREATE OR REPLACE FUNCTION keep_statistics_on_{event}() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        tenants text[];
        words text[];
    BEGIN
        WITH moved AS MATERIALIZED (
            SELECT * FROM ({moved}) AS m WHERE terms IS NOT NULL OR embedding IS NOT NULL OR other IS NOT NULL
        ), summed AS (
            INSERT INTO tenant_statistics AS s (tenant_id, embedded, messages, term_count, embedding_sum,
                                                other_embedded, other_embedding_sum)
            SELECT tenant_id,
                   coalesce(sum(way) FILTER (WHERE embedding IS NOT NULL), 0),
                   coalesce(sum(way) FILTER (WHERE terms IS NOT NULL), 0),
                   coalesce(sum(way * term_count(terms)) FILTER (WHERE terms IS NOT NULL), 0),
                   difference(sum(embedding::vector) FILTER (WHERE way = 1),
                              sum(embedding::vector) FILTER (WHERE way = -1)),
                   coalesce(sum(way) FILTER (WHERE other IS NOT NULL), 0),
                   difference(sum(other::vector) FILTER (WHERE way = 1),
                              sum(other::vector) FILTER (WHERE way = -1))
            FROM moved GROUP BY tenant_id ORDER BY tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET
                embedded = s.embedded + excluded.embedded,
                messages = s.messages + excluded.messages,
                term_count = s.term_count + excluded.term_count,
                embedding_sum = CASE WHEN s.embedded + excluded.embedded > 0 THEN
                    coalesce(s.embedding_sum + excluded.embedding_sum, s.embedding_sum, excluded.embedding_sum) END,
                other_embedded = s.other_embedded + excluded.other_embedded,
                other_embedding_sum = CASE WHEN s.other_embedded + excluded.other_embedded > 0 THEN
                    coalesce(s.other_embedding_sum + excluded.other_embedding_sum, s.other_embedding_sum,
                             excluded.other_embedding_sum) END
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
    SELECT tenant_id, 1 AS way, counted_terms(archived, embedding_status, terms) AS terms, embedding,
           other_embedding AS other
    FROM changed_to
"""
WENT = """
    SELECT tenant_id, -1 AS way, counted_terms(archived, embedding_status, terms) AS terms, embedding,
           other_embedding AS other
    FROM changed_from
"""
CHANGED = """
    SELECT tenant_id, moved.*
    FROM changed_from o FULL JOIN changed_to n USING (id, tenant_id), LATERAL (
        SELECT counted_terms(o.archived, o.embedding_status, o.terms) AS old_terms,
               counted_terms(n.archived, n.embedding_status, n.terms) AS new_terms
    ) AS c, LATERAL (VALUES
        (1, CASE WHEN new_terms IS DISTINCT FROM old_terms THEN new_terms END,
         CASE WHEN n.embedding IS DISTINCT FROM o.embedding THEN n.embedding END,
         CASE WHEN n.other_embedding IS DISTINCT FROM o.other_embedding THEN n.other_embedding END),
        (-1, CASE WHEN new_terms IS DISTINCT FROM old_terms THEN old_terms END,
         CASE WHEN n.embedding IS DISTINCT FROM o.embedding THEN o.embedding END,
         CASE WHEN n.other_embedding IS DISTINCT FROM o.other_embedding THEN o.other_embedding END)
    ) AS moved (way, terms, embedding, other)
"""
MOVED = {"insert": CAME, "update": CHANGED, "delete": WENT}

UNDO = (
    "DROP FUNCTION create_embedding_space(text, text, integer)",
    _retention.CREATE_EMBEDDING_SPACE,
    "DROP TABLE former_embedding_spaces",
    """
    ALTER TABLE embedding_space DROP COLUMN provider, DROP COLUMN base_url, DROP COLUMN other_provider,
        DROP COLUMN other_model, DROP COLUMN other_dimensions, DROP COLUMN other_base_url, DROP COLUMN other_state,
        DROP COLUMN other_since, DROP COLUMN trouble, DROP COLUMN trouble_at
    """,
    "ALTER TABLE tenant_statistics DROP COLUMN other_embedded, DROP COLUMN other_embedding_sum",
    "ALTER TABLE messages DROP COLUMN other_embedding",
)


def upgrade() -> None:
    for statement in ROOM:
        op.execute(statement)
    for event, moved in MOVED.items():
        op.execute(KEEP.format(event=event, moved=moved, longest=_terms.LONGEST))


def downgrade() -> None:
    for event, (moved, _) in _terms.TABLES.items():
        before = _terms.KEEP.format(event=event, moved=moved, longest=_terms.LONGEST)
        op.execute(before.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
    for statement in UNDO:
        op.execute(statement)
