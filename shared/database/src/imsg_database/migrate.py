"""Bringing a database's tables up to date at start, safe when several processes start at once."""

import asyncio
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, func, inspect, select, text
from sqlalchemy.exc import OperationalError

from imsg_database.address import is_sqlite
from imsg_database.engines import BEGIN, Terms, open_engine, open_file
from imsg_database.unavailable import translate
from imsg_runtime.observe import logger
from imsg_runtime.settings import StartError

log = logger(__name__)

LOCK_TIMEOUT_S = 60
"""How long one process waits while another migrates."""

ADDING_DIGITS = 2
"""Of a step's number: within a hundred, steps only add."""

TERMS = Terms("imsg-migrations", pool=1, busy_timeout_s=LOCK_TIMEOUT_S, statement_timeout_s=None)
ENVIRONMENT = Path(__file__).with_name("environment")

_ONE_AT_A_TIME = threading.Lock()
"""Alembic keeps what it works on in module globals: of the services of `imsg up`, each in a thread, one migrates."""


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps by which a service's tables came to be what they are."""

    folder: Path
    """Where they are, a module each."""
    versions: str
    """The table that holds which step was the last: a name of the service's own, should two share one database."""
    head: str
    """The last step there is; a test holds it to the folder.

    Steps are numbered by four digits. One that only adds takes the next number, and versions before it go on working on
    the tables that it leaves; one that takes something away, or changes what is there, begins another hundred.
    """

    @property
    def lock(self) -> int:
        """PostgreSQL's advisory lock under which one of several starting processes migrates and the others wait."""
        return zlib.crc32(f"imsg {self.versions}".encode())


def migrate(url: URL, steps: Steps, then: Callable[[Connection], None] | None = None) -> None:
    """Run what steps are missing, and `then`, in one transaction; call it in a thread.

    The first of several processes does it, the others wait for it. Tables of a later version, from which iMSG was
    rolled back, are left as they are. Raises DatabaseUnavailable, and StartError where SQLite's file can't be made or
    the tables are of a version on which this one can't work.
    """

    def bring_up(connection: Connection) -> None:
        version = _version(connection, steps.versions)
        if version is not None and _is_later(version, steps.head):
            _require_readable(version, steps)
        elif version != steps.head:
            _upgrade(connection, steps, is_new=version is None)
        if then is not None:
            then(connection)

    with translate():
        if is_sqlite(url):
            with _lock_file(url) as connection:
                bring_up(connection)
        else:
            asyncio.run(_run_locked(url, steps.lock, bring_up))  # a loop of this thread's own


def _version(connection: Connection, table: str) -> str | None:
    if not inspect(connection).has_table(table):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {table}"))  # noqa: S608  a service's own name
    return None if found is None else str(found)


def _is_later(version: str, head: str) -> bool:
    """Tell whether tables are of a step that is none of ours: numbers are as long as one another, and rise."""
    return len(version) == len(head) and version > head


def _require_readable(version: str, steps: Steps) -> None:
    """Let tables pass to which later steps have only added. Raises StartError."""
    if version[:-ADDING_DIGITS] != steps.head[:-ADDING_DIGITS]:
        raise StartError(
            f"the tables are of a later version (step {version} of {steps.versions}, this one knows {steps.head}), on "
            "which this one can't work; start that version again, or restore a backup that this one made."
        )
    log.warning("tables_later", versions=steps.versions, step=version, known=steps.head)


def _upgrade(connection: Connection, steps: Steps, *, is_new: bool) -> None:
    # Half a second and 6 MiB that only a change of version is worth.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", _escape(ENVIRONMENT))
    config.set_main_option("version_locations", _escape(steps.folder))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["versions"] = steps.versions
    config.attributes["is_new"] = is_new  # for a step that treats who had nothing before otherwise
    with _ONE_AT_A_TIME:
        command.upgrade(config, "head")


def _escape(path: Path) -> str:
    return str(path).replace("%", "%%")


async def _run_locked(url: URL, lock: int, work: Callable[[Connection], None]) -> None:
    """Do work in one transaction of PostgreSQL's, under an advisory lock."""
    async with open_engine(url, TERMS) as engine, engine.begin() as connection:
        await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        await connection.execute(select(func.pg_advisory_xact_lock(lock)))
        await connection.run_sync(work)


@contextmanager
def _lock_file(url: URL) -> Iterator[Connection]:
    """Open SQLite's file for one transaction that nobody else may begin meanwhile."""
    with open_file(url, TERMS) as engine, _open_patiently(engine) as connection:
        connection.execution_options(**{BEGIN: "EXCLUSIVE"})
        with connection.begin():
            yield connection


def _open_patiently(engine: Engine) -> Connection:
    """Connect to SQLite; a new file's change to WAL answers "locked" without a wait while another makes it too."""
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if "locked" not in str(error.orig) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
