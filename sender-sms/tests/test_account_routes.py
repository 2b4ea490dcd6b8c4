"""What an account of the page is used for is a route of the settings; its errors name it as the API does."""

from typing import Any

import pytest

from imsg_contract.provider_accounts import ProviderAccount
from imsg_contract.wire import Category
from imsg_sms.main import ACCOUNTS
from imsg_testing.sms import ACCOUNT, TWILIO

OWN: dict[str, Any] = {
    "accounts": {"old": {"kind": "aliyun", **ACCOUNT, "templates": {"SMS_1": {"text": "${code}"}}}},
    "routes": {"old": {"numbers": "+1"}},
}
FORM = {name: ACCOUNT[name] for name in ("access_key_id", "access_key_secret", "sign_name", "template")}


def make(**conditions: str) -> ProviderAccount:
    """Make an account of the page."""
    return ProviderAccount(
        name="one", kind="aliyun", settings={**FORM, **{f"routes.{name}": value for name, value in conditions.items()}}
    )


def test_conditions_of_the_page_stand_beside_those_of_the_settings() -> None:
    """`templates` is one of them, and not the approved templates, which a file says."""
    account = make(numbers="+86, +852", templates="code", categories="code")
    assert ACCOUNTS.validate(OWN, (account,), "one") == ()
    sms = ACCOUNTS.model.model_validate(ACCOUNTS.merge(OWN, (account,)))
    route = sms.provider_routes["one"]
    assert route.prefixes == ("+86", "+852")
    assert route.templates == frozenset({"code"})
    assert route.categories == frozenset({Category.CODE})
    assert sms.provider_routes["old"].prefixes == ("+1",)
    shown = {account.name: account.settings for account in ACCOUNTS.show(sms, is_simulated=False)}
    assert shown["old"]["routes.numbers"] == "+1"
    assert "templates" not in shown["old"]
    assert {name: shown["one"][f"routes.{name}"] for name in ("numbers", "templates", "categories")} == {
        "numbers": "+86, +852",
        "templates": "code",
        "categories": "code",
    }


@pytest.mark.parametrize("between", [",", "，", "； ", "、", ";", " ", "\n", "，\n"])
def test_lists_are_written_with_any_separator(between: str) -> None:
    account = make(numbers=f"+86{between}+852", categories=f"code{between.strip(' ') or '、'}notice")
    assert ACCOUNTS.validate(OWN, (account,), "one") == ()
    route = ACCOUNTS.model.model_validate(ACCOUNTS.merge(OWN, (account,))).provider_routes["one"]
    assert route.prefixes == ("+86", "+852")
    assert route.categories == frozenset({Category.CODE, Category.NOTICE})


@pytest.mark.parametrize(("name", "value"), [("numbers", "86x"), ("categories", "odd")])
def test_a_wrong_condition_is_named_as_the_api_has_it(name: str, value: str) -> None:
    (error,) = ACCOUNTS.validate(OWN, (make(**{name: value}),), "one")
    assert error["loc"] == ("routes", name)


def test_a_wrong_field_is_explained_in_chinese_by_its_help() -> None:
    account = ProviderAccount(name="one", kind="aliyun", settings={**FORM, "countries": ["CN"]})
    (error,) = ACCOUNTS.validate(OWN, (account,), "one")
    assert (error["type"], error["loc"]) == ("wrong", ("settings", "countries"))
    assert error["ctx"]["zh"].startswith("模板获准发往哪些国家或地区")
    assert error["ctx"]["en"].startswith("holds CN, which begins no number")


def test_what_the_page_adds_comes_behind_an_order_of_the_settings() -> None:
    """It would not be used at all."""
    twilio = ProviderAccount(name="abroad", kind="twilio", settings=TWILIO)
    for order in ("old", ("old",)):
        merged = ACCOUNTS.merge({**OWN, "providers": order}, (make(numbers="+86"), twilio))
        assert ACCOUNTS.model.model_validate(merged).order == ("old", "one", "abroad")
    assert ACCOUNTS.model.model_validate(ACCOUNTS.merge(OWN, (make(), twilio))).order == ("old", "one", "abroad")


def test_every_kind_describes_its_conditions() -> None:
    for kind in ACCOUNTS.kinds:
        described = [field.name for field in kind.describe("https://sms.example.com").fields if field.route]
        assert described == ["numbers", "templates", "categories"], kind.kind
