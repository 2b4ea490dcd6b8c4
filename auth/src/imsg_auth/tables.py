"""The tables of auth; `migrations` creates them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
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
)
from sqlalchemy.types import TypeDecorator

from imsg_contract.wire import Category
from imsg_limits.caps import CapRow
from imsg_limits.quota import QuotaRow

MAX_NAME = 64
MAX_SENDERS = 1_024

MAX_KEYS = 100
"""The most keys of a user."""

MAX_CONTACT = 254


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC; SQLite stores it without its zone."""

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


def _drop_unknown(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Return a row without the fields of a later version, from which iMSG was rolled back."""
    return {name: value for name, value in row.items() if name in fields}


class QuotaRows(TypeDecorator[tuple[QuotaRow, ...]]):
    """Quotas, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[QuotaRow, ...] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        """Write objects."""
        del dialect
        return None if value is None else [row._asdict() for row in value]

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[QuotaRow, ...]:
        """Read objects."""
        del dialect
        return tuple(QuotaRow(**_drop_unknown(row, QuotaRow._fields)) for row in value or ())


class Names(TypeDecorator[tuple[str, ...]]):
    """Names without commas, comma-separated."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | None:
        """Write a text."""
        del dialect
        return None if value is None else ",".join(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        """Read a text; empty: no name."""
        del dialect
        return tuple(value.split(",")) if value else ()


class CapRows(TypeDecorator[tuple[CapRow, ...]]):
    """Caps, as a JSON list."""

    impl = JSON
    cache_ok = True

    def process_bind_param(self, value: tuple[CapRow, ...] | None, dialect: Dialect) -> list[dict[str, Any]] | None:
        """Write objects."""
        del dialect
        return None if value is None else [row._asdict() for row in value]

    def process_result_value(self, value: list[dict[str, Any]] | None, dialect: Dialect) -> tuple[CapRow, ...]:
        """Read objects."""
        del dialect
        return tuple(
            CapRow(
                **{
                    **_drop_unknown(row, CapRow._fields),
                    "category": None if row["category"] is None else Category(row["category"]),
                }
            )
            for row in value or ()
        )


EXACT_NAME = String(MAX_NAME).with_variant(String(MAX_NAME, collation="C"), "postgresql")
"""Names are compared and sorted by code point on both databases, whatever the server's language."""

METADATA = MetaData()

USERS = Table(
    "users",
    METADATA,
    Column("username", EXACT_NAME, primary_key=True),
    Column("id", String(32), nullable=False),  # immutable and never given again, unlike a name
    Column("password", Text, nullable=False),
    Column("role", String(8), nullable=False),
    Column("available", Boolean, nullable=False),
    Column("quotas", QuotaRows, nullable=False),  # read and written whole, with the user
    Column("phone", String(MAX_CONTACT)),
    Column("email", String(MAX_CONTACT)),
    Column("email_key", String(MAX_CONTACT)),  # `addresses.identity` of `email`
    Column("wechat", String(MAX_CONTACT)),
    Column("epoch", BigInteger, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("may_send_codes", Boolean, nullable=False),
    Column("events", Integer, nullable=False),  # which events of the user's messages callbacks wants (`wire.EventKind`)
    Column("senders", String(MAX_SENDERS)),  # the senders that the user may name, comma-separated; null: all
    Column("totp_secret", String(255)),  # sealed
    Column("totp_pending", String(255)),
    Column("totp_step", BigInteger),
    Column("recovery_codes", Text),
    Column("sms_countries", Names, nullable=False),
    Column("default_category", String(16), nullable=False),
    Column("department", String(MAX_NAME)),
    UniqueConstraint("id", name="users_id_key"),
    UniqueConstraint("phone", name="users_phone_key"),
    UniqueConstraint("email_key", name="users_email_key"),
    UniqueConstraint("wechat", name="users_wechat_key"),
    Index("users_role", "role"),
)

REVOKED = Table(
    "revoked",
    METADATA,
    Column("username", EXACT_NAME, ForeignKey("users.username", ondelete="CASCADE"), primary_key=True),
    Column("nonce", String(32), primary_key=True),
    Column("expiry", BigInteger, nullable=False),
)
"""Tokens that were logged out and have not expired yet."""

KEYS = Table(
    "keys",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("username", EXACT_NAME, ForeignKey("users.username", ondelete="CASCADE"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("hint", String(16), nullable=False),
    Column("name", String(MAX_NAME), nullable=False),
    Column("kind", String(4), nullable=False),
    Column("scopes", Names, nullable=False),
    Column("networks", Names, nullable=False),  # empty: all
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("last_used_at", UtcTime),
    Column("last_used_from", String(64)),
    UniqueConstraint("digest", name="keys_digest_key"),
    Index("keys_username", "username"),
)
"""API keys; what is ended is deleted."""

PROVIDER_SWITCHES = Table(
    "provider_switches",
    METADATA,
    Column("method", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("enabled", Boolean),
    Column("weight", Integer),
)
"""A channel's providers as administrators changed them; null: the value in the settings."""

PROVIDER_ACCOUNTS = Table(
    "provider_accounts",
    METADATA,
    Column("method", String(32), primary_key=True),
    Column("name", EXACT_NAME, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("kind", String(32), nullable=False),
    Column("settings", Text, nullable=False),  # sealed JSON
    Column("changed_at", UtcTime, nullable=False),
    Column("changed_by", EXACT_NAME, nullable=False),
    Column("is_current", Boolean, nullable=False),
)
"""The versions of accounts at providers that administrators set up."""

REMOVED_ACCOUNTS = Table(
    "removed_accounts",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("method", String(32), nullable=False),
    Column("name", EXACT_NAME, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("settings", Text, nullable=False),  # sealed JSON
    Column("removed_at", UtcTime, nullable=False),
)
"""Versions of accounts that were removed lately: late receipts come by their secrets."""

SENDERS = Table(
    "senders",
    METADATA,
    Column("name", EXACT_NAME, primary_key=True),
    Column("method", String(32), nullable=False),
    Column("address", String(400), nullable=False),
    Column("reply_to", String(400)),
    Column("changed_at", UtcTime, nullable=False),
    Column("changed_by", EXACT_NAME, nullable=False),
    Column("signature", String(64)),
)
"""The senders that administrators set up: of mail with an address, of SMS with a signature and an empty address."""

INSTALLATION_LIMITS = Table(
    "installation_limits",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("quotas", QuotaRows, nullable=False),
    Column("caps", CapRows, nullable=False),
    Column("windows", JSON, nullable=False),
    Column("holidays", JSON, nullable=False),
)
"""The quotas, caps, windows and holidays of the whole installation.

One row, `THE_INSTALLATION`, each list read and written whole.
"""

THE_INSTALLATION = 1

CHANGES = Table(
    "changes",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("topic", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("leased_until", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""The outbox: audit records and mails to users, written in the transaction of their change and removed once the broker
has them."""
