"""Create users, revoked tokens, API keys, provider switches, limits, and the outbox."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

FRESH_CAPS = (
    ("code", "user", "minute", 1),
    ("code", "user", "hour", 5),
    ("code", "user", "day", 10),
    ("code", "all", "day", 40),
    ("notice", "all", "day", 50),
)
"""The caps of a fresh installation, on SMS: category, scope, period, limit."""

FRESH_WINDOW = {
    "id": "sms_marketing",
    "methods": ["sms"],
    "categories": ["marketing"],
    "zone": "Asia/Shanghai",
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "from": "08:00",
    "to": "21:00",
    "holidays": "none",
}
"""The window of a fresh installation."""

_NAME = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "users",
        sa.Column("username", _NAME, primary_key=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("password", sa.Text, nullable=False),
        sa.Column("role", sa.String(8), nullable=False),
        sa.Column("available", sa.Boolean, nullable=False),
        sa.Column("quotas", sa.JSON, nullable=False),
        sa.Column("phone", sa.String(254)),
        sa.Column("email", sa.String(254)),
        sa.Column("email_key", sa.String(254)),
        sa.Column("wechat", sa.String(254)),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("may_send_codes", sa.Boolean, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("senders", sa.String(1_024)),
        sa.Column("totp_secret", sa.String(255)),
        sa.Column("totp_pending", sa.String(255)),
        sa.Column("totp_step", sa.BigInteger),
        sa.Column("recovery_codes", sa.Text),
        sa.Column("sms_countries", sa.Text, nullable=False),
        sa.Column("default_category", sa.String(16), nullable=False),
        sa.Column("department", sa.String(64)),
        sa.UniqueConstraint("id", name="users_id_key"),
        sa.UniqueConstraint("phone", name="users_phone_key"),
        sa.UniqueConstraint("email_key", name="users_email_key"),
        sa.UniqueConstraint("wechat", name="users_wechat_key"),
    )
    op.create_index("users_role", "users", ["role"])
    op.create_table(
        "revoked",
        sa.Column("username", _NAME, sa.ForeignKey("users.username", ondelete="CASCADE"), primary_key=True),
        sa.Column("nonce", sa.String(32), primary_key=True),
        sa.Column("expiry", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("username", _NAME, sa.ForeignKey("users.username", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("hint", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(4), nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("networks", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_from", sa.String(64)),
        sa.UniqueConstraint("digest", name="keys_digest_key"),
    )
    op.create_index("keys_username", "keys", ["username"])
    op.create_table(
        "provider_switches",
        sa.Column("method", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("enabled", sa.Boolean),
        sa.Column("weight", sa.Integer),
    )
    op.create_table(
        "provider_accounts",
        sa.Column("method", sa.String(32), primary_key=True),
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", _NAME, nullable=False),
        sa.Column("is_current", sa.Boolean, nullable=False),
    )
    op.create_table(
        "senders",
        sa.Column("name", _NAME, primary_key=True),
        sa.Column("method", sa.String(32), nullable=False),
        sa.Column("address", sa.String(400), nullable=False),
        sa.Column("reply_to", sa.String(400)),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_by", _NAME, nullable=False),
    )
    limits = op.create_table(
        "installation_limits",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("quotas", sa.JSON, nullable=False),
        sa.Column("caps", sa.JSON, nullable=False),
        sa.Column("windows", sa.JSON, nullable=False),
        sa.Column("holidays", sa.JSON, nullable=False),
    )
    caps = [
        {
            "id": f"sms_{category}_{scope}_per_{per}",
            "method": "sms",
            "category": category,
            "scope": scope,
            "per": per,
            "limit": limit,
        }
        for category, scope, per, limit in FRESH_CAPS
    ]
    first = {"id": 1, "quotas": [], "caps": caps, "windows": [FRESH_WINDOW], "holidays": {}}
    op.bulk_insert(limits, [first])
    op.create_table(
        "changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("topic", sa.String(64), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
