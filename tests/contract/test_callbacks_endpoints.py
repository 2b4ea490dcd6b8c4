"""The pending deliveries of an endpoint, and when it is disabled."""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from imsg_callbacks.endpoint_sender import LEASE_MS
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.schedule import DISABLED_AFTER, EndpointReply
from imsg_callbacks.tables import log, recoveries
from imsg_callbacks.vault import Unreadable, Vault
from imsg_testing.callbacks import KEY, OTHER, USER, Bench, event
from imsg_testing.databases import on_both_databases

NEWER = SecretStr("the next secret key of these tests, long enough")


@on_both_databases
async def test_an_endpoint_gets_the_events_of_its_user_that_it_subscribed_to(bench: Bench) -> None:
    await bench.add("mail", methods=("smtp",))
    await bench.add("sms", methods=("sms",))
    await bench.add("another", user_id=OTHER)

    await bench.append(event("evt_1"), event("evt_2", kind="message.failed"), event("evt_3", method="sms"))

    assert [await bench.try_all(name, EndpointReply(200)) for name in ("mail", "sms", "another")] == [1, 1, 0]


@on_both_databases
async def test_what_was_taken_by_one_that_died_is_taken_again_once_its_lease_ends(bench: Bench) -> None:
    await bench.add("a")
    await bench.append(event("evt_1"))

    assert len(await bench.deliveries.lease("a", 10, LEASE_MS)) == 1
    assert await bench.deliveries.lease("a", 10, LEASE_MS) == []
    assert await bench.deliveries.find_due() == {}
    bench.now += LEASE_MS

    assert await bench.deliveries.find_due() == {"a": 0}
    (again,) = await bench.deliveries.lease("a", 10, LEASE_MS)
    assert again.event == "evt_1"


@on_both_databases
async def test_gone_disables_at_once_and_the_owner_is_notified(bench: Bench) -> None:
    await bench.add("gone")
    await bench.add("other")
    await bench.append(event("evt_1"), event("evt_2"))

    await bench.try_all("gone", EndpointReply(410, "HTTP 410"))

    (gone, other) = await bench.endpoints.list_of_user(USER)
    assert (gone.state, gone.disabled_why, other.state) == ("disabled", "gone", "new")
    body = json.loads((await bench.reader.read(USER, None, 0, 100)).bodies[-1])
    assert (body["type"], body["data"]["callback"], body["data"]["why"]) == ("callback.disabled", "gone", "gone")
    assert await bench.try_all("other", EndpointReply(200)) == 3
    assert await bench.deliveries.find_due() == {}


@on_both_databases
async def test_five_days_of_nothing_but_failures_disable_and_one_success_begins_anew(bench: Bench) -> None:
    await bench.add("a")
    await bench.append(event("evt_1"))
    days = DISABLED_AFTER // timedelta(milliseconds=1)
    for wait, answer in (
        (0, EndpointReply(500)),
        (days - 1, EndpointReply(200)),
        (0, EndpointReply(None, "no answer")),
        (days - 1, EndpointReply(500)),
    ):
        bench.now += wait
        await bench.deliveries.resend("a", "evt_1")
        await bench.try_all("a", answer)
    assert (await bench.endpoints.find("a", USER)).state == "failing"

    bench.now += 1
    await bench.deliveries.resend("a", "evt_1")
    await bench.try_all("a", EndpointReply(500))

    assert (await bench.endpoints.find("a", USER)).disabled_why == "failing"


@on_both_databases
async def test_a_recovery_sends_what_did_not_arrive_each_once(bench: Bench) -> None:
    await bench.add("a")
    await bench.append(event("evt_old"))
    await bench.try_all("a", EndpointReply(500))
    since = bench.now = bench.now + 60_000
    await bench.append(event("evt_arrived"))
    await bench.try_all("a", EndpointReply(200))
    await bench.append(event("evt_failed"), event("evt_unwanted", kind="message.failed"))
    await bench.try_all("a", EndpointReply(500))
    await bench.endpoints.change("a", USER, {"disabled_at": bench.now, "disabled_why": "owner"})
    await bench.append(event("evt_missed"))
    await bench.endpoints.change("a", USER, {"disabled_at": None, "disabled_why": None})

    async with bench.database.writing() as connection:
        first = await connection.scalar(select(func.min(log.c.number)).where(log.c.kept_at >= since))
        row = {"id": "r", "endpoint": "a", "position": (first or 0) - 1, "until": bench.now + 1}
        await connection.execute(recoveries.insert().values(row))
    while await bench.maintenance.recover():
        pass

    taken = await bench.deliveries.lease("a", 10, LEASE_MS)
    assert [delivery.event for delivery in taken] == ["evt_failed", "evt_missed"]


async def test_a_change_of_keys_keeps_every_secret(bench: Bench) -> None:
    await bench.add("a")
    clock: Callable[[], int] = lambda: bench.now  # noqa: E731
    with pytest.raises(Unreadable):
        await Endpoints(bench.database, Vault([NEWER]), clock).reseal()

    assert await Endpoints(bench.database, Vault([NEWER, KEY]), clock).reseal() == 1

    alone = Endpoints(bench.database, Vault([NEWER]), clock)
    assert await alone.reseal() == 0
    assert alone.valid_secrets(await alone.find("a", USER)) == ["whsec_c2VjcmV0"]
