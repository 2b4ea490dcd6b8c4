"""Events of messages, until they are told; and how often a message has changed."""

import sqlalchemy as sa
from alembic import op

from imsg_history.tables import Moment, RequestId

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, by defaults that rewrite no row, and the table.

    A history of the version before goes on writing meanwhile: it counts no change, and so tells of none.
    """
    op.add_column("messages", sa.Column("events", sa.SmallInteger))
    op.add_column("messages", sa.Column("seq", sa.Integer, nullable=False, server_default="1"))
    op.create_table(
        "events",
        sa.Column("request", RequestId, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("events", sa.SmallInteger, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("user_id", RequestId, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("written", sa.Text),
        sa.Column("address", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("provider_id", sa.Text),
        sa.Column("code", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("request", "n", "seq"),
    )
