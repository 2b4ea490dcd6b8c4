"""Know which of those who read events without an endpoint are administrators: they hear of channels too."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; a process of the version before leaves it alone."""
    op.add_column("listeners", sa.Column("is_admin", sa.Boolean))
