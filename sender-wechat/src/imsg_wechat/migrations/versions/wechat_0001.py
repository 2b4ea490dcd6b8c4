"""Create followers, retired tags, bindings, grants and windows."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _exact(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables."""
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
    op.create_table(
        "retired_tags",
        sa.Column("tag", _exact(16), primary_key=True),
        sa.Column("account", _exact(32), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("successor", _exact(16)),
    )
    op.create_index("retired_tags_successor", "retired_tags", ["successor"])
    op.create_table(
        "bindings",
        sa.Column("id", _exact(32), primary_key=True),
        sa.Column("scene", _exact(64), nullable=False),
        sa.Column("account", _exact(32), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("user_id", _exact(32), nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("tag", _exact(16)),
        sa.Column("confirmed", sa.Boolean, nullable=False),
        sa.UniqueConstraint("scene", name="bindings_scene_key"),
    )
    op.create_table(
        "grants",
        sa.Column("account", _exact(32), primary_key=True),
        sa.Column("openid", _exact(128), primary_key=True),
        sa.Column("template", _exact(128), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_index("grants_openid", "grants", ["openid"])
    op.create_table(
        "windows",
        sa.Column("account", _exact(32), primary_key=True),
        sa.Column("openid", _exact(128), primary_key=True),
        sa.Column("action", _exact(32), primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("remaining", sa.BigInteger, nullable=False),
    )
    op.create_index("windows_openid", "windows", ["openid"])
