"""Create endpoints, the log of events, deliveries, listeners, recoveries, channels, attention and facts."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    number = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("is_admin", sa.Boolean, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("methods", sa.Text),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("old_secret", sa.Text),
        sa.Column("old_until", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("disabled_at", sa.BigInteger),
        sa.Column("disabled_why", sa.String(16)),
        sa.Column("failing_since", sa.BigInteger),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("reached_at", sa.BigInteger),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("endpoints_by_user", "endpoints", ["user_id"])
    op.create_table(
        "log",
        sa.Column("number", number, sa.Identity(), primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("method", sa.Text),
        sa.Column("digests", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("kept_at", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("id", name="log_id_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("log_by_user", "log", ["user_id", "number"])
    op.create_index("log_by_age", "log", ["kept_at"])
    _create_deliveries(number)
    op.create_table(
        "listeners",
        sa.Column("user_id", sa.String(32), nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("read_at", sa.BigInteger),
        sa.Column("is_admin", sa.Boolean),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_table(
        "recoveries",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("endpoint", sa.String(32), nullable=False),
        sa.Column("position", number, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "channels",
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("method"),
    )
    op.create_table(
        "attention",
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("gone_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("method", "provider", "code"),
    )
    op.create_table(
        "facts",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _create_deliveries(number: sa.types.TypeEngine[int]) -> None:
    op.create_table(
        "deliveries",
        sa.Column("endpoint", sa.String(32), nullable=False),
        sa.Column("number", number, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("round", sa.Integer, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
        sa.Column("tried_at", sa.BigInteger),
        sa.Column("took_ms", sa.Integer),
        sa.Column("status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("answer", sa.Text),
        sa.Column("is_erased", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("endpoint", "number"),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["endpoint", "due_at"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )
