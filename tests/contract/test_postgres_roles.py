"""Each service has its own role at PostgreSQL, with its rights and no more."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import errors

from imsg.migrating import migrate_all
from imsg_database.address import read_url
from imsg_history.migrate import migrate as migrate_history
from imsg_history.tables import audit
from imsg_testing.postgres_roles import ADMINISTRATOR, SERVICES, DividedPostgres, run_divided

TABLES = {
    "auth": "users",
    "history": "messages",
    "callbacks": "endpoints",
    "wechat": "followers",
    "catalog": "suppressions",
    "scheduler": "scheduled",
}
"""A table of each service."""


@pytest.fixture(scope="module")
def server() -> Iterator[DividedPostgres]:
    """Run a divided server on which every service has made its tables."""
    with run_divided() as opened:
        where = opened.url.rpartition("@")[2].partition("/")[0]
        url = f"postgresql://imsg_{{service}}:{{{{service}}_db_password}}@{where}/imsg"
        assert sorted(migrate_all(url, opened.folder / "secrets")) == sorted(SERVICES)
        migrate_history(read_url(opened.url_of_service("history")), datetime.now(UTC))  # the partitions of these months
        yield opened


def attempt(server: DividedPostgres, service: str, statement: str) -> None:
    """Run one statement as a service. Raises what the server says against it."""
    with psycopg.connect(server.url_of_service(service), autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_and_writes_its_own_tables(server: DividedPostgres, service: str) -> None:
    with psycopg.connect(server.url_of_service(service), autocommit=True) as connection:
        assert connection.execute("SELECT current_schema()").fetchone() == (service,)
        connection.execute(f"SELECT * FROM {TABLES[service]} LIMIT 1".encode())  # noqa: S608  our own names
        connection.execute(b"CREATE TABLE trial (n int); INSERT INTO trial VALUES (1); DROP TABLE trial")


@pytest.mark.parametrize("service", SERVICES)
def test_no_role_reads_writes_or_drops_another_services_tables(server: DividedPostgres, service: str) -> None:
    for other in set(SERVICES) - {service}:
        table = f"{other}.{TABLES[other]}"
        for statement in (
            f"SELECT * FROM {table}",  # noqa: S608  our own names
            f"DELETE FROM {table}",  # noqa: S608
            f"TRUNCATE {table}",
            f"DROP TABLE {table}",
            f"CREATE TABLE {other}.mine (n int)",
            f"GRANT USAGE ON SCHEMA {other} TO imsg_{service}",
            f"SET ROLE imsg_{other}",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                attempt(server, service, statement)


@pytest.mark.parametrize("service", SERVICES)
def test_no_role_creates_objects_outside_its_schema_or_gains_rights(server: DividedPostgres, service: str) -> None:
    for statement in (
        "CREATE TABLE public.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        f"ALTER ROLE imsg_{service} SUPERUSER",
        "CREATE EXTENSION dblink",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT * FROM pg_authid",
        "ALTER SYSTEM SET fsync = off",
    ):
        with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
            attempt(server, service, statement)


@pytest.mark.parametrize("service", SERVICES)
def test_no_role_is_more_than_a_login(server: DividedPostgres, service: str) -> None:
    rights = "rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls"
    with psycopg.connect(server.admin_dsn) as connection:
        row = connection.execute(
            f"SELECT {rights}, rolpassword LIKE 'SCRAM-SHA-256$%%' FROM pg_authid WHERE rolname = %s".encode(),  # noqa: S608
            [f"imsg_{service}"],
        ).fetchone()
        member_of = connection.execute(
            "SELECT count(*) FROM pg_auth_members WHERE member = %s::regrole", [f"imsg_{service}"]
        ).fetchone()
    assert row == (False, False, False, False, False, True)
    assert member_of == (0,)


@pytest.mark.parametrize("service", SERVICES)
def test_over_the_network_a_service_comes_with_its_password_to_its_database_alone(
    server: DividedPostgres, service: str
) -> None:
    others = next(other for other in SERVICES if other != service)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url_of_service(service, server.passwords[others]))
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(server.url_of_service(service, database=database))


def test_the_administrator_of_the_cluster_does_not_come_over_the_network(server: DividedPostgres) -> None:
    for database in ("postgres", "imsg"):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(server.url_of(database))
    with psycopg.connect(server.admin_dsn) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (ADMINISTRATOR,)


def test_history_adds_to_the_audit_and_changes_nothing_of_it(server: DividedPostgres) -> None:
    line = (
        "INSERT INTO audit (id, at, actor, action, target) VALUES ('{0}', now() - interval '{1} days', 'a', 'b', 'c')"
    )
    for name, days in (("old", 366), ("new", 364)):
        attempt(server, "history", line.format(name, days))
    attempt(server, "history", "GRANT UPDATE, DELETE ON audit.audit TO imsg_history")  # a warning, and no right
    for statement in (
        "UPDATE audit SET actor = 'somebody else'",
        "DELETE FROM audit",
        f"{line.format('new', 0)} ON CONFLICT (id) DO UPDATE SET actor = 'somebody else'",
        "TRUNCATE audit",
        "DROP TABLE audit.audit",
        "ALTER TABLE audit.audit RENAME TO gone",
        "CREATE TRIGGER t BEFORE INSERT ON audit.audit EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE r AS ON INSERT TO audit.audit DO INSTEAD NOTHING",
        "DROP FUNCTION audit.delete_old_audit",
        "CREATE TABLE audit.mine (n int)",
        "SET ROLE imsg_audit",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            attempt(server, "history", statement)

    with psycopg.connect(server.url_of_service("history"), autocommit=True) as connection:
        assert connection.execute("SELECT delete_old_audit(now() + interval '9 days')").fetchone() == (1,)
        assert connection.execute("SELECT id FROM audit").fetchall() == [("new",)]


def test_the_script_makes_the_columns_of_the_audit_that_history_writes(server: DividedPostgres) -> None:
    with psycopg.connect(server.url_of_service("history")) as connection:
        made = connection.execute(
            "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_schema = 'audit'"
        ).fetchall()
    assert {name: nullable == "YES" for name, nullable in made} == {
        column.name: column.nullable for column in audit.columns
    }


def test_a_second_login_takes_turns_with_the_first_so_that_a_password_changes_without_a_gap(
    server: DividedPostgres,
) -> None:
    """As docs/operations.md has it."""
    with psycopg.connect(server.admin_dsn, autocommit=True) as upkeep:
        upkeep.execute("CREATE ROLE imsg_history_2 LOGIN PASSWORD 'new' IN ROLE imsg_history")
        upkeep.execute("ALTER ROLE imsg_history_2 SET role = 'imsg_history'")
        upkeep.execute("ALTER ROLE imsg_history_2 SET search_path = history, audit")
    second = server.url_of_service("history_2", "new")
    with psycopg.connect(server.url_of_service("history")) as old, psycopg.connect(second) as new:
        assert new.execute("SELECT current_user").fetchone() == ("imsg_history",)
        new.execute("CREATE TABLE made_by_the_second (n int)")
        new.commit()
        old.execute("DROP TABLE made_by_the_second")
        with pytest.raises(errors.InsufficientPrivilege):
            new.execute("SELECT * FROM auth.users")


async def test_maintenance_creates_and_drops_months_as_their_owner(server: DividedPostgres) -> None:
    """No second role is needed for that: history owns its tables, and nothing else."""
    url = read_url(server.url_of_service("history"))
    await asyncio.to_thread(migrate_history, url, datetime(2030, 1, 1, tzinfo=UTC))
    with psycopg.connect(server.url_of_service("history")) as connection:
        owner = connection.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'messages_2030_02'").fetchone()
    assert owner == ("imsg_history",)


async def test_a_server_that_is_away_is_waited_for_and_then_divided() -> None:
    with DividedPostgres() as server:
        server.kill()
        division = asyncio.create_task(asyncio.to_thread(server.create_roles))
        async with asyncio.timeout(60):
            while not server.log.exists() or not server.log.read_text():  # noqa: ASYNC110  a file has no event
                await asyncio.sleep(0.05)
            assert not division.done(), "it does not give up at the first refusal"
            await asyncio.to_thread(server.start)
            await division
        with psycopg.connect(server.url_of_service("auth")) as connection:
            assert connection.execute("SELECT current_schema()").fetchone() == ("auth",)
