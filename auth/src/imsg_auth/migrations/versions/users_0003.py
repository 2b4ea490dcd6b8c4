"""Keep beside each e-mail address the person it is, whatever its case: twins that exist stay users."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

from imsg_contract.addresses import identity

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column, fill it in, and make its index."""
    op.add_column("users", sa.Column("email_key", sa.String(254)))
    connection = op.get_bind()
    users = sa.table("users", sa.column("username"), sa.column("email"), sa.column("email_key"))
    found = connection.execute(sa.select(users.c.username, users.c.email).where(users.c.email.is_not(None))).all()
    if found:
        kept = sa.update(users).where(users.c.username == sa.bindparam("name")).values(email_key=sa.bindparam("key"))
        connection.execute(kept, [{"name": name, "key": identity(email)} for name, email in found])
    op.create_index("users_email_identity", "users", ["email_key"])
