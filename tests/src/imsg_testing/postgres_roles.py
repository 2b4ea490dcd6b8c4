"""PostgreSQL with a role, a schema and a password for each service, made by the script of the containers."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from imsg_testing.servers import Postgres

ROOT = Path(__file__).parents[3]

SERVICES = ("auth", "history", "callbacks", "wechat", "catalog", "scheduler")

ADMINISTRATOR = "imsg"
"""The superuser of the tests' clusters."""


class DividedPostgres(Postgres):
    """A server on which deploy/postgres/roles.sh was run."""

    def __init__(self) -> None:
        super().__init__()
        self.passwords = {owner: secrets.token_hex(16) for owner in SERVICES}

    @property
    def log(self) -> Path:
        """What the script complained of."""
        return self.folder / "owners.log"

    def create_roles(self) -> None:
        """Run the script as the image does at the first start, then let the server read its new rules."""
        kept = self.folder / "secrets"
        kept.mkdir(mode=0o700, exist_ok=True)
        for owner, password in self.passwords.items():
            (kept / f"{owner}_db_password").write_text(password)
        environment = {
            "PATH": os.environ["PATH"],
            "PGHOST": "127.0.0.1",
            "PGPORT": self.url.rpartition(":")[2].partition("/")[0],
            "PGPASSWORD": "imsg",
            "PGDATA": str(self.folder / "data"),
            "POSTGRES_USER": ADMINISTRATOR,
            "IMSG_SECRETS": str(kept),
        }
        script = ROOT / "deploy" / "postgres" / "roles.sh"
        with self.log.open("w") as log:
            done = subprocess.run(["/bin/sh", str(script)], env=environment, stderr=log, timeout=90, check=False)
        assert done.returncode == 0, self.log.read_text()
        self.restart()

    def replace(self) -> None:
        """Lose the cluster with all it has; another one, empty and divided, takes its place."""
        self.kill()
        self.forget()
        self.start()
        self.create_roles()

    def url_of_service(self, owner: str, password: str | None = None, database: str = "imsg") -> str:
        """Make the URL a service is given."""
        role = f"imsg_{owner}"
        where = self.url.rpartition("@")[2].partition("/")[0]
        return f"postgresql://{role}:{quote(password or self.passwords[owner])}@{where}/{database}"

    @property
    def admin_dsn(self) -> str:
        """How the administrator comes in: through the socket, as a connection string of libpq."""
        port = self.url.rpartition(":")[2].partition("/")[0]
        return f"host={self.folder} port={port} user={ADMINISTRATOR} dbname=imsg"

    def _answers(self) -> bool:
        # Once it is divided, the administrator is let in through the socket alone: "rejected" is an answer too.
        port = self.url.rpartition(":")[2].partition("/")[0]
        ready = subprocess.run(
            ["pg_isready", "-q", "-h", "127.0.0.1", "-p", port], timeout=30, check=False, capture_output=True
        )
        return ready.returncode == 0


@contextmanager
def run_divided() -> Iterator[DividedPostgres]:
    """Run one for as long as the context lasts."""
    with DividedPostgres() as server:
        server.create_roles()
        yield server
