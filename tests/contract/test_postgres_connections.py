"""Connections to PostgreSQL: encrypted as the URL says, past a silent host, and closed in order."""

import asyncio
import contextlib
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import BigInteger

from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import DatabaseOptions
from imsg_database.unavailable import DatabaseUnavailable, is_value_error
from imsg_testing.servers import Postgres
from imsg_testing.servers.certificates import Certificates
from imsg_testing.servers.postgres import user_for_postgres
from imsg_testing.waiting import eventually

OPTIONS = DatabaseOptions("imsg-test", pool=1)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Yield a folder for certificates that the server's user can read too."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def certificates(folder: Path) -> Certificates:
    made = Certificates(folder, "localhost")
    made.server_key.chmod(0o600)
    if (user := user_for_postgres()) is not None:
        shutil.chown(made.server_key, user)
    return made


@pytest.fixture(scope="module")
def encrypting(certificates: Certificates) -> Iterator[Postgres]:
    options = {"ssl": "on", "ssl_cert_file": str(certificates.server), "ssl_key_file": str(certificates.server_key)}
    with Postgres(**options) as server:
        yield server


async def is_encrypted(url: str) -> bool:
    async with connect(read_url(url), OPTIONS) as database, database.reading() as connection:
        return bool(await connection.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")))


@pytest.mark.parametrize(
    ("mode", "is_tls"), [("disable", False), ("prefer", True), ("require", True), ("verify-ca", True)]
)
async def test_a_connection_is_encrypted_as_the_url_demands(
    encrypting: Postgres, certificates: Certificates, mode: str, *, is_tls: bool
) -> None:
    assert await is_encrypted(f"{encrypting.url}?sslmode={mode}&sslrootcert={certificates.ca}") == is_tls


async def test_a_full_verification_wants_the_name_and_the_authority(
    encrypting: Postgres, certificates: Certificates, tmp_path: Path
) -> None:
    named = encrypting.url.replace("127.0.0.1", "localhost") + "?sslmode=verify-full&sslrootcert="
    assert await is_encrypted(f"{named}{certificates.ca}")
    with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
        await is_encrypted(f"{encrypting.url}?sslmode=verify-full&sslrootcert={certificates.ca}")
    another = Certificates(tmp_path, "localhost")
    for untrusted in (another.ca, "system"):
        with pytest.raises(DatabaseUnavailable, match="certificate verify failed"):
            await is_encrypted(f"{named}{untrusted}")


async def test_within_this_machine_it_is_encrypted_only_where_the_server_wants_it(encrypting: Postgres) -> None:
    assert not await is_encrypted(encrypting.url)
    rules = encrypting.folder / "data" / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n")
    try:
        with psycopg.connect(encrypting.url) as administrator:
            administrator.execute("SELECT pg_reload_conf()")
        await eventually(lambda: is_encrypted(encrypting.url))
        with pytest.raises(DatabaseUnavailable, match="password authentication failed"):
            await is_encrypted(encrypting.url.replace("imsg:imsg@", "imsg:wrong@"))
    finally:
        rules.write_text(before)


async def test_encryption_that_is_required_is_not_done_without(postgres: Postgres) -> None:
    with pytest.raises(DatabaseUnavailable, match="rejected SSL"):
        await is_encrypted(f"{postgres.url}?sslmode=require")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("sslmode=verify-full", "root certificate file"),
        ("target_session_attrs=standby", "target attribute requirement"),
        ("target_session_attrs=whatever", "target_session_attrs"),
    ],
)
async def test_what_a_host_does_not_fulfil_is_reported_as_an_outage(
    postgres: Postgres, asked: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is no bug: services keep waiting for the database, and log why."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(DatabaseUnavailable, match=told):
        await is_encrypted(f"{postgres.url}?{asked}")


@pytest.mark.usefixtures("service_bounds")
async def test_a_silent_host_is_passed_by_and_a_dead_peer_is_noticed(postgres: Postgres) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = postgres.url.rpartition("@")[2]
        url = f"postgresql://imsg:imsg@127.0.0.1:{silent.getsockname()[1]},{place}"

        async def is_watched() -> bool:
            with contextlib.suppress(DatabaseUnavailable):  # the machine stood still while it connected
                async with connect(read_url(url), OPTIONS) as database, database.reading() as connection:
                    found = await connection.run_sync(lambda opened: opened.connection.driver_connection)
                    assert found is not None
                    options = found._transport.get_extra_info("socket")
                    assert options.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                    assert options.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 8_000
                    return True
            return False

        await eventually(is_watched)


async def test_a_socket_in_a_folder_will_do(postgres: Postgres) -> None:
    port = postgres.url.rpartition(":")[2].partition("/")[0]
    url = f"postgresql://imsg:imsg@/postgres?host={postgres.folder}&port={port}"
    async with connect(read_url(url), OPTIONS) as database, database.reading() as connection:
        assert await connection.scalar(text("SELECT inet_server_addr()")) is None
        assert await connection.scalar(text("SELECT current_setting('application_name')")) == "imsg-test"


async def use_and_lose(postgres: Postgres, database: Database) -> int:
    """Use a connection; return its process at the server once that has ended, and the connection with it."""
    async with database.reading() as connection:
        opened = await connection.run_sync(lambda synchronous: synchronous.connection.driver_connection)
        pid = int(await connection.scalar(text("SELECT pg_backend_pid()")))
    assert opened is not None
    with postgres.connect() as administrator:
        administrator.execute("SELECT pg_terminate_backend(%s)", (pid,))

    async def has_ended() -> bool:
        return bool(opened.is_closed())

    await eventually(has_ended)
    return pid


async def test_a_connection_that_the_server_ends_is_replaced(postgres: Postgres) -> None:
    async with connect(read_url(postgres.url), DatabaseOptions("imsg-test", pool=1, checks_idle=False)) as database:
        pid = await use_and_lose(postgres, database)
        with pytest.raises(DatabaseUnavailable):
            async with database.reading() as connection:
                await connection.scalar(text("SELECT 1"))
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT pg_backend_pid()")) != pid


@pytest.mark.parametrize("idle_s", [0.0, 1.2])
async def test_a_connection_that_was_ended_while_it_was_idle_is_not_noticed(postgres: Postgres, idle_s: float) -> None:
    async with connect(read_url(postgres.url), OPTIONS) as database:
        pid = await use_and_lose(postgres, database)
        await asyncio.sleep(idle_s)
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT pg_backend_pid()")) != pid


async def test_a_connection_that_went_without_a_word_while_it_was_idle_is_replaced(postgres: Postgres) -> None:
    """Its peer answers nothing, as where an address has moved: the ping is what finds out."""
    async with connect(read_url(postgres.url), OPTIONS) as database:
        async with database.reading() as connection:
            opened = await connection.run_sync(lambda synchronous: synchronous.connection.driver_connection)
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
        assert opened is not None
        opened._transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        await asyncio.sleep(1.2)
        async with asyncio.timeout(60), database.reading() as connection:
            assert await connection.scalar(text("SELECT pg_backend_pid()")) != pid


async def test_a_statement_that_takes_too_long_is_ended_by_the_server(postgres: Postgres) -> None:
    async with connect(read_url(postgres.url), DatabaseOptions("imsg-test", statement_timeout_s=0.2)) as database:
        with pytest.raises(DatabaseUnavailable, match="statement timeout"):
            async with database.reading() as connection:
                await connection.execute(text("SELECT pg_sleep(5)"))

        async def answers() -> bool:
            with contextlib.suppress(DatabaseUnavailable):  # a machine that stands still takes too long as well
                async with database.reading() as connection:
                    return bool(await connection.scalar(text("SELECT 1")) == 1)
            return False

        await eventually(answers)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        (text("SELECT :value").bindparams(bindparam("value", type_=BigInteger)), 1 << 80),
        (text("SELECT CAST(:value AS text)"), "half a \ud83d"),
        (text("SELECT CAST(:value AS text)"), "a \0 null"),
        (text("SELECT 1 / CAST(:value AS integer)"), 0),
    ],
)
async def test_a_value_that_can_not_be_written_is_no_outage(
    postgres: Postgres, statement: object, value: object
) -> None:
    """It would be tried again for ever."""
    async with connect(read_url(postgres.url), OPTIONS) as database:
        with pytest.raises(DBAPIError) as caught:
            async with database.writing() as connection:
                await connection.execute(statement, {"value": value})  # type: ignore[call-overload]
        assert is_value_error(caught.value)
        async with database.reading() as connection:
            assert await connection.scalar(text("SELECT 1")) == 1
