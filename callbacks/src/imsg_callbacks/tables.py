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
"""The number of an event in the log. SQLite numbers rows by itself only in a column of this type."""

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", String(32), nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("username", Text, nullable=False),
    Column("is_admin", Boolean, nullable=False),  # of its owner, when it was last made or changed
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # JSON
    Column("methods", Text),  # JSON; null: of every channel
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

log = Table(  # every event, in the order in which they can be read
    "log",
    metadata,
    Column("number", NUMBER, Identity(), primary_key=True),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("method", Text),
    Column("digests", Text),  # JSON: of whom it is about and whom its texts mention, as erasures know them
    Column("body", Text, nullable=False),  # what is sent, to the byte
    Column("kept_at", BigInteger, nullable=False),
    UniqueConstraint("id", name="log_id_key"),
    sqlite_autoincrement=True,
)
Index("log_by_user", log.c.user_id, log.c.number)
Index("log_by_age", log.c.kept_at)

WAITING, DELIVERED, FAILED = "waiting", "delivered", "failed"

deliveries = Table(  # one event on its way to one endpoint
    "deliveries",
    metadata,
    Column("endpoint", String(32), nullable=False),
    Column("number", NUMBER, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("round", Integer, nullable=False),  # attempts since it was begun, or begun anew
    Column("due_at", BigInteger, nullable=False),
    Column("leased_until", BigInteger, nullable=False),
    Column("tried_at", BigInteger),
    Column("took_ms", Integer),
    Column("status", Integer),  # HTTP's
    Column("error", Text),
    Column("answer", Text),
    Column("is_erased", Boolean, nullable=False, server_default=false()),  # its event was: no answer is kept any more
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

listeners = Table(  # whose messages are stamped, and who reads events without an endpoint
    "listeners",
    metadata,
    Column("user_id", String(32), nullable=False),
    Column("username", Text, nullable=False),
    Column("events", Integer, nullable=False),  # as auth was told
    Column("read_at", BigInteger),
    Column("is_admin", Boolean),  # when they read last; null: not known
    PrimaryKeyConstraint("user_id"),
)

recoveries = Table(  # what is to be sent once more, as far as it is done
    "recoveries",
    metadata,
    Column("id", String(32), nullable=False),
    Column("endpoint", String(32), nullable=False),
    Column("position", NUMBER, nullable=False),
    Column("until", BigInteger, nullable=False),
    PrimaryKeyConstraint("id"),
)

channels = Table(  # how each channel was when it was last told of
    "channels",
    metadata,
    Column("method", Text, nullable=False),
    Column("state", Text, nullable=False),
    PrimaryKeyConstraint("method"),
)

facts = Table(
    "facts",
    metadata,
    Column("name", Text, nullable=False),
    Column("value", BigInteger, nullable=False),
    PrimaryKeyConstraint("name"),
)

REMOVED = "removed"
"""The fact up to which number events were removed for their age."""
