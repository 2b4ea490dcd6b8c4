"""The table that scheduler owns, as SQLAlchemy describes it; migrations/ makes it."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, SmallInteger, String, Table

METADATA = MetaData()

SCHEDULED = Table(
    "scheduled",
    METADATA,
    Column("request", String(32), primary_key=True),
    Column("user_id", String(32), nullable=False),
    Column("urgency", SmallInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("scheduled_due", "urgency", "due_ms"),
)
"""The jobs that wait for their time. `urgency` is the place of the lane, 0 for codes; `body` is the job's JSON."""
