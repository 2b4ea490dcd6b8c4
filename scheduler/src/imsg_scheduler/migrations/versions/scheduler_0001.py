"""Create the scheduled jobs."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "scheduled",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("urgency", sa.SmallInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("category", sa.String(16), nullable=False),
        sa.Column("held_by", sa.String(64)),
        sa.Column("at_any_hour", sa.Boolean, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("scheduled_due", "scheduled", ["urgency", "due_ms"])
    is_held = sa.text("held_by IS NOT NULL")
    op.create_index(
        "scheduled_held",
        "scheduled",
        ["held_by", "method", "category", "due_ms"],
        postgresql_where=is_held,
        sqlite_where=is_held,
    )
