"""The migrations of scheduler's tables, which run at every start."""

from pathlib import Path

from imsg_database.migrate import Migrations

MIGRATIONS = Migrations(folder=Path(__file__).with_name("versions"), version_table="scheduler_version")
