"""Know which deliveries are of events that were emptied: what an endpoint answers to the old body is not kept."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; a process of the version before leaves it alone."""
    op.add_column("deliveries", sa.Column("is_erased", sa.Boolean, nullable=False, server_default=sa.false()))
