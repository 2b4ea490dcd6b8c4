"""An account that auth added reaches no internal address, unless a setting of this machine names it."""

from collections.abc import Mapping
from typing import Any

import pytest

import imsg_sms.main
import imsg_smtp.main
import imsg_wechat.main
import imsg_wecom.main
from imsg_contract.provider_accounts import ProviderAccount, ProviderTrouble
from imsg_delivery.provider_kinds import AccountSettings
from imsg_testing.http_stub import HttpStub, reply
from imsg_testing.servers import reserve_port

METADATA = "https://169.254.169.254"

PAGE = f"<html><script>alert(1)</script><p>{'of the inside ' * 100}"

WORDS = ("msg", "errorMsg", "errmsg", "error", "error_description")

CHANNELS: Mapping[str, AccountSettings[Any]] = {
    "sms": imsg_sms.main.ACCOUNTS,
    "wechat": imsg_wechat.main.ACCOUNTS,
    "wecom": imsg_wecom.main.ACCOUNTS,
    "smtp": imsg_smtp.main.ACCOUNTS,
}


def describe(kind: str, url: str) -> tuple[str, ProviderAccount]:
    """Return the channel of an account, and the account, whose calls lead to a URL."""
    method, settings = {
        "chuanglan": ("sms", {"account": "N1", "password": "p", "url": f"{url}/msg/v1/send/json"}),
        "aliyun": (
            "sms",
            {"access_key_id": "L", "access_key_secret": "s", "sign_name": "天存", "template": "S", "endpoint": url},
        ),
        "wechat": (
            "wechat",
            {"appid": "wx1", "secret": "s", "token": "t", "template": "T", "endpoint": url},
        ),
        "robot": ("wecom", {"key": "693a91f6", "endpoint": url}),
        "smtp": (
            "smtp",
            {
                "host": "127.0.0.1",
                "port": reserve_port(),
                "security": "none",
                "sender": "a@example.com",
                "username": "a@example.com",
                "auth": "oauth2",
                "preset": "other",
                "client_id": "c",
                "client_secret": "s",
                "token_url": url,
            },
        ),
    }[kind]
    return method, ProviderAccount(name="added", kind=kind, settings=settings)


async def check(
    kind: str, url: str, networks: tuple[str, ...] = (), own: Mapping[str, Any] | None = None
) -> ProviderTrouble | None:
    """Check an account as `POST /providers/check` does; return what is wrong."""
    method, account = describe(kind, url)
    channel = CHANNELS[method]
    troubles = await channel.check(channel.build(own or {channel.table: {}}, [account], networks), "added")
    return troubles[0] if troubles else None


def is_forbidden(trouble: ProviderTrouble | None) -> bool:
    """Tell whether the address was not called."""
    return trouble is not None and trouble.code == "forbidden_address"


@pytest.mark.parametrize("kind", ["chuanglan", "aliyun", "wechat", "robot", "smtp"])
async def test_an_added_account_calls_an_internal_address_only_where_a_setting_names_it(kind: str) -> None:
    stub = HttpStub(lambda _: reply({"secret": "of the inside"}, 404))
    async with stub.running():
        assert is_forbidden(await check(kind, stub.url))
        assert is_forbidden(await check(kind, stub.url.replace("127.0.0.1", "localhost")))
        assert is_forbidden(await check(kind, METADATA, ("0.0.0.0/0",)))
        assert not stub.asked
        assert not is_forbidden(await check(kind, stub.url, ("127.0.0.0/8",)))
    assert stub.asked


@pytest.mark.parametrize("kind", ["chuanglan", "aliyun", "wechat", "robot", "smtp"])
@pytest.mark.parametrize("answer", [reply(PAGE, 404), reply(dict.fromkeys(WORDS, PAGE) | {"errcode": 93_000})])
async def test_what_a_stranger_answers_is_shown_short_and_without_markup(kind: str, answer: bytes) -> None:
    stub = HttpStub(lambda _: answer)
    async with stub.running():
        trouble = await check(kind, stub.url, ("127.0.0.0/8",))
    assert stub.asked
    assert trouble is not None
    assert "<" not in trouble.zh + trouble.en
    assert max(len(trouble.zh), len(trouble.en)) < 400


async def test_an_address_that_the_settings_name_for_their_own_account_may_be_called() -> None:
    stub = HttpStub(lambda _: reply({}, 404))
    async with stub.running():
        _, own = describe("robot", f"{stub.url}/ours")
        assert not is_forbidden(await check("robot", stub.url, own={"robots": {"ours": own.settings}}))
    assert stub.asked


async def test_a_mail_server_may_be_inside_but_not_where_a_cloud_gives_out_credentials() -> None:
    channel = CHANNELS["smtp"]

    async def try_host(host: str, port: int) -> str | None:
        settings = {"host": host, "port": port, "security": "none", "sender": "a@example.com"}
        group = channel.build({"servers": {}}, [ProviderAccount(name="added", kind="smtp", settings=settings)], ())
        troubles = await channel.check(group, "added")
        return troubles[0].code if troubles else None

    for host in ("169.254.169.254", "100.100.100.200", "::ffff:169.254.169.254", "2852039166"):
        assert await try_host(host, 25) == "forbidden_address"
    assert await try_host("127.0.0.1", reserve_port()) == "unreachable"
