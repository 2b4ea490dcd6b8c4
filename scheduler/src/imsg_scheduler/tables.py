"""The tables that scheduler owns, as SQLAlchemy describes them; migrations/ makes them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

METADATA = MetaData()

SCHEDULED = Table(
    "scheduled",
    METADATA,
    Column("request", String(32), primary_key=True),
    Column("user_id", String(32), nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("method", String(32), nullable=False),
    Column("category", String(16), nullable=False),
    Column("held_by", String(64)),
    Column("at_any_hour", Boolean, nullable=False),
    Column("reference", Text),
    Column("releasing", SmallInteger, nullable=False, server_default="0"),
    Column("body", LargeBinary, nullable=False),
    Index("scheduled_due", "urgency", "due_ms"),
    Index("scheduled_by_reference", "user_id", "reference"),
    Index("scheduled_by_method", "method", "due_ms"),
)
"""The jobs that wait for their time, or for a window.

`urgency` is the place of the lane, 0 for codes; `held_by` the window that is waited for; `at_any_hour` says that an
operator released it; `body` is the job's JSON. `releasing` is 1 from just before a job is
published: the table alone does not say whether it was.
"""

IS_HELD = SCHEDULED.c.held_by.is_not(None)
Index(
    "scheduled_held",
    SCHEDULED.c.held_by,
    SCHEDULED.c.method,
    SCHEDULED.c.category,
    SCHEDULED.c.due_ms,
    postgresql_where=IS_HELD,
    sqlite_where=IS_HELD,
)

ALL_MESSAGES = -1

CANCELS = Table(
    "cancels",
    METADATA,
    Column("request", String(32), nullable=False),
    Column("n", Integer, nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("reference", Text),
    Column("held_by", String(64)),
    Column("at_ms", BigInteger, nullable=False),
    Column("keep_until_ms", BigInteger, nullable=False),
    Column("is_published", SmallInteger, nullable=False),
    Column("total", Integer, nullable=False),
    Column("cancelled", Integer),
    Column("too_late", Integer),
    Column("settled", Integer),
    Column("body", LargeBinary),
    PrimaryKeyConstraint("request", "n"),
    Index("cancels_by_reference", "user_id", "reference"),
    Index(
        "cancels_unfinished", "at_ms", postgresql_where=text("body IS NOT NULL"), sqlite_where=text("body IS NOT NULL")
    ),
)
"""What was cancelled, and what was answered. `n` is a message, or ALL_MESSAGES.

`is_published` is 1 where senders may have the job, and have to know of the cancel. `body` is what is to be cancelled,
without people and content, until the outcomes are published.
"""

FALLBACKS = Table(
    "fallbacks",
    METADATA,
    Column("request", String(32), primary_key=True),
    Column("due_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("people", LargeBinary, nullable=False),
    Column("plan", LargeBinary, nullable=False),
    Index("fallbacks_due", "due_ms"),
)
"""The requests with a fallback whose people are not all reached or given up.

`due_ms` is when there is something to do, `people` what `People.encode` writes, `plan` the job with its further legs.
"""

FALLBACK_LEGS = Table(
    "fallback_legs",
    METADATA,
    Column("leg", String(32), primary_key=True),
    Column("request", String(32), nullable=False),
    Index("fallback_legs_of", "request"),
)
"""The request of each leg."""
