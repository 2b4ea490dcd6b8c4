"""Alembic's environment: it runs a service's migrations in the transaction that `migrate` opened."""  # noqa: INP001  loaded by path

from alembic import context

attributes = context.config.attributes
context.configure(connection=attributes["connection"], version_table=attributes["version_table"])
context.run_migrations()
