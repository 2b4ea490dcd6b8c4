"""Make the followers and their tags."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _exact(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "followers",
        sa.Column("account", _exact(32), primary_key=True),
        sa.Column("openid", _exact(128), primary_key=True),
        sa.Column("tag", _exact(16), nullable=False),
        sa.Column("following", sa.Boolean, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("tag", name="followers_tag_key"),
    )
    op.create_index("followers_account_tag", "followers", ["account", "tag"])
