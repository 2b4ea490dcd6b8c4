"""Say of each user whether they may send log-in codes: those who exist may, as they could until now."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; its default is also for users whom an auth of the version before registers meanwhile."""
    op.add_column("users", sa.Column("may_send_codes", sa.Boolean, nullable=False, server_default=sa.true()))
