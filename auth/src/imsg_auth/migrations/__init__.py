"""The migrations of auth's tables, which run at every start."""

from pathlib import Path

from imsg_database.migrate import Migrations

MIGRATIONS = Migrations(folder=Path(__file__).with_name("versions"), version_table="auth_version")
