"""Keep what administrators change of providers while iMSG runs."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table; an auth of the version before leaves it alone."""
    op.create_table(
        "provider_switches",
        sa.Column("method", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("enabled", sa.Boolean),
        sa.Column("weight", sa.Integer),
    )
