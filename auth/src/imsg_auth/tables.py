"""The tables auth owns, as SQLAlchemy describes them; migrations/ makes them."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    true,
)
from sqlalchemy.types import TypeDecorator

MAX_NAME = 64
MAX_SENDERS = 1_024

MAX_CONTACT = 254


class UtcTime(TypeDecorator[datetime]):
    """A point in time, always with its zone, also where the database keeps none (SQLite)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write UTC."""
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Read UTC."""
        del dialect
        return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


EXACT_NAME = String(MAX_NAME).with_variant(String(MAX_NAME, collation="C"), "postgresql")
"""Names are compared and sorted by code point on both databases, whatever the server's language."""

METADATA = MetaData()

USERS = Table(
    "users",
    METADATA,
    Column("username", EXACT_NAME, primary_key=True),
    Column("password", Text, nullable=False),
    Column("role", String(8), nullable=False),
    Column("available", Boolean, nullable=False),
    Column("per_hour", Integer, nullable=False),
    Column("per_day", Integer, nullable=False),
    Column("recipients_per_day", Integer),
    Column("phone", String(MAX_CONTACT)),
    Column("email", String(MAX_CONTACT)),
    Column("wechat", String(MAX_CONTACT)),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("id", String(32)),
    Column("email_key", String(MAX_CONTACT)),
    Column("may_send_codes", Boolean, nullable=False, server_default=true()),
    Column("events", Integer, nullable=False, server_default="0"),
    Column("senders", String(MAX_SENDERS)),
    UniqueConstraint("phone", name="users_phone_key"),
    UniqueConstraint("email", name="users_email_key"),
    UniqueConstraint("wechat", name="users_wechat_key"),
    Index("users_role", "role"),
    Index("users_id_key", "id", unique=True),
    Index("users_email_identity", "email_key"),
)
"""`id` is immutable and never given again, unlike a name. It may be null for the database alone: every row has one.

`email_key` is `addresses.identity` of `email`: not unique, since users that were twins before stay.

`events` is which events of the user's messages somebody wants to hear (`wire.EventKind`): callbacks says it.

`senders` are the names of the senders by which the user may send mail, with commas; null: all there are.

`may_send_codes` is true of whoever existed before there was the right, and of whom an auth of before registers."""

REVOKED = Table(
    "revoked",
    METADATA,
    Column("username", EXACT_NAME, ForeignKey("users.username", ondelete="CASCADE"), primary_key=True),
    Column("nonce", String(32), primary_key=True),
    Column("expiry", BigInteger, nullable=False),
)
"""Tokens that were logged out and have not expired by themselves yet."""

PROVIDER_SWITCHES = Table(
    "provider_switches",
    METADATA,
    Column("method", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("enabled", Boolean),
    Column("weight", Integer),
)
"""What administrators changed of a channel's providers; null: as the settings say."""

CHANGES = Table(
    "changes",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("body", Text, nullable=False),
    Column("taken_until", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""The outbox: audit records written with the change itself, and removed once the broker has them."""
