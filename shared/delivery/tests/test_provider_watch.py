"""What is wrong with an account stays known: over a restart, beside other senders, and until it is mended."""

import json
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from pydantic import BaseModel, SecretStr

from imsg_contract.provider_accounts import AccountState, ProviderTrouble
from imsg_contract.topology import attention_key, providers_key
from imsg_delivery.provider_kinds import AccountSettings, ProviderGroup
from imsg_delivery.provider_watch import AGAIN_AFTER_S, LOOK_AFTER_S, ProviderWatch
from imsg_runtime.redis import Redis, connect

KEY = SecretStr(secrets.token_hex(32))
LOGIN = ProviderTrouble(code="login", zh="密码错误", en="wrong password")
EMPTY = ProviderTrouble(code="balance", zh="余额不足", en="it has no balance")
AWAY = ProviderTrouble(code="unreachable", zh="无法连接", en="it can't be reached")


class Account(BaseModel):
    """An account."""

    password: SecretStr


class Group(ProviderGroup):
    """The accounts of a channel."""

    accounts: dict[str, Account]


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[Redis]:
    """Connect to a database of Valkey of this file's own."""
    async with connect(valkey_url.removesuffix("/0") + "/9") as redis:
        await redis.call("FLUSHDB")
        yield redis


class Provider:
    """A provider that finds fault with accounts, and counts how often it was called for each."""

    def __init__(self, redis: Redis, **passwords: str) -> None:
        self.redis = redis
        self.passwords = passwords
        self.faults: dict[str, Sequence[ProviderTrouble]] = {}
        self.calls: list[str] = []
        self.now = 1_000_000.0

    def start(self) -> ProviderWatch:
        """Start a sender."""

        async def check(_: Group, name: str) -> Sequence[ProviderTrouble]:
            self.calls.append(name)
            return self.faults.get(name, ())

        def list_accounts(group: Group) -> Mapping[str, tuple[str, BaseModel]]:
            return {name: ("cloud", account) for name, account in group.accounts.items()}

        def find_group() -> Group:
            return Group(
                accounts={name: Account(password=SecretStr(password)) for name, password in self.passwords.items()}
            )

        def explain(answer: str) -> ProviderTrouble | None:
            return EMPTY if answer.startswith("NO_MONEY") else None

        accounts = AccountSettings(Group, "accounts", (), list_accounts, check, explain=explain)
        return ProviderWatch(self.redis, "sms", KEY, accounts, find_group, lambda: self.now)

    async def report(self, name: str, *codes: str, sent: int = 0, concerns: str = "account") -> None:
        """Report as a sender does: the codes of an account's blocks, and how many messages went."""
        blocks = [{"concerns": concerns, "what": name, "code": code, "detail": "余额不足"} for code in codes]
        (now_s, _) = await self.redis.call("TIME")
        report = {"providers": [{"name": name, "blocks": blocks, "sent": sent}]}
        await self.redis.call("DEL", providers_key("sms"))
        # Far ahead, so that it is fresh however slow the test is.
        await self.redis.call("HSET", providers_key("sms"), f"{int(now_s) + 600} another", json.dumps(report))

    async def read(self) -> dict[str, list[tuple[str, float]]]:
        """Return what is known: account → code and since when."""
        read = await self.redis.call("HGETALL", attention_key("sms"))
        states = {name.decode(): AccountState.model_validate_json(text) for name, text in read.items()}
        return {
            name: [(found.trouble.code, found.since.timestamp()) for found in state.found]
            for name, state in states.items()
        }


async def test_a_restarted_sender_and_a_second_one_know_what_was_found(redis: Redis) -> None:
    provider = Provider(redis, main="one", spare="two")
    provider.faults["main"] = (LOGIN,)
    first = provider.start()
    await first.check_due()
    found = {"main": [("login", 1_000_000.0)], "spare": []}
    assert await provider.read() == found

    provider.now += 60
    second = provider.start()
    await second.check_due()
    await first.check_due()
    assert (await provider.read(), provider.calls) == (found, ["main", "spare"])

    provider.now += LOOK_AFTER_S
    await second.check_due()
    await first.check_due()
    assert (await provider.read(), provider.calls) == (found, ["main", "spare"] * 2)


async def test_a_changed_account_is_looked_at_at_once_and_a_removed_one_forgotten(redis: Redis) -> None:
    provider = Provider(redis, main="one", spare="two")
    provider.faults["main"] = (LOGIN,)
    watch = provider.start()
    await watch.check_due()
    provider.faults.clear()
    provider.passwords["main"] = "mended"
    await watch.check_due()
    assert (await provider.read(), provider.calls) == ({"main": [], "spare": []}, ["main", "spare", "main"])
    assert all(b"mended" not in text for text in await redis.call("HVALS", attention_key("sms")))
    del provider.passwords["main"]
    await watch.check_due()
    assert await provider.read() == {"spare": []}


async def test_an_unreachable_account_is_reported_at_the_second_check_and_checked_again_soon(redis: Redis) -> None:
    provider = Provider(redis, main="one")
    provider.faults["main"] = (AWAY,)
    watch = provider.start()
    await watch.check_due()
    assert await provider.read() == {}
    await watch.check_due()
    assert await provider.read() == {"main": [("unreachable", 1_000_000.0)]}
    provider.faults.clear()
    provider.now += AGAIN_AFTER_S
    await watch.check_due()
    assert await provider.read() == {"main": []}


async def test_a_flushed_redis_is_filled_again(redis: Redis) -> None:
    provider = Provider(redis, main="one")
    provider.faults["main"] = (LOGIN,)
    watch = provider.start()
    await watch.check_due()
    await redis.call("FLUSHDB")
    await watch.check_due()
    assert await provider.read() == {"main": [("login", 1_000_000.0)]}


async def test_a_fault_found_by_refused_sends_is_reported_until_a_message_is_sent_again(redis: Redis) -> None:
    """The provider says nothing of it when it is asked."""
    provider = Provider(redis, main="one")
    first, second = provider.start(), provider.start()
    await first.check_due()
    await provider.report("main", "UNHEARD_OF", sent=5)
    await first.check_due()
    await provider.report("main", "NO_MONEY", sent=5, concerns="recipient")
    await first.check_due()
    assert await provider.read() == {"main": []}

    await provider.report("main", "NO_MONEY", sent=5)
    await first.check_due()
    await second.check_due()
    found = {"main": [("balance", 1_000_000.0)]}
    assert (await provider.read(), provider.calls) == (found, ["main"] * 2)
    await provider.report("main", sent=5)  # nothing waits any more, and nothing was sent
    await first.check_due()
    await second.check_due()
    assert await provider.read() == found
    await provider.report("main", sent=6)
    await second.check_due()
    assert (await provider.read(), provider.calls) == ({"main": []}, ["main"] * 3)


async def test_what_was_refused_before_an_account_was_changed_is_not_held_against_it(redis: Redis) -> None:
    provider = Provider(redis, main="one")
    watch = provider.start()
    await watch.check_due()
    await provider.report("main", "NO_MONEY")
    provider.passwords["main"] = "another"
    await watch.check_due()
    assert await provider.read() == {"main": []}


async def test_a_fault_the_provider_reports_goes_before_one_found_by_refused_sends(redis: Redis) -> None:
    provider = Provider(redis, main="one")
    provider.faults["main"] = (LOGIN,)
    watch = provider.start()
    await watch.check_due()
    await provider.report("main", "NO_MONEY")
    await watch.check_due()
    assert (await provider.read(), provider.calls) == ({"main": [("login", 1_000_000.0)]}, ["main"])
