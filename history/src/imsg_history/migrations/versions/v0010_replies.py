"""What people wrote back, and which message each answers."""

import sqlalchemy as sa
from alembic import op

from imsg_history.tables import Moment, RequestId

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "replies",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("written_to", sa.Text),
        sa.Column("signature", sa.Text),
        sa.Column("text", sa.Text),
        sa.Column("opt_out", sa.SmallInteger, nullable=False),
        sa.Column("kept_at", Moment, nullable=False),
        sa.Column("request", RequestId),
        sa.Column("n", sa.Integer),
        sa.Column("username", sa.Text),
        sa.Column("user_id", RequestId),
        sa.PrimaryKeyConstraint("id"),
    )
    newest_first = [sa.text("at DESC"), sa.text("id DESC")]
    op.create_index("replies_by_age", "replies", newest_first)
    op.create_index("replies_by_user", "replies", ["username", *newest_first])
    op.create_index("replies_by_address", "replies", ["address", *newest_first])
    unmatched = sa.text("request IS NULL")
    op.create_index("replies_unmatched", "replies", ["kept_at"], postgresql_where=unmatched, sqlite_where=unmatched)
