"""PgBouncer for the tests, in transaction mode."""

import shutil
import signal
from urllib.parse import urlsplit

import psycopg

from imsg_testing.processes import Process
from imsg_testing.servers.ports import reserve_port
from imsg_testing.servers.postgres import Postgres, user_for_postgres
from imsg_testing.servers.server import MissingServerError, Server, find_program

SESSIONS = 2
"""Sessions for each database: fewer than clients, so that they really are shared."""


class PgBouncer(Server):
    """PgBouncer before a PostgreSQL, in transaction mode."""

    def __init__(self, postgres: Postgres, *, sessions: int = SESSIONS) -> None:
        super().__init__()
        self._postgres = postgres
        self._sessions = sessions

    @property
    def url(self) -> str:
        """A postgresql:// URL of the maintenance database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://imsg:imsg@127.0.0.1:{self._port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database, past PgBouncer; return its URL through it."""
        self._postgres.create_database(name)
        return self.url_of(name)

    def _prepare(self) -> Process:
        program = find_program("pgbouncer")
        if program is None:
            raise MissingServerError("PgBouncer is not installed: apt-get install pgbouncer")
        self._port = reserve_port(self)
        users, file = self.folder / "users.txt", self.folder / "pgbouncer.ini"
        users.write_text('"imsg" "imsg"\n', encoding="utf-8")
        file.write_text(
            f"""
[databases]
* = host=127.0.0.1 port={urlsplit(self._postgres.url).port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {self._port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = transaction
default_pool_size = {self._sessions}
max_client_conn = 500
server_login_retry = 1
""",
            encoding="utf-8",
        )
        user = user_for_postgres()
        if user is not None:
            for path in (self.folder, users, file):
                shutil.chown(path, user)
        return Process([str(program), str(file)], log=self.folder / "log", user=user, ends_on=signal.SIGINT)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
