"""Terms that the application makes: by whose languages, under which policy, and in which zone a message was sent."""

from importlib import import_module

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_terms = import_module("migrations.versions.0002_term_statistics")

# What has the weight C are further forms of words that are counted already. Rows of before have the weight D alone.
TERM_COUNT = """
    CREATE OR REPLACE FUNCTION term_count(terms tsvector) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (SELECT coalesce(sum(coalesce(cardinality({positions}), 1)), 0)::integer FROM unnest(terms))
"""

MESSAGES = (
    # `utc_offset`: of the sender's zone, in minutes. `language`: as the sender named it. `analysis`: the policy under
    # which the terms were made; NULL where Postgres' parser made them, and a background job is to make them anew.
    # A constant default and a constraint that is not checked against what is there: no row is rewritten or read.
    """
    ALTER TABLE messages
        ADD COLUMN utc_offset smallint NOT NULL DEFAULT 0,
        ADD COLUMN language text,
        ADD COLUMN analysis text,
        ADD CONSTRAINT messages_utc_offset_check CHECK (utc_offset BETWEEN -1439 AND 1439) NOT VALID
    """,
    "CREATE INDEX messages_unanalyzed ON messages (tenant_id) WHERE analysis IS NULL",
    # The release before writes terms and no policy. This one never writes other terms under the same policy in one
    # statement: it forgets the policy first.
    """
    CREATE FUNCTION forget_analysis() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.analysis := NULL;
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER forget_analysis_on_update BEFORE UPDATE OF terms ON messages FOR EACH ROW
        WHEN (NEW.analysis = OLD.analysis AND NEW.terms <> OLD.terms) EXECUTE FUNCTION forget_analysis()
    """,
)

LANGUAGES = (
    """
    CREATE TABLE tenant_languages (
        tenant_id text PRIMARY KEY,
        language text NOT NULL,
        detect boolean NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    # `former`: the languages that some messages may still be analysed in. `reached_at`, `reached_id`: the last message
    # that was analysed anew.
    """
    CREATE TABLE reanalyses (
        tenant_id text PRIMARY KEY,
        requested_at timestamptz NOT NULL DEFAULT now(),
        former text[] NOT NULL DEFAULT '{}',
        reached_at timestamptz,
        reached_id uuid,
        claim_id uuid,
        leased_until timestamptz
    )
    """,
    # The policy of tenants without a language of their own, as the database was last brought to it.
    """
    CREATE TABLE analysis_policy (
        only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
        policy text NOT NULL
    )
    """,
)

# In one pass over the table, as in 0002. English, as there: the language is the operator's setting, which no migration
# knows. A column that a generated one depends on cannot be changed, so that one is dropped and made anew.
UNDO = (
    "DROP TABLE analysis_policy, reanalyses, tenant_languages",
    "DROP TRIGGER forget_analysis_on_update ON messages",
    "DROP FUNCTION forget_analysis()",
    "DROP INDEX messages_unanalyzed",
    "ALTER TABLE messages DROP COLUMN term_count",
    TERM_COUNT.format(positions="positions"),
    """
    ALTER TABLE messages
        ALTER COLUMN terms TYPE tsvector USING message_terms('english', name, content, created_at),
        DROP COLUMN utc_offset, DROP COLUMN language, DROP COLUMN analysis
    """,
    "ALTER TABLE messages ADD COLUMN term_count integer NOT NULL GENERATED ALWAYS AS (term_count(terms)) STORED",
    "TRUNCATE tenant_terms",
    "UPDATE tenant_statistics SET messages = 0, term_count = 0",
    *_terms.BACKFILL,
)


def upgrade() -> None:
    op.execute(TERM_COUNT.format(positions="array_positions(weights, 'D')"))
    for statement in (*MESSAGES, *LANGUAGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in UNDO:
        op.execute(statement)
