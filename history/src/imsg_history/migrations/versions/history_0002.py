"""Add the column of messages that the sandbox accepted in place of a provider."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; null: it is not known of older messages."""
    op.add_column("messages", sa.Column("simulated", sa.SmallInteger))
