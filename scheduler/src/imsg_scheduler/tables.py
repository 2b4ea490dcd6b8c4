"""The table that scheduler owns, as SQLAlchemy describes it; migrations/ makes it."""

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, MetaData, SmallInteger, String, Table

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
    Column("body", LargeBinary, nullable=False),
    Index("scheduled_due", "urgency", "due_ms"),
)
"""The jobs that wait for their time, or for a window.

`urgency` is the place of the lane, 0 for codes; `held_by` the window that is waited for; `at_any_hour` says that an
operator released it; `body` is the job's JSON.
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
