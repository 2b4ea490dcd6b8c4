"""Make what followers have allowed: grants of notices, and windows for texts."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def _exact(length: int) -> sa.types.TypeEngine[str]:
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables."""
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
        sa.Column("act", _exact(32), primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("remaining", sa.BigInteger, nullable=False),
    )
    op.create_index("windows_openid", "windows", ["openid"])
