"""Runs the migrations on the connection that `database.migrate` opened and locked."""  # noqa: INP001  loaded by path

from alembic import context

from imsg_wechat.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="wechat_version",  # a name of our own, should somebody give two services one schema
)
context.run_migrations()
