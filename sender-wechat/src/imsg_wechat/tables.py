"""The table WeChat owns, as SQLAlchemy describes it; migrations/ makes it."""

from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, String, Table, UniqueConstraint

MAX_OPENID = 128
"""An openid has 28 characters; what is longer than this is none."""


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
    Column("since", BigInteger, nullable=False),  # WeChat's CreateTime of what said so, Unix seconds
    UniqueConstraint("tag", name="followers_tag_key"),
    Index("followers_account_tag", "account", "tag"),
)
