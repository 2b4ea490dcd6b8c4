"""History's migrations create the tables that its code describes, on SQLite and PostgreSQL."""

from collections.abc import Mapping

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from imsg_database.address import read_url
from imsg_history.migrate import migrate
from imsg_history.tables import metadata
from imsg_testing.databases import on_both_databases, open_database
from imsg_testing.history import NOW


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLAlchemy reads those of no SQLite
@on_both_databases
def test_the_migrations_make_the_tables_the_code_describes(database_url: str) -> None:
    migrate(read_url(database_url), NOW)
    with open_database(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def _is_ours(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    if kind == "table":
        return name in metadata.tables
    return kind != "index" or parents.get("table_name") in metadata.tables
