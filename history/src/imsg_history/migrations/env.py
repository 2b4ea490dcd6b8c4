"""What Alembic runs: the steps, on the connection (and inside the lock and transaction) that `migrate` opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table="history_version")
context.run_migrations()
