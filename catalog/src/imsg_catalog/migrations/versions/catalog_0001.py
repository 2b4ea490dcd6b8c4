"""Create the suppressions, the prices, the groups and the templates."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NAME = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")
_EXACT = sa.String(254).with_variant(sa.String(254, collation="C"), "postgresql")
_PERSON = sa.String(272).with_variant(sa.String(272, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "suppressions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("method", sa.String(16), nullable=False),
        sa.Column("person", _EXACT, nullable=False),
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("reason", sa.String(16), nullable=False),
        sa.Column("sender", sa.String(64), nullable=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("added_by", sa.String(64)),
        sa.Column("request", sa.String(32)),
        sa.Column("n", sa.Integer),
        sa.Column("until_ms", sa.BigInteger),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("method", "person", "reason", "sender", "category", name="suppressions_once"),
    )
    op.create_index("suppressions_until", "suppressions", ["until_ms"])
    op.create_table(
        "prices",
        sa.Column("method", sa.String(16), primary_key=True),
        sa.Column("provider", sa.String(64), primary_key=True),
        sa.Column("country", sa.String(2), primary_key=True),
        sa.Column("since", sa.String(10), primary_key=True),
        sa.Column("per", sa.String(8), nullable=False),
        sa.Column("micros", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("last_n", sa.BigInteger, nullable=False),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.String(32), primary_key=True),
        sa.Column("n", sa.BigInteger, primary_key=True),
        sa.Column("contacts", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("language", sa.String(35)),
        sa.Column("consent_ms", sa.BigInteger),
        sa.Column("consent_source", sa.Text),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "group_people",
        sa.Column("group_id", sa.String(32), primary_key=True),
        sa.Column("person", _PERSON, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
    )
    op.create_index("group_people_n", "group_people", ["group_id", "n"])
    op.create_index("group_people_person", "group_people", ["person"])
    op.create_table(
        "templates",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("shared", sa.Integer, nullable=False),
        sa.Column("latest", sa.Integer, nullable=False),
        sa.Column("published", sa.Integer),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("deleted_ms", sa.BigInteger),
    )
    op.create_table(
        "template_versions",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.Column("default_language", sa.String(16), nullable=False),
        sa.Column("languages", sa.Text, nullable=False),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("updated_ms", sa.BigInteger, nullable=False),
        sa.Column("published_ms", sa.BigInteger),
    )
