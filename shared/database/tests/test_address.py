import stat
from pathlib import Path

import pytest

from imsg_database.address import create_file, hosts, read_url
from imsg_runtime.settings import StartError


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("sqlite:////var/lib/imsg/auth.db", "sqlite"),
        ("sqlite:///数据/auth.db", "sqlite"),
        ("sqlite+aiosqlite:///auth.db", "sqlite"),
        ("postgresql://imsg:p%40ss@db:5432/imsg", "postgresql+asyncpg"),
        ("postgres://imsg@db/imsg", "postgresql+asyncpg"),
        ("postgresql+psycopg2://imsg@db/imsg", "postgresql+asyncpg"),
    ],
)
def test_the_driver_is_filled_in_whatever_was_written(written: str, driver: str) -> None:
    assert read_url(written).drivername == driver


def test_a_password_is_read_as_it_was_meant() -> None:
    assert read_url("postgresql://imsg:p%40ss@db/imsg").password == "p@ss"


@pytest.mark.parametrize("written", ["mysql://x/y", "no url", "", "/var/imsg.db", "sqlite://", "sqlite:///:memory:"])
def test_anything_else_is_refused_by_the_settings_name(written: str) -> None:
    with pytest.raises(StartError, match="IMSG_DATABASE_URL"):
        read_url(written)


def test_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(StartError, match="IMSG_DATABASE_URL is no URL"):
        read_url("postgresql://imsg@db:port/imsg")


def test_a_new_file_is_for_its_owners_eyes(tmp_path: Path) -> None:
    path = tmp_path / "数据" / "imsg.db"
    create_file(read_url(f"sqlite:///{path}"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_made_is_reported_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"file/imsg\.db of IMSG_DATABASE_URL can't be written"):
        create_file(read_url(f"sqlite:///{tmp_path}/file/imsg.db"))


@pytest.mark.parametrize(
    ("written", "places"),
    [
        ("postgresql://imsg:p%40ss@h1:5432,h2:5433/imsg", [("h1", 5432), ("h2", 5433)]),
        ("postgres://h1,h2:6432/imsg?connect_timeout=2", [("h1", 5432), ("h2", 6432)]),
        ("postgresql://imsg:p@[2001:db8::1]:5433,h2/imsg", [("2001:db8::1", 5433), ("h2", 5432)]),
        ("postgresql://imsg@db:5433/imsg", [("db", 5433)]),
        ("postgresql://imsg@db/imsg", [("db", 5432)]),
        ("postgresql:///imsg", [("127.0.0.1", 5432)]),
        ("postgresql:///imsg?host=/run/pg&port=5433", [("/run/pg", 5433)]),
        ("postgresql:///imsg?host=h1,h2&port=5433", [("h1", 5433), ("h2", 5433)]),
    ],
)
def test_several_hosts_are_read_with_their_ports(written: str, places: list[tuple[str, int]]) -> None:
    assert hosts(written) == places


def test_of_several_hosts_it_is_the_one_that_takes_writes() -> None:
    url = read_url("postgresql://imsg:p%40ss@h1:5432,h2:5433/imsg")
    assert (url.username, url.password, url.database) == ("imsg", "p@ss", "imsg")
    assert dict(url.query) == {"host": "h1,h2", "port": "5432,5433", "target_session_attrs": "read-write"}
    assert "p@ss" not in str(url)
    query = read_url("postgresql://h1,h2/imsg?target_session_attrs=any&sslmode=verify-full")
    assert (query.query["target_session_attrs"], query.query["sslmode"]) == ("any", "verify-full")


@pytest.mark.parametrize("written", ["postgresql://imsg@h1,/imsg", "postgresql://h1:5432,h2:port/imsg"])
def test_a_host_of_several_that_cannot_be_read_is_refused(written: str) -> None:
    with pytest.raises(StartError, match="IMSG_DATABASE_URL is no URL"):
        read_url(written)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("sslmode=strict", "sslmode=strict; write one of disable, allow, prefer, require, verify-ca, verify-full"),
        ("sslmode=verify-full&sslrootcert=/no/ca.pem", "sslrootcert=/no/ca.pem, where there is no file"),
        ("channel_binding=require", "asks for channel_binding=require, which can't be had"),
        ("requirepeer=postgres", "a parameter 'requirepeer', which iMSG doesn't know"),
    ],
)
def test_a_parameter_that_is_not_honoured_is_refused(query: str, message: str) -> None:
    with pytest.raises(StartError, match=f"^IMSG_DATABASE_URL .*{message}"):
        read_url(f"postgresql://imsg@db/imsg?{query}")


def test_what_libpq_knows_and_we_set_ourselves_may_stay_in_the_url() -> None:
    url = read_url("postgresql://imsg@db/imsg?connect_timeout=2&keepalives_idle=9&gssencmode=disable&sslmode=require")
    assert dict(url.query) == {"sslmode": "require"}
