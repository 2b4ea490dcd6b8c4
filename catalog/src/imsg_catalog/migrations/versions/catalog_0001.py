"""Create the suppressions and the prices."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_EXACT = sa.String(254).with_variant(sa.String(254, collation="C"), "postgresql")


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
