"""Create the scheduled jobs and the cancels."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
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
        sa.Column("reference", sa.Text),
        sa.Column("releasing", sa.SmallInteger, nullable=False, server_default="0"),
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
    op.create_index("scheduled_by_reference", "scheduled", ["user_id", "reference"])
    op.create_index("scheduled_by_method", "scheduled", ["method", "due_ms"])
    op.create_table(
        "cancels",
        sa.Column("request", sa.String(32), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("held_by", sa.String(64)),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("keep_until_ms", sa.BigInteger, nullable=False),
        sa.Column("is_published", sa.SmallInteger, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("cancelled", sa.Integer),
        sa.Column("too_late", sa.Integer),
        sa.Column("settled", sa.Integer),
        sa.Column("body", sa.LargeBinary),
        sa.PrimaryKeyConstraint("request", "n"),
    )
    op.create_index("cancels_by_reference", "cancels", ["user_id", "reference"])
    is_unfinished = sa.text("body IS NOT NULL")
    op.create_index(
        "cancels_unfinished", "cancels", ["at_ms"], postgresql_where=is_unfinished, sqlite_where=is_unfinished
    )
    op.create_table(
        "fallbacks",
        sa.Column("request", sa.String(32), primary_key=True),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("ends_ms", sa.BigInteger, nullable=False),
        sa.Column("people", sa.LargeBinary, nullable=False),
        sa.Column("plan", sa.LargeBinary, nullable=False),
    )
    op.create_index("fallbacks_due", "fallbacks", ["due_ms"])
    op.create_table(
        "fallback_legs",
        sa.Column("leg", sa.String(32), primary_key=True),
        sa.Column("request", sa.String(32), nullable=False),
    )
    op.create_index("fallback_legs_of", "fallback_legs", ["request"])
