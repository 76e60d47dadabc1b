"""Messages, their pending embeddings, and what is known of each tenant."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MESSAGES = (
    """
    CREATE TABLE messages (
        id uuid PRIMARY KEY,
        tenant_id text NOT NULL,
        conversation_id text NOT NULL,
        role text NOT NULL CHECK (role IN ('user', 'assistant', 'system', 'tool')),
        name text,
        content text NOT NULL,
        metadata jsonb NOT NULL DEFAULT '{}',
        importance double precision CHECK (importance BETWEEN 0 AND 1),
        importance_override double precision CHECK (importance_override BETWEEN 0 AND 1),
        embedding halfvec,
        embedding_status text NOT NULL DEFAULT 'pending'
            CHECK (embedding_status IN ('pending', 'completed', 'failed')),
        terms tsvector NOT NULL,
        archived boolean NOT NULL DEFAULT false,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL
    )
    """,
    "CREATE INDEX messages_created_at ON messages (created_at)",
    "CREATE INDEX messages_archived ON messages (archived) WHERE archived",
    "CREATE INDEX messages_tenant_archived ON messages (tenant_id, archived)",
    "CREATE INDEX messages_tenant_time ON messages (tenant_id, created_at, id)",
    "CREATE INDEX messages_conversation_time ON messages (tenant_id, conversation_id, created_at, id)",
    "CREATE INDEX messages_terms ON messages USING gin (terms)",
)

EMBEDDING_JOBS = (
    """
    CREATE TABLE embedding_jobs (
        message_id uuid PRIMARY KEY REFERENCES messages ON DELETE CASCADE,
        tenant_id text NOT NULL,
        request_id text,
        attempts integer NOT NULL DEFAULT 0,
        available_at timestamptz NOT NULL DEFAULT now(),
        claim_id uuid,
        failed boolean NOT NULL DEFAULT false,
        last_error text,
        created_at timestamptz NOT NULL DEFAULT now()
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)
    """,
    "CREATE INDEX embedding_jobs_due ON embedding_jobs (available_at, message_id) WHERE NOT failed",
    "CREATE INDEX embedding_jobs_failed ON embedding_jobs (tenant_id) WHERE failed",
)

IDEMPOTENCY_KEYS = (
    """
    CREATE TABLE idempotency_keys (
        tenant_id text NOT NULL,
        key text NOT NULL,
        fingerprint bytea NOT NULL,
        answer jsonb NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (tenant_id, key)
    )
    """,
    "CREATE INDEX idempotency_keys_created_at ON idempotency_keys (created_at)",
)

# How many of a tenant's messages have a vector decides between exact and HNSW search. Triggers keep it
# right whoever writes; statement-level ones, so that a batch costs one update for each tenant in it.
TENANT_STATISTICS = (
    """
    CREATE TABLE tenant_statistics (
        tenant_id text PRIMARY KEY,
        embedded bigint NOT NULL
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE FUNCTION count_embedded_on_update() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tenant_statistics AS s (tenant_id, embedded)
        SELECT tenant_id, sum(delta) FROM (
            SELECT tenant_id, count(embedding) AS delta FROM changed_to GROUP BY tenant_id
            UNION ALL
            SELECT tenant_id, -count(embedding) FROM changed_from GROUP BY tenant_id
        ) AS deltas
        GROUP BY tenant_id HAVING sum(delta) <> 0 ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET embedded = s.embedded + excluded.embedded;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION count_embedded_on_insert() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO tenant_statistics AS s (tenant_id, embedded)
        SELECT tenant_id, count(embedding) FROM changed_to
        WHERE embedding IS NOT NULL GROUP BY tenant_id ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET embedded = s.embedded + excluded.embedded;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION count_embedded_on_delete() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE tenant_statistics AS s SET embedded = s.embedded - gone.embedded
        FROM (SELECT tenant_id, count(embedding) AS embedded FROM changed_from GROUP BY tenant_id) AS gone
        WHERE s.tenant_id = gone.tenant_id AND gone.embedded > 0;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER count_embedded_on_insert AFTER INSERT ON messages
        REFERENCING NEW TABLE AS changed_to
        FOR EACH STATEMENT EXECUTE FUNCTION count_embedded_on_insert()
    """,
    """
    CREATE TRIGGER count_embedded_on_update AFTER UPDATE ON messages
        REFERENCING OLD TABLE AS changed_from NEW TABLE AS changed_to
        FOR EACH STATEMENT EXECUTE FUNCTION count_embedded_on_update()
    """,
    """
    CREATE TRIGGER count_embedded_on_delete AFTER DELETE ON messages
        REFERENCING OLD TABLE AS changed_from
        FOR EACH STATEMENT EXECUTE FUNCTION count_embedded_on_delete()
    """,
)

# The number of dimensions is the operator's choice and not known to a migration, yet an HNSW index is made
# for one number: the service calls this once, when it first starts on an empty database.
EMBEDDING_SPACE = (
    """
    CREATE TABLE embedding_space (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        model text NOT NULL,
        dimensions integer NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
        created_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE FUNCTION create_embedding_space(model text, dimensions integer) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        LOCK TABLE embedding_space IN EXCLUSIVE MODE;
        IF NOT EXISTS (SELECT FROM embedding_space) THEN
            INSERT INTO embedding_space (model, dimensions) VALUES (model, dimensions);
            EXECUTE format(
                'CREATE INDEX messages_embedding ON messages '
                'USING hnsw ((embedding::halfvec(%1$s)) halfvec_cosine_ops)', dimensions);
        END IF;
    END $$
    """,
)


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for statements in (MESSAGES, EMBEDDING_JOBS, IDEMPOTENCY_KEYS, TENANT_STATISTICS, EMBEDDING_SPACE):
        for statement in statements:
            op.execute(statement)


def downgrade() -> None:
    for table in ("embedding_jobs", "idempotency_keys", "tenant_statistics", "embedding_space", "messages"):
        op.execute(f"DROP TABLE {table}")
    for function in (
        "create_embedding_space(text, integer)",
        "count_embedded_on_insert()",
        "count_embedded_on_update()",
        "count_embedded_on_delete()",
    ):
        op.execute(f"DROP FUNCTION {function}")
