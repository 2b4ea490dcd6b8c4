"""PostgreSQL for the tests."""

import os
import pwd
import shutil
import signal
import time
from pathlib import Path

import psycopg
from psycopg import sql

from imsg_testing.processes import Process
from imsg_testing.servers.ports import reserve_port
from imsg_testing.servers.server import START_TIMEOUT_S, MissingServerError, Server, find_program


class Postgres(Server):
    """PostgreSQL, the newest that Debian's packages have installed; never as root, which it refuses."""

    @property
    def url(self) -> str:
        """A postgresql:// URL of the maintenance database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Make the URL of one database."""
        return f"postgresql://imsg:imsg@127.0.0.1:{self._port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database; return its URL."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        return self.url_of(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def program(self, name: str) -> str:
        """Find a program of the server's own version, such as pg_dump, which refuses a newer one."""
        return str(_postgres_binaries() / name)

    def forget(self) -> None:
        """Remove the data of a server that does not run, and make an empty cluster."""
        shutil.rmtree(self.folder / "data")
        self._make_cluster(_postgres_binaries(), _user_for_postgres(), self.folder / "data")

    def _prepare(self) -> Process:
        binaries = _postgres_binaries()
        user = _user_for_postgres()
        data = self.folder / "data"
        if not data.exists():
            self._make_cluster(binaries, user, data)
        self._port = reserve_port(self)
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "32MB",
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
        making = Process(command, log=self.folder / "initdb", user=user)
        making.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while making.runs and time.monotonic() < deadline:
            time.sleep(0.02)
        failed, said = making.exit_code != 0, making.last_lines()
        making.close()
        if failed:
            raise RuntimeError(f"initdb failed:\n{said}")

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def _postgres_binaries() -> Path:
    folders = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if folders:
        return max(folders, key=lambda folder: int(folder.parent.name.split(".")[0]))
    if (path := find_program("initdb")) is not None:
        return path.resolve().parent
    raise MissingServerError("PostgreSQL is not installed: apt-get install postgresql")


def _user_for_postgres() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
