"""Give every user an immutable id, those who exist one of this moment."""  # noqa: INP001  loaded by path

import sqlalchemy as sa
from alembic import op

from imsg_contract.ids import new_id

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, fill it in, and keep it unique.

    On PostgreSQL an auth of the version before may go on registering users meanwhile: the server draws their ids.
    SQLite has one process, and no default that is drawn.
    """
    op.add_column("users", sa.Column("id", sa.String(32)))
    connection = op.get_bind()
    users = sa.table("users", sa.column("username"), sa.column("id"))
    names = connection.execute(sa.select(users.c.username)).scalars().all()
    if names:
        given = sa.update(users).where(users.c.username == sa.bindparam("name")).values(id=sa.bindparam("drawn"))
        connection.execute(given, [{"name": name, "drawn": new_id()} for name in names])
    op.create_index("users_id_key", "users", ["id"], unique=True)
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE users ALTER COLUMN id SET DEFAULT replace(gen_random_uuid()::text, '-', '')")
