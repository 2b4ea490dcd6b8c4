"""What Alembic runs: the steps, on the connection (and inside the lock and transaction) that `migrate` opened."""

from alembic import context

from imsg_history.migrations import VERSIONS

context.configure(connection=context.config.attributes["connection"], version_table=VERSIONS)
context.run_migrations()
