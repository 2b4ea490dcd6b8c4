"""Erasures and their tombstones, and what is known of the installation itself.

`erased_at` is null for whatever is not erased, so that a history of the version before may go on writing meanwhile.
"""

import sqlalchemy as sa
from alembic import context, op

from imsg_history.tables import KEEP_CONTENT_DAYS, KEEP_CONTENT_DAYS_OF_NEW, Moment

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the tables; note that an installation is new where its tables are made in this very run."""
    op.add_column("messages", sa.Column("erased_at", Moment))
    erased = sa.text("erased_at IS NOT NULL")
    op.create_index("messages_erased", "messages", ["erased_at"], postgresql_where=erased, sqlite_where=erased)
    op.create_table(
        "tombstones",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("tombstones_by_digest", "tombstones", ["digest", "at"])
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("method", sa.Text),
        sa.Column("at", Moment, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("waiting", sa.Text, nullable=False),
        sa.Column("remains", sa.Text, nullable=False),
        sa.Column("leased_until", Moment),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "installation",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    if context.config.attributes["is_new"]:
        installation = sa.table("installation", sa.column("name"), sa.column("value"))
        op.execute(installation.insert().values(name=KEEP_CONTENT_DAYS, value=str(KEEP_CONTENT_DAYS_OF_NEW)))
