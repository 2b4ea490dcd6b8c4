"""The tables of sender-wechat; migrations/ creates them."""

from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, String, Table, UniqueConstraint

MAX_OPENID = 128
"""The most characters of an openid; WeChat's have 28."""


def _exact(length: int) -> String:
    """Compare by code point on both databases: openids differ by case."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


METADATA = MetaData()

FOLLOWERS = Table(
    "followers",
    METADATA,
    Column("account", _exact(32), primary_key=True),
    Column("openid", _exact(MAX_OPENID), primary_key=True),
    Column("tag", _exact(16), nullable=False),
    Column("following", Boolean, nullable=False),
    Column("since", BigInteger, nullable=False),  # WeChat's CreateTime of the last event, Unix seconds
    UniqueConstraint("tag", name="followers_tag_key"),
    Index("followers_account_tag", "account", "tag"),
)

RETIRED = Table(
    "retired_tags",
    METADATA,
    Column("tag", _exact(16), primary_key=True),
    Column("account", _exact(32), nullable=False),
    Column("at", BigInteger, nullable=False),  # Unix seconds
    Column("successor", _exact(16)),  # the tag that replaced it; null: it was revoked
    Index("retired_tags_successor", "successor"),
)

BINDINGS = Table(
    "bindings",
    METADATA,
    Column("id", _exact(32), primary_key=True),
    Column("scene", _exact(64), nullable=False),
    Column("account", _exact(32), nullable=False),
    Column("username", String(64), nullable=False),
    Column("user_id", _exact(32), nullable=False),
    Column("expires_at", BigInteger, nullable=False),  # Unix seconds
    Column("tag", _exact(16)),  # of the follower who scanned it
    Column("confirmed", Boolean, nullable=False),
    UniqueConstraint("scene", name="bindings_scene_key"),
)

GRANTS = Table(
    "grants",
    METADATA,
    Column("account", _exact(32), primary_key=True),
    Column("openid", _exact(MAX_OPENID), primary_key=True),
    Column("template", _exact(128), primary_key=True),  # the id of a subscribe notice
    Column("count", BigInteger, nullable=False),  # notices that may still be sent
    Index("grants_openid", "openid"),
)

WINDOWS = Table(
    "windows",
    METADATA,
    Column("account", _exact(32), primary_key=True),
    Column("openid", _exact(MAX_OPENID), primary_key=True),
    Column("action", _exact(32), primary_key=True),  # an event, or "message"
    Column("until", BigInteger, nullable=False),  # Unix seconds
    Column("remaining", BigInteger, nullable=False),  # texts that may still be sent
    Index("windows_openid", "openid"),
)
