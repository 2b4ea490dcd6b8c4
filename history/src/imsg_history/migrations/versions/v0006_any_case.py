"""Find e-mail addresses whatever their case: an index of those that were not written in small letters.

The server's letters count, `A` to `Z`: SQLite knows no others, and PostgreSQL is told so. It makes no row anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    is_postgres = op.get_bind().dialect.name == "postgresql"
    small = 'lower(address COLLATE "C")' if is_postgres else "lower(address)"
    written_large = sa.text(f"address <> {small}")
    op.create_index(
        "messages_by_small_address",
        "messages",
        [sa.text(small), sa.text("request DESC"), "n"],
        postgresql_where=written_large,
        sqlite_where=written_large,
    )
