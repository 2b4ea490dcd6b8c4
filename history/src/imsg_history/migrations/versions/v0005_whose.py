"""Say whose requests and messages are by the user's id too, and of whom the audit speaks.

What is older stays without: whoever has the name now owns it only if it is not older than they are (`whose`).
There is no index by id: under one name the rows of one user follow on those of another, so the index by name, read from
a user's registration on, finds them.
"""

import sqlalchemy as sa
from alembic import op

from imsg_history.tables import RequestId

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty: no row is rewritten."""
    op.add_column("requests", sa.Column("user_id", RequestId))
    op.add_column("messages", sa.Column("user_id", RequestId))
    op.add_column("audit", sa.Column("actor_id", sa.Text))
    op.add_column("audit", sa.Column("subject_id", sa.Text))
