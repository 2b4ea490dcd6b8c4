"""Create the tables of history.

On PostgreSQL requests, messages and attempts are partitioned by range of the request's id, with a default partition.
Maintenance adds partitions of coming months and drops old ones.
"""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

from imsg_history.tables import Moment, RequestId

revision = "0001"
down_revision = None

BY_REQUEST = "RANGE (request)"


def upgrade() -> None:
    """Create every table and index."""
    _create_requests()
    _create_messages()
    _create_attempts()
    _create_receipts_and_replies()
    _create_attachments_dead_letters_and_audit()
    _create_events()
    _create_erasures()
    _create_day_facts()
    _create_reports()
    if op.get_bind().dialect.name == "postgresql":
        for table in ("requests", "messages", "attempts"):
            op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        # Files are compressed already or never will be: no time is spent on trying.
        op.execute("ALTER TABLE attachments ALTER COLUMN body SET STORAGE EXTERNAL")


def _create_requests() -> None:
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
        sa.Column("due_at", Moment),
        sa.Column("moves", sa.Integer, nullable=False),
        sa.Column("released_at", Moment),
        sa.Column("held_until", Moment),
        sa.Column("held_by", sa.Text),
        sa.Column("leg", sa.SmallInteger),
        sa.Column("leg_of", RequestId),
        sa.Column("legs", sa.Text),
        sa.Column("reached", sa.Integer),
        sa.Column("not_reached", sa.Integer),
        sa.Column("open_people", sa.Integer),
        sa.Column("reference", sa.Text),
        sa.Column("user_id", RequestId),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("template", sa.Text),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("department", sa.Text),
        sa.PrimaryKeyConstraint("request"),
        postgresql_partition_by=BY_REQUEST,
    )
    has_reference = sa.text("reference IS NOT NULL")
    op.create_index(
        "requests_by_reference",
        "requests",
        ["reference", sa.text("request DESC")],
        postgresql_where=has_reference,
        sqlite_where=has_reference,
    )
    is_leg = sa.text("leg_of IS NOT NULL")
    op.create_index("requests_by_leg", "requests", ["leg_of"], postgresql_where=is_leg, sqlite_where=is_leg)
    has_key = sa.text("key IS NOT NULL")
    op.create_index(
        "requests_by_key",
        "requests",
        ["key", sa.text("request DESC")],
        postgresql_where=has_key,
        sqlite_where=has_key,
    )
    is_code = sa.text("category = 'code' AND (content IS NOT NULL OR content_at IS NOT NULL)")
    op.create_index("requests_codes", "requests", ["request"], postgresql_where=is_code, sqlite_where=is_code)
    is_test = sa.text("lane = 'test'")
    op.create_index("requests_of_tests", "requests", ["request"], postgresql_where=is_test, sqlite_where=is_test)
    is_resend = sa.text("resend_of IS NOT NULL")
    op.create_index(
        "requests_by_resend",
        "requests",
        [sa.text("substr(resend_of, 1, 32)")],
        postgresql_where=is_resend,
        sqlite_where=is_resend,
    )
    op.create_table(
        "jobs",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("repeats", sa.SmallInteger, nullable=False),
        sa.Column("repeated_at", Moment),
        sa.PrimaryKeyConstraint("request"),
    )


def _create_messages() -> None:
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
        sa.Column("user_id", RequestId),
        sa.Column("erased_at", Moment),
        sa.Column("events", sa.SmallInteger),
        sa.Column("seq", sa.Integer, nullable=False, server_default="1"),
        sa.Column("sent_in", sa.SmallInteger),
        sa.Column("delivered_in", sa.SmallInteger),
        sa.Column("country", sa.String(2)),
        sa.Column("billed_segments", sa.Integer),
        sa.Column("billed", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.Column("params", sa.Text),
        sa.Column("reference", sa.Text),
        sa.Column("previous", sa.Text),
        sa.PrimaryKeyConstraint("request", "n"),
        sqlite_with_rowid=False,
        postgresql_partition_by=BY_REQUEST,
    )
    newest_first: list[str | sa.TextClause] = [sa.text("request DESC"), "n"]
    op.create_index("messages_by_user", "messages", ["username", "method", "status", *newest_first])
    op.create_index("messages_by_status", "messages", ["method", "status", *newest_first])
    op.create_index("messages_by_address", "messages", ["address", *newest_first])
    # The letters A to Z alone: SQLite knows no others.
    is_postgres = op.get_bind().dialect.name == "postgresql"
    ascii_lower = 'lower(address COLLATE "C")' if is_postgres else "lower(address)"
    has_uppercase = sa.text(f"address <> {ascii_lower}")
    op.create_index(
        "messages_by_lower_address",
        "messages",
        [sa.text(ascii_lower), *newest_first],
        postgresql_where=has_uppercase,
        sqlite_where=has_uppercase,
    )
    is_erased = sa.text("erased_at IS NOT NULL")
    op.create_index("messages_erased", "messages", ["erased_at"], postgresql_where=is_erased, sqlite_where=is_erased)
    as_written = sa.text("written != address")
    op.create_index(
        "messages_by_written",
        "messages",
        ["written", *newest_first],
        postgresql_where=as_written,
        sqlite_where=as_written,
    )


def _create_attempts() -> None:
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


def _create_receipts_and_replies() -> None:
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
        sa.Column("billed_segments", sa.Integer),
        sa.Column("billed", sa.BigInteger),
        sa.Column("currency", sa.String(3)),
        sa.PrimaryKeyConstraint("provider", "provider_id", "address", "at", "mark"),
    )
    op.create_index("receipts_by_age", "receipts", ["kept_at"])
    op.create_table(
        "replies",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("written_to", sa.Text),
        sa.Column("signature", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("opt_out", sa.SmallInteger, nullable=False),
        sa.Column("kept_at", Moment, nullable=False),
        sa.Column("request", RequestId),
        sa.Column("n", sa.Integer),
        sa.Column("username", sa.Text),
        sa.Column("user_id", RequestId),
        sa.PrimaryKeyConstraint("id"),
    )
    newest_first = [sa.text("at DESC"), sa.text("id DESC")]
    op.create_index("replies_by_age", "replies", newest_first)
    op.create_index("replies_by_user", "replies", ["username", *newest_first])
    op.create_index("replies_by_address", "replies", ["address", *newest_first])
    unmatched = sa.text("request IS NULL")
    op.create_index("replies_unmatched", "replies", ["kept_at"], postgresql_where=unmatched, sqlite_where=unmatched)


def _create_attachments_dead_letters_and_audit() -> None:
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
    if op.get_bind().dialect.name == "postgresql" and op.get_bind().scalar(sa.text("SELECT to_regclass('audit')")):
        return  # deploy/postgres/roles.sh has made it, of another owner: history may insert, and change nothing
    op.create_table(
        "audit",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("actor_id", sa.Text),
        sa.Column("target_id", sa.Text),
        sa.Column("key", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("request", sa.Text),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_by_age", "audit", [sa.text("at DESC"), sa.text("id DESC")])


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("events", sa.SmallInteger, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("user_id", RequestId, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("written", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("provider_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("at", Moment, nullable=False),
        sa.Column("reference", sa.Text),
        sa.PrimaryKeyConstraint("request", "n", "seq"),
    )


def _create_erasures() -> None:
    op.create_table(
        "tombstones",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tombstones_by_digest", "tombstones", ["digest", "at"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("method", sa.Text),
        sa.Column("at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("waiting", sa.Text, nullable=False),
        sa.Column("remains", sa.Text, nullable=False),
        sa.Column("leased_until", Moment),
        sa.PrimaryKeyConstraint("id"),
    )


def _create_day_facts() -> None:
    names = ("username", "department", "key", "method", "provider", "template", "category", "country", "currency")
    latencies = [f"{kind}_in_{bucket}" for kind in ("sent", "delivered") for bucket in range(11)]
    costs = ("billed", "charged", "charged_segments", "estimated")
    counts = ("messages", "segments", "sent", "delivered", "failed", "uncertain", *costs, *latencies)
    op.create_table(
        "day_facts",
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in names),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in counts),
        sa.PrimaryKeyConstraint("day", "user_id", *names),
    )


def _create_reports() -> None:
    op.create_table(
        "reports",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("registered_at", Moment, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("progress", sa.SmallInteger, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("parts", sa.Integer, nullable=False),
        sa.Column("tries", sa.SmallInteger, nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
        sa.Column("leased_until", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("reports_by_user", "reports", ["user_id", sa.text("created_at DESC"), sa.text("id DESC")])
    op.create_index("reports_by_age", "reports", ["expires_at"])
    op.create_table(
        "report_parts",
        sa.Column("report", sa.String(32), nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("report", "n"),
    )
