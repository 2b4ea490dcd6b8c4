"""A misspelt setting is reported with the nearest name; names of other programs are ignored."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from imsg_runtime.settings import Common
from imsg_runtime.unknown_settings import Misspelt, find


class Account(BaseModel):
    """An account of some name."""

    appid: str = ""


class Mail(BaseModel):
    """A group of settings."""

    host: str = ""
    accounts: dict[str, Account] = {}
    texts: dict[str, str] = {}


class Sender(Common):
    """One service's settings."""

    smtp: Mail = Mail()


class MailAsked(BaseModel):
    """A part of another's group."""

    model_config = ConfigDict(extra="ignore")

    host: str = ""


class Whole(Common):
    """What asks for a part only."""

    smtp: MailAsked = MailAsked()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from a folder in which nothing is set."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("IMSG_SMTP__HOTS", "IMSG_SMTP__HOST"),
        ("imsg_smtp__hots", "IMSG_SMTP__HOST"),
        ("IMSG_SMPT__HOST", "IMSG_SMTP__HOST"),
        ("IMSG_TIMZONE", "IMSG_TIMEZONE"),
        ("IMSG_SMTP__ACCOUNTS__MAIN__APPDI", "IMSG_SMTP__ACCOUNTS__MAIN__APPID"),
        ("IMSG_QQQ", ""),
    ],
)
def test_a_misspelt_name_is_reported_with_the_nearest(monkeypatch: pytest.MonkeyPatch, name: str, nearest: str) -> None:
    monkeypatch.setenv(name, "x")
    assert find([Sender]) == [Misspelt(name.upper(), nearest)]


@pytest.mark.parametrize(
    "name",
    [
        "IMSG_SMTP__HOST",
        "IMSG_SMTP__ACCOUNTS__MAIN__APPID",
        "IMSG_SMTP__ACCOUNTS",
        "IMSG_SMTP__TEXTS__HELLO",
        "IMSG_AUTH_URL",
        "IMSG_WECHAT__ACCOUNTS__MAIN__APPDI",
        "IMSG_CONFIG",
        "IMSG_TEST_SEED",
        "HOME_IMSG_SMPT",
    ],
)
def test_what_is_read_here_or_by_another_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "x.toml").touch()
    monkeypatch.setenv(name, "x.toml")
    assert find([Sender]) == []


def test_a_part_alone_reports_no_misspelt_name_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMSG_SMTP__HOTS", "x")
    assert find([Whole]) == []
    assert [misspelling.nearest for misspelling in find([Whole, Sender])] == ["IMSG_SMTP__HOST"]


def test_files_are_looked_through_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IMSG_SMTP__HOOST=a\nIMSG_SMTP__HOST=b\nCOMPOSE_PROFILES=c\n")
    (tmp_path / "imsg.toml").write_text('[smtp]\nhsot = "a"\n[smtp.accounts.main]\nappid = "b"\n')
    assert [str(misspelling) for misspelling in find([Sender])] == [
        "nothing reads IMSG_SMTP__HOOST; did you mean IMSG_SMTP__HOST?",
        "nothing reads IMSG_SMTP__HSOT; did you mean IMSG_SMTP__HOST?",
    ]
