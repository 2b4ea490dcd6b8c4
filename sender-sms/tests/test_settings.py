"""The accounts of SMS, as the environment and imsg.toml name them."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import ValidationError

from imsg_runtime.settings import StartError, load
from imsg_runtime.unknown_settings import find
from imsg_sms.http_settings import Http
from imsg_sms.settings import Settings, Tencent

OLD, NEW = "IMSG_SMS__FIRMS", "IMSG_SMS__PROVIDERS"


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Have two providers described."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"access_key_id": "id", "access_key_secret": "s", "sign_name": "天存", "template": "T"}.items():
        monkeypatch.setenv(f"IMSG_SMS__ACCOUNTS__ALIYUN__{name.upper()}", value)
    monkeypatch.setenv("IMSG_SMS__ACCOUNTS__HTTP__URL", "https://sms.example.com/")
    monkeypatch.setenv("IMSG_SMS__ACCOUNTS__HTTP__SUCCESS", "status=200")
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
        ("US", "{number}", "holds US, which begins no number"),
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


def test_an_account_has_the_kind_that_it_is_called_by_or_that_it_names(configured: pytest.MonkeyPatch) -> None:
    """Values are read as their kind has them: a template that looks like a number is a text."""
    given = {
        "SPARE__KIND": "aliyun",
        "SPARE__ACCESS_KEY_ID": "second",
        "SPARE__ACCESS_KEY_SECRET": "s",
        "SPARE__SIGN_NAME": "天存",
        "SPARE__TEMPLATE": "SMS_2",
        "TENCENT__SECRET_ID": "id",
        "TENCENT__SECRET_KEY": "k",
        "TENCENT__APP_ID": "1400006666",
        "TENCENT__SIGN_NAME": "天存",
        "TENCENT__TEMPLATE": "1110",
        "TENCENT__COUNTRIES": "+86,+852",
        "BAO__KIND": "http",
        "BAO__USE": "smsbao",
        "BAO__SECRETS": '{"user": "zhang", "password": "p"}',
    }
    for name, value in given.items():
        configured.setenv(f"IMSG_SMS__ACCOUNTS__{name}", value)
    sms = load(Settings).sms
    assert {name: one.kind for name, one in sms.used.items()} == {
        "aliyun": "aliyun",
        "spare": "aliyun",
        "tencent": "tencent",
        "bao": "http",
        "http": "http",
    }
    assert list(sms.used) == ["aliyun", "spare", "tencent", "bao", "http"], "by kind, then by name"
    tencent = sms.accounts["tencent"]
    assert isinstance(tencent, Tencent)
    assert (tencent.app_id, tencent.template, tencent.countries) == ("1400006666", "1110", ("+86", "+852"))
    assert find([Settings]) == []


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("MAIN__ACCESS_KEY_ID", "x", "an account main has no kind; set its KIND to one of aliyun, tencent"),
        ("MAIN__KIND", "alibaba", "an account main has no kind"),
        ("TENCENT__SECRET_ID", "x", "IMSG_SMS__ACCOUNTS__TENCENT__SECRET_KEY is not set"),
        ("ALIYUN__COUNTRIES", "CN", "IMSG_SMS__ACCOUNTS__ALIYUN__COUNTRIES: holds CN, which begins no number"),
        ("A.B__KIND", "aliyun", "an account's name has 1 to 32"),
    ],
)
def test_a_wrong_account_is_told_by_its_own_field(
    configured: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    if name.startswith("A.B"):
        for one in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SIGN_NAME", "TEMPLATE"):
            configured.setenv(f"IMSG_SMS__ACCOUNTS__A.B__{one}", "x")
    configured.setenv(f"IMSG_SMS__ACCOUNTS__{name}", value)
    with pytest.raises(StartError, match=re.escape(complaint)):
        load(Settings)


def test_a_misspelt_field_of_an_account_is_found(configured: pytest.MonkeyPatch) -> None:
    configured.setenv("IMSG_SMS__ACCOUNTS__ALIYUN__ACCES_KEY_ID", "x")
    (one,) = find([Settings])
    assert one.nearest == "IMSG_SMS__ACCOUNTS__ALIYUN__ACCESS_KEY_ID"
