"""What Alembic runs: a service's steps, in the transaction that `migrate` opened."""  # noqa: INP001  loaded by path

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table=attributes["versions"])
context.run_migrations()
