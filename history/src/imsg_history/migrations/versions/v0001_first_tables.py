"""The tables of the first version.

On PostgreSQL requests, messages and attempts are partitioned by range of the request's id, with a default partition;
the sweep adds months ahead and drops old ones.
"""

import sqlalchemy as sa
from alembic import op

from imsg_history.tables import Moment, RequestId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BY_REQUEST = "RANGE (request)"


def upgrade() -> None:
    """Make every table and index."""
    _make_requests()
    _make_messages()
    _make_attempts()
    _make_the_rest()
    if op.get_bind().dialect.name == "postgresql":
        for table in ("requests", "messages", "attempts"):
            op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        # Files are compressed already or never will be: no time is spent on trying.
        op.execute("ALTER TABLE attachments ALTER COLUMN body SET STORAGE EXTERNAL")


def _make_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("content", sa.Text),
        sa.Column("content_at", sa.Text),
        sa.Column("attachments", sa.Text, nullable=False),
        sa.Column("segments", sa.Integer),
        sa.Column("resend_of", sa.Text),
        sa.Column("accepted_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("request"),
        postgresql_partition_by=BY_REQUEST,
    )
    op.create_table(
        "jobs",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("repeats", sa.SmallInteger, nullable=False),
        sa.Column("repeated_at", Moment),
        sa.PrimaryKeyConstraint("request"),
    )


def _make_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("username", sa.Text),
        sa.Column("method", sa.Text),
        sa.Column("written", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("rank", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("provider_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("request", "n"),
        sqlite_with_rowid=False,
        postgresql_partition_by=BY_REQUEST,
    )
    newest_first: list[str | sa.TextClause] = [sa.text("request DESC"), "n"]
    op.create_index("messages_by_user", "messages", ["username", "method", "status", *newest_first])
    op.create_index("messages_by_status", "messages", ["method", "status", *newest_first])
    op.create_index("messages_by_address", "messages", ["address", *newest_first])
    as_written = sa.text("written != address")
    op.create_index(
        "messages_by_written",
        "messages",
        ["written", *newest_first],
        postgresql_where=as_written,
        sqlite_where=as_written,
    )


def _make_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("attempt", sa.Integer),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("provider_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.PrimaryKeyConstraint("request", "n", "at", "mark"),
        sqlite_with_rowid=False,
        postgresql_partition_by=BY_REQUEST,
    )
    known = sa.text("provider_id IS NOT NULL")
    op.create_index(
        "attempts_by_provider",
        "attempts",
        ["provider_id", "provider"],
        postgresql_where=known,
        sqlite_where=known,
    )


def _make_the_rest() -> None:
    op.create_table(
        "receipts",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("provider_id", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("mark", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("kept_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("provider", "provider_id", "address", "at", "mark"),
    )
    op.create_index("receipts_by_age", "receipts", ["kept_at"])
    op.create_table(
        "attachments",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("request", "sha256"),
    )
    op.create_index("attachments_by_age", "attachments", ["expires_at"])
    op.create_table(
        "dead",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("request", sa.Text),
        sa.Column("method", sa.Text),
        sa.Column("queue", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("detail", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("dead_by_age", "dead", [sa.text("at DESC"), sa.text("id DESC")])
    op.create_table(
        "audit",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_by_age", "audit", ["at"])
