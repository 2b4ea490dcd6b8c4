"""Add the signature column of SMS senders."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("senders", sa.Column("signature", sa.String(64)))
