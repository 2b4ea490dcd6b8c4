"""Keep what a client calls its request, and find requests by it, and by what they send again."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty, and the indexes: no row is rewritten."""
    op.add_column("requests", sa.Column("reference", sa.Text))
    named = sa.text("reference IS NOT NULL")
    op.create_index(
        "requests_by_reference",
        "requests",
        ["reference", sa.text("request DESC")],
        postgresql_where=named,
        sqlite_where=named,
    )
    again = sa.text("resend_of IS NOT NULL")
    op.create_index(
        "requests_by_resend",
        "requests",
        [sa.text("substr(resend_of, 1, 32)")],
        postgresql_where=again,
        sqlite_where=again,
    )
