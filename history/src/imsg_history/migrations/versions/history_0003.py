"""Add the table of counts of people whose request is not recorded yet."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

from imsg_history.tables import RequestId

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "early_progress",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("reached", sa.Integer, nullable=False),
        sa.Column("not_reached", sa.Integer, nullable=False),
        sa.Column("open_people", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("request", "open_people", "reached"),
    )
