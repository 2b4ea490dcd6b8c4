"""The tables of callbacks. Times are Unix milliseconds."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

metadata = MetaData()

NUMBER = BigInteger().with_variant(Integer, "sqlite")
"""The type of an event's number. SQLite numbers rows automatically only in an INTEGER column."""

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", String(32), nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("username", Text, nullable=False),
    Column("is_admin", Boolean, nullable=False),  # whether the owner was an administrator at the last change
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # JSON
    Column("methods", Text),  # JSON; null: every channel
    Column("description", Text, nullable=False),
    Column("secret", Text, nullable=False),  # encrypted
    Column("old_secret", Text),
    Column("old_until", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("disabled_why", String(16)),
    Column("failing_since", BigInteger),
    Column("failures", Integer, nullable=False),  # in a row
    Column("reached_at", BigInteger),
    Column("last_error", Text),
    PrimaryKeyConstraint("id"),
)
Index("endpoints_by_user", endpoints.c.user_id)

log = Table(  # every event, in the order of their numbers
    "log",
    metadata,
    Column("number", NUMBER, Identity(), primary_key=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("method", Text),
    Column("digests", Text),  # JSON: [digests of the recipient, digests of others in the texts]
    Column("body", Text, nullable=False),  # the bytes that are sent
    Column("kept_at", BigInteger, nullable=False),
    UniqueConstraint("id", name="log_id_key"),
    sqlite_autoincrement=True,
)
Index("log_by_user", log.c.user_id, log.c.number)
Index("log_by_age", log.c.kept_at)

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"

deliveries = Table(  # one event for one endpoint
    "deliveries",
    metadata,
    Column("endpoint", String(32), nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("round", Integer, nullable=False),  # attempts since it was made or last resent
    Column("due_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False),
    Column("tried_at", BigInteger),
    Column("took_ms", Integer),
    Column("status", Integer),  # the HTTP status
    Column("error", Text),
    Column("answer", Text),
    Column(
        "is_erased", Boolean, nullable=False, server_default=false()
    ),  # the event is redacted; responses are not kept
    PrimaryKeyConstraint("endpoint", "number"),
)
IS_WAITING = deliveries.c.state == WAITING
Index(
    "deliveries_due",
    deliveries.c.endpoint,
    deliveries.c.due_at,
    postgresql_where=IS_WAITING,
    sqlite_where=IS_WAITING,
)

listeners = Table(  # the users whose messages are recorded as events
    "listeners",
    metadata,
    Column("user_id", String(32), nullable=False),
    Column("username", Text, nullable=False),
    Column("events", Integer, nullable=False),  # bits of EventKind, as registered at auth
    Column("read_at", BigInteger),
    Column("is_admin", Boolean),  # at the last read; null: not known
    PrimaryKeyConstraint("user_id"),
)

recoveries = Table(  # recoveries that are not finished; position: the last event looked at
    "recoveries",
    metadata,
    Column("id", String(32), nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("position", NUMBER, nullable=False),
    Column("until", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
)

channels = Table(  # the state of each channel that the last event reported
    "channels",
    metadata,
    Column("method", Text, nullable=False),
    Column("state", Text, nullable=False),
    PrimaryKeyConstraint("method"),
)

attention = Table(  # the events on providers that administrators got
    "attention",
    metadata,
    Column("method", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("gone_at", BigInteger),  # Unix milliseconds
    PrimaryKeyConstraint("method", "provider", "code"),
)

facts = Table(
    "facts",
    metadata,
    Column("name", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("name"),
)

REMOVED = "removed"
"""The fact that holds the highest number of a removed event."""
