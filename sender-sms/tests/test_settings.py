"""The accounts of SMS, as the environment and imsg.toml name them."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
from pydantic import ValidationError

from imsg_runtime.settings import StartError, load
from imsg_runtime.unknown_settings import find
from imsg_sms.account_settings import Tencent
from imsg_sms.http_settings import Http
from imsg_sms.settings import Settings


@pytest.fixture(autouse=True)
def configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Configure two providers."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"access_key_id": "id", "access_key_secret": "s", "sign_name": "天存", "template": "T"}.items():
        monkeypatch.setenv(f"IMSG_SMS__ACCOUNTS__ALIYUN__{name.upper()}", value)
    monkeypatch.setenv("IMSG_SMS__ACCOUNTS__HTTP__URL", "https://sms.example.com/")
    monkeypatch.setenv("IMSG_SMS__ACCOUNTS__HTTP__SUCCESS", "status=200")
    return monkeypatch


def test_providers_are_tried_in_the_order_given(configured: pytest.MonkeyPatch) -> None:
    configured.setenv("IMSG_SMS__PROVIDERS", "http,aliyun")
    assert load(Settings).sms.order == ("http", "aliyun")
    assert find([Settings]) == []


@pytest.mark.parametrize(
    ("countries", "place", "wrong"),
    [
        ("+1, +86", "{national}", "leaves out that code"),
        ("*", "{national}", "leaves out that code"),
        ("+86138, +1", "{national}", "leaves out that code"),
        ("US", "{number}", "holds US, which begins no number"),
        ("0086", "{number}", "holds 0086, which begins no number"),
        ("", "{number}", "names no country"),
        ("+1, +44", "{national}", "leaves out that code"),
        ("+86", "{national}", None),
        ("*", "{digits}", None),
    ],
)
def test_a_description_lists_the_countries_it_accepts(countries: str, place: str, wrong: str | None) -> None:
    """`{national}` is unambiguous for numbers of mainland China alone."""
    described = {"url": f"https://sms.example.com/?to={place}", "success": "status=200", "countries": countries}
    with pytest.raises(ValidationError, match=wrong) if wrong else nullcontext():
        Http.model_validate(described)


def test_a_description_that_comes_with_us_is_not_widened(configured: pytest.MonkeyPatch) -> None:
    """Its URL is that of mainland China, where an American number without its plus is another person's."""
    given = {"kind": "http", "use": "smsbao", "secrets": '{"user": "zhang", "password": "p"}', "countries": "+1"}
    for name, value in given.items():
        configured.setenv(f"IMSG_SMS__ACCOUNTS__BAO__{name.upper()}", value)
    with pytest.raises(StartError, match="countries are more than"):
        load(Settings)


def test_a_template_that_names_a_kind_whose_accounts_have_other_names_is_refused(
    configured: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No provider would send it, without any error."""
    spare = {"kind": "tencent", "secret_id": "i", "secret_key": "k", "app_id": "1", "sign_name": "x"}
    for name, value in spare.items():
        configured.setenv(f"IMSG_SMS__ACCOUNTS__SPARE__{name.upper()}", value)
    way = '[sms.templates.code]\ntext = "${code}"\nproviders.%s = { id = "1110" }\n'
    (tmp_path / "imsg.toml").write_text(way % "tencent")
    with pytest.raises(StartError, match=r"names tencent, which is no account; there are .*spare"):
        load(Settings)
    for fine in ("spare", "volcengine"):
        (tmp_path / "imsg.toml").write_text(way % fine)
        assert load(Settings).sms.templates.keys() == {"code"}


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
    assert {name: provider.kind for name, provider in sms.used.items()} == {
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
        ("MAIN__ACCESS_KEY_ID", "x", "the account main has no kind; set its KIND to one of aliyun, tencent"),
        ("MAIN__KIND", "Aliyun", "the account main is of the kind Aliyun, which there is not; set its KIND to one of"),
        ("ALIYUN__KIND", "tencent", "the account aliyun is of the kind tencent; call it by no other kind's name"),
        ("TENCENT__SECRET_ID", "x", "IMSG_SMS__ACCOUNTS__TENCENT__SECRET_KEY is not set"),
        ("ALIYUN__COUNTRIES", "CN", "IMSG_SMS__ACCOUNTS__ALIYUN__COUNTRIES: holds CN, which begins no number"),
        ("A.B__KIND", "aliyun", "IMSG_SMS__ACCOUNTS: an account can't be called a.b; its name has 1 to 32"),
        ("天存__SIGN_NAME", "天存", "an account can't be called 天存; its name has 1 to 32"),
    ],
)
def test_a_wrong_account_is_reported_by_its_own_field(
    configured: pytest.MonkeyPatch, name: str, value: str, complaint: str
) -> None:
    configured.setenv(f"IMSG_SMS__ACCOUNTS__{name}", value)
    with pytest.raises(StartError, match=re.escape(complaint)):
        load(Settings)


def test_a_misspelt_field_of_an_account_is_found(configured: pytest.MonkeyPatch) -> None:
    configured.setenv("IMSG_SMS__ACCOUNTS__ALIYUN__ACCES_KEY_ID", "x")
    (misspelling,) = find([Settings])
    assert misspelling.nearest == "IMSG_SMS__ACCOUNTS__ALIYUN__ACCESS_KEY_ID"
