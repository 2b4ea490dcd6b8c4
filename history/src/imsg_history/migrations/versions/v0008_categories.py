"""Say what a request is for; null in those of before there were categories, which count as notices."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty: no row is rewritten."""
    op.add_column("requests", sa.Column("category", sa.Text))
