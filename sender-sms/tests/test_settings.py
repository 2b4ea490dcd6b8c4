"""The providers of SMS are named by one setting, which had another name before."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import ValidationError

from imsg_runtime.settings import load
from imsg_runtime.unknown_settings import find
from imsg_sms.http_settings import Http
from imsg_sms.settings import Settings

OLD, NEW = "IMSG_SMS__FIRMS", "IMSG_SMS__PROVIDERS"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Have two providers described."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"access_key_id": "id", "access_key_secret": "s", "sign_name": "天存", "template": "T"}.items():
        monkeypatch.setenv(f"IMSG_SMS__ALIYUN__{name.upper()}", value)
    monkeypatch.setenv("IMSG_SMS__HTTP__URL", "https://sms.example.com/")
    monkeypatch.setenv("IMSG_SMS__HTTP__SUCCESS", "status=200")
    return monkeypatch


def test_providers_are_tried_in_the_order_given(configured: pytest.MonkeyPatch) -> None:
    configured.setenv(NEW, "http,aliyun")
    assert load(Settings).sms.order == ("http", "aliyun")
    assert find([Settings]) == []


def test_the_old_name_works_on_with_a_warning(configured: pytest.MonkeyPatch) -> None:
    configured.setenv(OLD, "http, aliyun")
    assert load(Settings).sms.order == ("http", "aliyun")
    assert [str(each) for each in find([Settings])] == [f"{OLD} is called {NEW} now; the old name works until 1.0."]


def test_the_old_name_works_in_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "imsg.toml").write_text('[sms]\nfirms = ["http", "aliyun"]\n')
    assert load(Settings).sms.order == ("http", "aliyun")
    assert [each.name for each in find([Settings])] == [OLD]


def test_the_new_name_comes_before_the_old(configured: pytest.MonkeyPatch) -> None:
    configured.setenv(OLD, "aliyun")
    configured.setenv(NEW, "http")
    assert load(Settings).sms.order == ("http",)


@pytest.mark.parametrize(
    ("countries", "place", "wrong"),
    [
        ("+1, +86", "{national}", "leaves out that code"),
        ("*", "{national}", "leaves out that code"),
        ("+86138, +1", "{national}", "leaves out that code"),
        ("US", "{number}", "US begins no number"),
        ("", "{number}", "names no country"),
        ("+1, +44", "{national}", None),
        ("+86", "{national}", None),
        ("*", "{digits}", None),
    ],
)
def test_a_description_says_which_countries_it_takes(countries: str, place: str, wrong: str | None) -> None:
    """`{national}` tells the mainland's numbers from nobody else's."""
    described = {"url": f"https://sms.example.com/?to={place}", "success": "status=200", "countries": countries}
    with pytest.raises(ValidationError, match=wrong) if wrong else nullcontext():
        Http.model_validate(described)
