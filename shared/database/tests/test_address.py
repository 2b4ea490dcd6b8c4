import stat
from pathlib import Path

import pytest

from imsg_database.address import make_file, read_url
from imsg_runtime.settings import StartError


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("sqlite:////var/lib/imsg/auth.db", "sqlite"),
        ("sqlite:///数据/auth.db", "sqlite"),
        ("sqlite+aiosqlite:///auth.db", "sqlite"),
        ("postgresql://imsg:p%40ss@db:5432/imsg", "postgresql+psycopg"),
        ("postgres://imsg@db/imsg", "postgresql+psycopg"),
        ("postgresql+psycopg2://imsg@db/imsg", "postgresql+psycopg"),
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
    make_file(read_url(f"sqlite:///{path}"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_cannot_be_made_is_said_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartError, match=r"file/imsg\.db of IMSG_DATABASE_URL can't be written"):
        make_file(read_url(f"sqlite:///{tmp_path}/file/imsg.db"))
