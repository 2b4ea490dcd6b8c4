"""Say of each user which events of their messages somebody wants to hear; at first none."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column; its default is also for users whom an auth of the version before registers meanwhile."""
    op.add_column("users", sa.Column("events", sa.Integer, nullable=False, server_default="0"))
