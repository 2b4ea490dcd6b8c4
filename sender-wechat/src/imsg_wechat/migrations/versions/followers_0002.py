"""Make the tags that are no one's any more, and the codes by which followers become users' contacts."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _exact(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
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
