"""The descriptions that come with iMSG are kinds of accounts: their forms, what becomes of them, and their checks."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from imsg_contract.provider_accounts import ProviderAccount
from imsg_sms.accounts import DESCRIBED_KINDS, expand
from imsg_sms.http_settings import Http, list_descriptions, read_description
from imsg_sms.main import ACCOUNTS, check_account
from imsg_sms.settings import Sms
from imsg_testing.http_stub import reply
from imsg_testing.sms import Provider

FILLED: dict[str, dict[str, str]] = {
    "chuanglan": {"account": "N1", "password": "p&w", "signature": "【天存】", "hook_secret": "h" * 32},
    "luosimao": {"key": "k", "suffix": "【天存】"},
    "mas": {"ec_name": "天存", "ap_id": "app", "secret_key": "s", "sign": "sig", "url": "https://mas.example.com/sms"},
    "smsbao": {"user": "zhang", "password": "secret", "signature": "【天存】"},
    "yunpian": {"key": "k", "signature": "【天存】", "hook_secret": "h" * 32},
}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """Run a provider whose answers a test sets."""
    provider = Provider()
    async with provider.running():
        yield provider


def add(kind: str, **more: str) -> Sms:
    """Return the settings with one account of the page, called `one`."""
    account = ProviderAccount(name="one", kind=kind, settings={**FILLED[kind], **more})
    return ACCOUNTS.model.model_validate(ACCOUNTS.merge({}, (account,)))


@pytest.mark.parametrize("name", list_descriptions())
def test_the_form_asks_for_what_the_description_needs(name: str) -> None:
    """So that a provider is added by its file alone."""
    needs, form = set(read_description(name)["needs"]), set(DESCRIBED_KINDS[name].model.model_fields)
    assert needs <= form
    assert not needs & set(Http.model_fields)
    assert form - needs <= set(Http.model_fields)
    described = DESCRIBED_KINDS[name].describe("https://sms.example.com")
    assert {field.name for field in described.fields if field.required} == needs
    assert all(field.help.zh and field.help.en for field in described.fields)
    assert bool(described.setup) == ("hook_secret" in form)


@pytest.mark.parametrize("name", list_descriptions())
def test_an_account_of_the_page_is_what_the_settings_would_have(name: str) -> None:
    account = ProviderAccount(name="one", kind=name, settings=FILLED[name])
    assert ACCOUNTS.validate({}, (account,), "one") == ()
    needs = read_description(name)["needs"]
    own = {field: value for field, value in FILLED[name].items() if field not in needs}
    secrets = {field: FILLED[name][field] for field in needs}
    assert add(name).accounts["one"] == Http.model_validate({**own, "use": name, "secrets": secrets})
    assert Http.model_validate(expand(account)).use == name, "late receipts are read by it too"


def test_what_is_missing_or_not_asked_for_is_refused_by_its_field() -> None:
    def list_places(**settings: str) -> list[tuple[Any, ...]]:
        account = ProviderAccount(name="one", kind="chuanglan", settings=settings)
        return [error["loc"] for error in ACCOUNTS.validate({}, (account,), "one")]

    assert list_places(account="N1") == [("settings", "password")]
    assert list_places(account="N1", password="") == [("settings", "password")]
    assert list_places(account="N1", password="p", url="ftp://here") == [("settings", "url")]
    assert list_places(account="N1", password="p", body="{text}") == [("settings",)]


def test_an_account_of_the_settings_is_shown_as_its_firm_and_hides_its_secrets() -> None:
    account = {"kind": "http", "use": "smsbao", "secrets": {"user": "zhang", "password": "p"}, "signature": "【天存】"}
    own = {"kind": "http", "url": "https://sms.example.com/?key=secret&m={number}", "success": "status=200"}
    shown = ACCOUNTS.show(Sms.model_validate({"accounts": {"bao": account, "own": own}}), is_simulated=False)
    assert [(account.name, account.kind, account.settings) for account in shown] == [
        ("bao", "smsbao", {"password": {"set": True}, "signature": "【天存】"})
    ]


TEXT = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"


@pytest.mark.parametrize(
    ("kind", "answer", "found"),
    [
        ("chuanglan", reply({"code": "0", "balance": "100", "errorMsg": ""}), None),
        ("chuanglan", reply({"code": "0", "balance": "0", "errorMsg": ""}), "balance"),
        ("chuanglan", reply({"code": "102", "errorMsg": "密码错误"}), "secret"),
        ("chuanglan", reply({"code": "117", "errorMsg": "IP 地址错误"}), "address"),
        ("luosimao", reply({"error": 0, "deposit": "88"}), None),
        ("luosimao", reply({"error": -10, "msg": "AUTH_FAIL"}), "secret"),
        ("smsbao", TEXT % (7, b"0\n12,88"), None),
        ("smsbao", TEXT % (6, b"0\n12,0"), "balance"),
        ("smsbao", TEXT % (1, b"0"), None),
        ("smsbao", TEXT % (2, b"30"), "secret"),
        ("smsbao", TEXT % (2, b"40"), "key_id"),
        ("yunpian", reply({"nick": "天存", "balance": 12.5}), None),
        ("yunpian", reply({"code": -1, "msg": "非法的apikey"}, 400), "secret"),
        ("yunpian", reply({"code": -11, "msg": "功能未开通"}, 400), "refused"),
    ],
)
async def test_a_firm_is_asked_without_sending(provider: Provider, kind: str, answer: bytes, found: str | None) -> None:
    """At the host that it sends by, so that nothing of a stand-in reaches the real one."""
    provider.always = answer
    there = read_description(kind)["url"].partition("://")[2].partition("/")[2]
    sms = add(kind)
    moved = sms.accounts["one"].model_copy(update={"url": f"{provider.url}{there}"})
    troubles = await check_account(sms.model_copy(update={"accounts": {"one": moved}}), "one")
    assert [trouble.code for trouble in troubles] == ([] if found is None else [found])
    (asked,) = provider.asked
    assert asked["path"].partition("?")[0] != "/" + there.partition("?")[0], "the call that sends"


async def test_a_firm_without_such_a_call_is_left_alone(provider: Provider) -> None:
    assert await check_account(add("mas", url=provider.url), "one") == ()
    assert provider.asked == []
