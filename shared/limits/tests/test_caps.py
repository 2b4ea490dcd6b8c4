"""Caps on a real Valkey: rolling periods, one count a message, by one user and by all, exact however many at once."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from imsg_contract.ids import new_id
from imsg_contract.topology import CAPS, Lane
from imsg_contract.wire import Category, Job
from imsg_limits.caps import CapRow, Caps, decode_caps, encode_caps
from imsg_limits.quota import Capped, Charged, Cost, Quota
from imsg_runtime import redis
from imsg_runtime.redis import Redis
from imsg_testing.quota import ID, QUIET, cache_user

CODE, NOTICE = Category.CODE, Category.NOTICE
ROWS = (
    CapRow("minute", "sms", CODE, "user", "minute", 1),
    CapRow("hour", "sms", CODE, "user", "hour", 3),
    CapRow("all", "sms", CODE, "all", "day", 4),
    CapRow("whatever", "sms", None, "all", "day", 6),
)
BANK, SHOP = "1" * 32, "2" * 32


def make_job(user: str = BANK, category: Category = CODE, request: str = "", method: str = "sms") -> Job:
    """Make a job of a user's; its recipients do not matter."""
    now = datetime.now(UTC)
    return Job(
        request=request or new_id(), username="bank", user_id=user, method=method, lane=Lane.NORMAL, content="x",
        recipients=(), accepted_at=now, expires_at=now, category=category,
    )  # fmt: skip


class Trial:
    """Caps whose clock the test sets, and unused numbers."""

    def __init__(self, server: Redis) -> None:
        self.redis = server
        self._clock = f"clock:{secrets.token_hex(4)}"
        clock = f"tonumber(redis.call('GET', '{self._clock}'))"
        self.caps = Caps(server, str, clock=clock)
        self.number = f"+86{secrets.randbelow(10**11):011}"

    async def at(self, seconds: float) -> None:
        """Set the clock."""
        await self.redis.call("SET", self._clock, 1_900_000_000 + seconds)

    async def send(self, user: str = BANK, category: Category = CODE, request: str = "") -> str:
        """Count one message; return the cap that is reached, or nothing."""
        reached = await self.caps.count(make_job(user, category, request), {0: self.number})
        return reached[0].id if reached else ""


@pytest.fixture
async def trial(valkey_url: str) -> AsyncIterator[Trial]:
    async with redis.connect(valkey_url) as server:
        await server.call("SET", CAPS, encode_caps(ROWS))
        trial = Trial(server)
        await trial.at(0)
        yield trial


def test_what_a_later_version_has_added_is_passed_over() -> None:
    assert decode_caps(encode_caps(ROWS).replace("\n", " newer\n").encode()) == tuple(ROWS)


async def test_periods_roll(trial: Trial) -> None:
    """What a clock's minute or hour would let through at its turn stays refused until the first message is so old."""
    sent = {}
    for at in (0, 59.9, 60, 119.9, 120, 180, 3_599.9, 3_600, 86_399.9, 86_400):
        await trial.at(at)
        sent[at] = await trial.send()
    assert sent == {
        0: "", 59.9: "minute", 60: "", 119.9: "minute", 120: "", 180: "hour", 3_599.9: "hour",
        3_600: "", 86_399.9: "all", 86_400: "",
    }  # fmt: skip


async def test_a_message_counts_once_however_often_it_is_tried(trial: Trial) -> None:
    first, second = new_id(), new_id()
    assert [await trial.send(request=first) for _ in range(3)] == ["", "", ""]
    assert await trial.send() == "minute"
    await trial.at(61)
    assert [await trial.send(request=first), await trial.send(request=second)] == ["", ""]


async def test_one_system_exhausts_its_own_share_and_another_reaches_the_number(trial: Trial) -> None:
    for at in range(0, 6_000, 60):
        await trial.at(at)
        await trial.send(SHOP)
        if at == 180:
            assert await trial.send(SHOP) == "hour"
            assert await trial.send(BANK) == ""
    # What was refused took nothing of what all share.
    await trial.at(6_000)
    assert await trial.send(BANK) == "all"
    assert await trial.send(BANK, NOTICE) == ""


async def test_a_row_without_category_counts_all_of_them(trial: Trial) -> None:
    assert [await trial.send(category=NOTICE) for _ in range(7)] == [""] * 6 + ["whatever"]
    assert await trial.send() == "whatever"


async def test_of_fifty_at_once_over_two_connections_one_passes(trial: Trial, valkey_url: str) -> None:
    async with redis.connect(valkey_url) as second:
        senders = [Caps(trial.redis, str), Caps(second, str)]
        counts = [senders[n % 2].count(make_job(), {0: trial.number}) for n in range(50)]
        reached = await asyncio.gather(*counts)
    assert sum(not capped for capped in reached) == 1


async def test_a_charge_looks_and_counts_nothing(trial: Trial) -> None:
    """Neither the address is counted by the charge, nor the request where a cap is reached."""
    name = f"caps {secrets.token_hex(4)}"
    await cache_user(trial.redis, name)
    quota = Quota(trial.redis, QUIET)
    caps = Caps(trial.redis, str)

    async def charge() -> object:
        cap = await caps.prepare("sms", CODE, ID, trial.number)
        assert cap is not None
        return await quota.charge(name, "nonce", 1, ID, Cost(1, kind="code", method="sms", cap=cap))

    assert [type(await charge()) for _ in range(3)] == [Charged] * 3
    await caps.count(make_job(ID), {0: trial.number})
    capped = await charge()
    assert isinstance(capped, Capped)
    assert capped.row.id == "minute"
    assert 0 < capped.opens_in_s <= 60
    assert (await quota.read_used(name, ID)).hour == 3


async def test_without_rows_for_a_method_nothing_is_kept(trial: Trial) -> None:
    assert await trial.caps.count(make_job(method="smtp"), {0: "a@example.com"}) == {}
    assert await trial.redis.call("EXISTS", "imsg:capped:smtp:a@example.com") == 0
