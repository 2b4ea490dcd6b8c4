"""Say of each user by which senders they may send mail: those who exist by all, as until now."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column; an auth of the version before leaves it alone, and null is all."""
    op.add_column("users", sa.Column("senders", sa.String(1_024)))
