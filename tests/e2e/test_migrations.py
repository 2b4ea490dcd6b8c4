"""Migrations run before anything is replaced, and one that fails stops it."""

from functools import partial
from pathlib import Path

import psycopg

from imsg_testing.command_line import run_imsg, run_imsg_apart
from imsg_testing.service import environment


def test_a_migration_that_fails_stops_the_roll_and_the_start(postgres_database: str, tmp_path: Path) -> None:
    settings = {"IMSG_DATABASE_URL": postgres_database, "IMSG_DATA_DIR": str(tmp_path / "data")}
    env = environment({**settings, "XDG_CONFIG_HOME": str(tmp_path)})
    run = partial(run_imsg, env=env, cwd=tmp_path)

    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE templates (in_the_way text)")

        stopped = run("migrate", postgres_database, str(tmp_path))
        assert (stopped.returncode, stopped.stdout.split()) == (2, ["auth", "wechat", "callbacks"])
        assert "of catalog_version" in stopped.stderr
        assert "the version before still works on them" in stopped.stderr
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert not {("suppressions",), ("scheduled",), ("messages",)} & set(tables), "neither its tables nor later ones"

        refused = run_imsg_apart("up", "--no-console", env=env, cwd=tmp_path)
        assert refused.returncode == 2, refused.stderr
        assert "the version before still works on them" in refused.stderr

        connection.execute("DROP TABLE templates")
        assert run("migrate", postgres_database, str(tmp_path)).returncode == 0
