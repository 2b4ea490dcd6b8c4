"""PostgreSQL for the tests."""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from imsg_testing.processes import Process
from imsg_testing.servers.ports import reserve_port
from imsg_testing.servers.server import START_TIMEOUT_S, MissingServerError, Server, find_program


class Postgres(Server):
    """PostgreSQL, the newest that Debian's packages have installed; never as root, which it refuses."""

    def __init__(self, **options: str) -> None:
        """`options` are settings of postgresql.conf beside the usual."""
        super().__init__()
        self._options = options

    @property
    def url(self) -> str:
        """A postgresql:// URL of the maintenance database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://imsg:imsg@127.0.0.1:{self._port}/{database}"

    def create_database(self, name: str, template: str = "template0") -> str:
        """Create a database, empty or as the copy of an unused one; return its URL."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with self.connect() as connection:
            connection.execute(statement)
        return self.url_of(name)

    def connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        """Open a connection of the administrator's, each statement by itself; the caller closes it."""
        return psycopg.connect(self.url, autocommit=True)

    def set(self, **options: str) -> None:
        """Change settings while it runs."""
        with self.connect() as connection:
            for name, value in options.items():
                statement = sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
                connection.execute(statement)
            connection.execute("SELECT pg_reload_conf()")

    def drop_database(self, name: str) -> None:
        """Drop a database and its connections."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def program(self, name: str) -> str:
        """Return a program of the server's version, such as pg_dump, which refuses a newer server."""
        return str(_postgres_binaries() / name)

    def forget(self) -> None:
        """Remove the data of a server that does not run, and make an empty cluster."""
        shutil.rmtree(self.folder / "data")
        self._make_cluster(_postgres_binaries(), user_for_postgres(), self.folder / "data")

    def _prepare(self) -> Process:
        binaries = _postgres_binaries()
        user = user_for_postgres()
        data = self.folder / "data"
        if not data.exists():
            self._make_cluster(binaries, user, data)
        self._port = reserve_port(self)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "400",
            "shared_buffers": "32MB",
            **self._options,
        }
        command = [str(binaries / "postgres"), "-D", str(data)]
        command += [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        # SIGQUIT is PostgreSQL's immediate shutdown: it collects its children and its shared memory, and writes no
        # last checkpoint.
        log = self.folder / "log"
        return Process(command, log=log, user=user, ends_on=signal.SIGQUIT, orphaned=signal.SIGQUIT)

    def _make_cluster(self, binaries: Path, user: str | None, data: Path) -> None:
        password = self.folder / "password"
        password.write_text("imsg")
        if user is not None:
            shutil.chown(self.folder, user)
            shutil.chown(password, user)
        command = [str(binaries / "initdb"), "-D", str(data), "-U", "imsg", "-A", "scram-sha-256"]
        command += ["--pwfile", str(password), "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        _run(Process(command, log=self.folder / "initdb", user=user), "initdb")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


class Standby(Postgres):
    """A copy of a server that runs, which follows it until it is promoted."""

    NAME = "standby"
    """How the primary knows it, as in its synchronous_standby_names."""

    def __init__(self, primary: Postgres, **options: str) -> None:
        super().__init__(**options)
        self._primary = primary

    def promote(self) -> None:
        """Promote to primary; return when it accepts writes."""
        with self.connect() as connection:
            connection.execute("SELECT pg_promote(true, 60)")

    def _make_cluster(self, binaries: Path, user: str | None, data: Path) -> None:
        if user is not None:
            shutil.chown(self.folder, user)
        source = f"{self._primary.url}?application_name={self.NAME}"
        command = [str(binaries / "pg_basebackup"), "-d", source, "-D", str(data), "-R", "-X", "stream", "-c", "fast"]
        _run(Process([*command, "--no-sync"], log=self.folder / "basebackup", user=user), "pg_basebackup")


@dataclass(frozen=True, slots=True)
class Pair:
    """A primary and its standby."""

    primary: Postgres
    standby: Standby

    def url_of(self, database: str) -> str:
        """As IMSG_DATABASE_URL names both."""
        hosts = ",".join(urlsplit(server.url).netloc.rpartition("@")[2] for server in (self.primary, self.standby))
        return f"postgresql://imsg:imsg@{hosts}/{database}?target_session_attrs=read-write"

    def create_database(self, name: str) -> str:
        """Create an empty database at the present primary; return its URL."""
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return self.url_of(name)


@contextmanager
def run_pair(*, is_synchronous: bool) -> Iterator[Pair]:
    """Run a primary and its standby for as long as the context lasts."""
    with Postgres() as primary, Standby(primary) as standby:
        if is_synchronous:
            primary.set(synchronous_standby_names=Standby.NAME)
        wanted = "sync" if is_synchronous else "async"
        deadline = time.monotonic() + START_TIMEOUT_S
        with primary.connect() as connection:
            while connection.execute("SELECT sync_state FROM pg_stat_replication").fetchall() != [(wanted,)]:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"the standby does not follow:\n{standby.process.last_lines()}")
                time.sleep(0.05)
        yield Pair(primary, standby)


def _run(process: Process, name: str) -> None:
    """Run a program. Raises RuntimeError with its output if it fails."""
    process.start()
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.runs and time.monotonic() < deadline:
        time.sleep(0.02)
    failed, said = process.exit_code != 0, process.last_lines()
    process.close()
    if failed:
        raise RuntimeError(f"{name} failed:\n{said}")


def _postgres_binaries() -> Path:
    folders = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name.split(".")[0]))
    if (path := find_program("initdb")) is not None:
        return path.resolve().parent
    raise MissingServerError("PostgreSQL is not installed: apt-get install postgresql")


def user_for_postgres() -> str | None:
    """Return the user for PostgreSQL and PgBouncer where we are root; they refuse to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
