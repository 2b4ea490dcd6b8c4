"""Events are recorded, read and erased: none is skipped or doubled."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import func, select

from imsg_callbacks.channel_watch import FORGET_AFTER_MS, ChannelWatch
from imsg_callbacks.endpoint_sender import LEASE_MS
from imsg_callbacks.event_log import append
from imsg_callbacks.event_reader import MAX_WAITING_READS
from imsg_callbacks.listeners import READER_EXPIRES_AFTER_MS
from imsg_callbacks.maintenance import EVENT_RETENTION
from imsg_callbacks.matching import READER
from imsg_callbacks.migrations import MIGRATIONS
from imsg_callbacks.records import Attempt
from imsg_callbacks.schedule import EndpointReply
from imsg_callbacks.tables import deliveries, listeners, metadata
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import AccountState, Attention, ProviderTrouble
from imsg_contract.topology import ERASED, attention_key, channel_key
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.migrate import migrate
from imsg_people.tombstones import Tombstone, Tombstones
from imsg_runtime.watermark import OUT_OF_ORDER_MS, QUIET_MS
from imsg_testing.callbacks import ERASURE, OPTIONS, OTHER, START_MS, USER, Bench, event
from imsg_testing.databases import on_both_databases, open_database
from imsg_testing.waiting import eventually


@on_both_databases
def test_the_steps_make_the_tables_as_they_are_described(database_url: str) -> None:
    migrate(read_url(database_url), MIGRATIONS)
    with open_database(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        changes = compare_metadata(context, metadata)
    assert [change for change in changes if "callbacks_version" not in str(change)] == []


@on_both_databases
async def test_a_cursor_skips_nothing_while_several_append(bench: Bench, database_url: str) -> None:
    """As recorders and replicas do: each in transactions of its own, some long, all at once."""
    told, read = 0, list[str]()

    async def write(name: str, database: Database) -> None:
        nonlocal told
        for number in range(12):
            async with database.writing() as connection:
                await append(connection, [event(f"evt_{name}_{number}")], START_MS)
                await asyncio.sleep(0.002 * (number % 3))
            told += 1

    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(connect(read_url(database_url), OPTIONS)) for _ in range(3)]
        working = asyncio.gather(*(write(str(at), writer) for at, writer in enumerate(writers)))
        cursor: str | None = None
        while not working.done() or len(read) < told:
            found, cursor = await bench.read(cursor)
            read += found
            await asyncio.sleep(0.001)
        await working

    assert len(read) == 36
    assert len(set(read)) == 36


async def test_a_reader_waits_and_gets_their_own_alone_and_an_empty_answer_leads_on(bench: Bench) -> None:
    await bench.append(event("evt_1"), event("evt_2", OTHER))
    found, cursor = await bench.read()
    assert found == ["evt_1"]

    waiting = asyncio.create_task(bench.read(cursor, wait_s=60))
    await asyncio.sleep(0)
    await bench.append(event("evt_3", OTHER))
    await bench.append(event("evt_4"))

    found, cursor = await waiting
    assert found == ["evt_4"]
    assert await bench.read(cursor) == ([], cursor)
    with pytest.raises(Refusal, match="wrong_type"):
        await bench.read("made up")


async def test_who_waits_is_woken_by_their_own_events_and_does_not_wait_too_often(bench: Bench) -> None:
    _, cursor = await bench.read()
    waiting = [asyncio.create_task(bench.read(cursor, wait_s=60)) for _ in range(MAX_WAITING_READS)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(60):
        assert (await bench.read(cursor, wait_s=60))[0] == [], "one more is answered soon"
        another = asyncio.create_task(bench.read(cursor, wait_s=60, user=OTHER))

    async def have_all_read() -> bool:
        return {user: len(appended._waiters) for user, appended in bench.reader._appended.items()} == {
            USER: MAX_WAITING_READS,
            OTHER: 1,
        }

    await eventually(have_all_read)
    async with bench.database.writing() as connection:
        await append(connection, [event("evt_1")], bench.now)
    bench.reader.wake([OTHER])
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in (*waiting, another)), "there is nothing of OTHER's, and nobody told USER"
    bench.reader.wake([USER])
    async with asyncio.timeout(60):
        assert [found for found, _ in await asyncio.gather(*waiting)] == [["evt_1"]] * MAX_WAITING_READS
    await bench.append(event("evt_2", OTHER))
    async with asyncio.timeout(60):
        assert (await another)[0] == ["evt_2"]
        assert (await bench.read(cursor, wait_s=60))[0] == ["evt_1"]


@on_both_databases
async def test_an_event_published_twice_is_one(bench: Bench) -> None:
    await bench.add("a")
    await bench.append(event("evt_1"))
    await bench.append(event("evt_1"), event("evt_2"))

    assert (await bench.read())[0] == ["evt_1", "evt_2"]
    assert await bench.try_all("a", EndpointReply(200)) == 2
    assert await bench.try_all("a", EndpointReply(200)) == 0


@on_both_databases
async def test_what_is_past_its_time_goes_and_a_cursor_from_before_has_expired(bench: Bench) -> None:
    await bench.add("a")
    await bench.append(event("evt_1"))
    _, before = await bench.read()
    await bench.append(event("evt_2"))
    bench.now += EVENT_RETENTION // timedelta(milliseconds=1) + 1
    await bench.maintenance.remove_old()
    await bench.append(event("evt_3"))

    with pytest.raises(Refusal, match="cursor_expired"):
        await bench.read(before)
    assert (await bench.read())[0] == ["evt_3"]
    async with bench.database.reading() as connection:
        assert await connection.scalar(select(func.count()).select_from(deliveries)) == 1


async def erase(bench: Bench, address: str) -> None:
    """Publish the tombstone of an address, as history does."""
    at = datetime.fromtimestamp(bench.now / 1_000, UTC)
    await Tombstones(bench.redis, ERASURE).write([Tombstone(f"erasure {bench.now}", ERASURE.of(address), at)])


@on_both_databases
async def test_who_is_erased_stands_in_no_event_any_more(bench: Bench) -> None:
    await bench.add("a")
    of_li, of_wang = (event(f"evt_{who}", digests=ERASURE.all_of(f"{who}@a.cn")) for who in ("li", "wang"))
    await bench.append(of_li, of_wang)
    await bench.try_all("a", EndpointReply(500, "HTTP 500", "li@a.cn is unknown here"))
    bench.now += 5
    await erase(bench, "LI@a.cn")

    await bench.erasure.erase_recorded()

    bodies = [json.loads(body) for body in (await bench.reader.read(USER, None, 0, 10)).bodies]
    assert [body["data"]["to"] for body in bodies] == [None, "li@a.cn"]  # the second names another person
    shown, _ = await bench.deliveries.list_page("a", None, 10, None)
    assert [delivery["answer"] for delivery in shown if delivery["event"] == "evt_li"] == [None]


async def test_who_is_erased_stands_in_no_event_of_others_of_their_request_and_cannot_be_sent_again(
    bench: Bench,
) -> None:
    await bench.add("a", events=("message.sent", "request.settled"))
    request = f"{START_MS:012x}" + "7" * 20
    told: dict[str, Any] = {
        "request": request,
        "to": "wang@a.cn",
        "reference": "order-for-li@a.cn",
        "provider_id": "Q1",
    }
    named = bench.erasure.find_named(told)
    mine = event("evt_wang", data=told, digests=ERASURE.all_of("wang@a.cn"), named=named)
    settled = event("evt_all", kind="request.settled", data=told, named=named)
    await bench.append(mine)
    taken = await bench.deliveries.lease("a", 10, LEASE_MS)
    bench.now += 5
    await erase(bench, "li@a.cn")

    await bench.erasure.erase_recorded()
    bench.now += 60_000  # a late event is of a request that was accepted before
    await bench.append(*await bench.erasure.redact_arriving([(settled, bench.now)]))
    answer = EndpointReply(500, "HTTP 500", "no such customer: li@a.cn")
    await bench.deliveries.settle([Attempt("a", delivery.number, answer, bench.now, None) for delivery in taken])

    shown, _ = await bench.deliveries.list_page("a", None, 10, None)
    assert "li@a.cn" not in json.dumps(shown)
    bodies = [json.loads(body)["data"] for body in (await bench.reader.read(USER, None, 0, 9)).bodies]
    assert [(body["to"], body["reference"], body["provider_id"]) for body in bodies] == [("wang@a.cn", None, "Q1")] * 2
    bench.now += 5
    await erase(bench, "wang@a.cn")
    await bench.erasure.erase_recorded()
    assert "wang@a.cn" not in "".join((await bench.reader.read(USER, None, 0, 1)).bodies)


async def test_who_is_erased_again_is_forgotten_again(bench: Bench) -> None:
    await erase(bench, "li@a.cn")
    await bench.erasure.erase_recorded()
    bench.now += 60_000
    await bench.append(event("evt_1", digests=ERASURE.all_of("li@a.cn")))
    await bench.erasure.erase_recorded()
    assert [json.loads(body)["data"]["to"] for body in (await bench.reader.read(USER, None, 0, 9)).bodies] == [
        "li@a.cn"
    ]

    bench.now += 5
    await erase(bench, "li@a.cn")
    await bench.erasure.erase_recorded()

    assert [json.loads(body)["data"]["to"] for body in (await bench.reader.read(USER, None, 0, 9)).bodies] == [None]


async def test_an_event_in_flight_during_an_erasure_arrives_empty(bench: Bench) -> None:
    before = bench.now
    bench.now += 5
    await erase(bench, "li@a.cn")
    await bench.erasure.erase_recorded()
    late, after = (event(f"evt_{at}", digests=ERASURE.all_of("li@a.cn")) for at in ("late", "after"))

    await bench.append(*await bench.erasure.redact_arriving([(late, before), (after, bench.now + 5_000)]))

    told = [json.loads(body)["data"]["to"] for body in (await bench.reader.read(USER, None, 0, 9)).bodies]
    assert told == [None, "li@a.cn"], "the second is of a new relation"


async def test_an_erasure_is_recorded_as_complete_once_the_queue_is_past_it(bench: Bench) -> None:
    async def told() -> int | None:
        said = await bench.redis.call("HGET", ERASED, "callbacks")
        return None if said is None else int(said)

    assert await told() is None
    await bench.erasure.erase_recorded()
    assert await told() == 0
    bench.watermark.record_delivery(bench.now)
    await erase(bench, "li@a.cn")
    await bench.erasure.erase_recorded()
    assert await told() == 0, "what is on its way may name them"

    bench.watermark.record_wait()
    bench.now += QUIET_MS
    await bench.erasure.erase_recorded()
    assert await told() == START_MS

    bench.now += 1
    await erase(bench, "li@a.cn")
    bench.watermark.record_delivery(bench.now + OUT_OF_ORDER_MS + 1)
    await bench.erasure.erase_recorded()
    assert await told() == bench.now


async def test_a_channels_block_and_its_end_are_sent_to_subscribed_administrators_alone(
    bench: Bench,
) -> None:
    kinds = ("channel.blocked", "channel.open")
    boss, reader, former = (f"0199{letter * 28}" for letter in "abe")
    await bench.add("boss", user_id=boss, is_admin=True, events=kinds)
    await bench.add("of-mail", user_id=boss, is_admin=True, events=kinds, methods=("smtp",))
    await bench.add("user", user_id=OTHER)
    rows = [
        {"user_id": reader, "username": "r", "events": 3, "read_at": bench.now, "is_admin": True},
        {
            "user_id": former,
            "username": "f",
            "events": 0,
            "read_at": bench.now - READER_EXPIRES_AFTER_MS,
            "is_admin": True,
        },
        {"user_id": USER, "username": "u", "events": 3, "read_at": bench.now, "is_admin": False},
    ]
    async with bench.database.writing() as connection:
        await connection.execute(listeners.insert(), rows)
    clock: Callable[[], int] = lambda: bench.now  # noqa: E731
    watch = ChannelWatch(bench.database, bench.redis, ("smtp", "sms"), clock, lambda: None)

    async def types(user: str) -> list[tuple[str, str, str | None]]:
        bodies = [json.loads(body) for body in (await bench.reader.read(user, None, 0, 9)).bodies]
        return [(body["type"], body["data"]["method"], body["data"]["why"]) for body in bodies]

    await watch.check()
    assert await types(boss) == []
    await bench.redis.call("HSET", channel_key("sms"), "state", "blocked", "why", "余额不足")
    for _ in range(2):
        await watch.check()
    await bench.redis.call("HSET", channel_key("sms"), "state", "open")
    bench.now += 1
    await watch.check()

    assert await types(boss) == [("channel.blocked", "sms", "余额不足"), ("channel.open", "sms", None)]
    assert await types(reader) == await types(boss)
    assert [await types(user) for user in (OTHER, USER, former)] == [[], [], []]
    assert [await bench.try_all(name, EndpointReply(200)) for name in ("boss", "of-mail", "user")] == [2, 0, 0]


async def test_a_providers_fault_is_sent_to_administrators_once_while_it_lasts(bench: Bench) -> None:
    boss = f"0199{'a' * 28}"
    await bench.add("boss", user_id=boss, is_admin=True, events=("provider.attention",))
    await bench.add("other", user_id=OTHER)
    clock: Callable[[], int] = lambda: bench.now  # noqa: E731
    watches = [ChannelWatch(bench.database, bench.redis, ("smtp", "sms"), clock, lambda: None) for _ in range(2)]

    async def find(*codes: str) -> None:
        found = {
            f"firm-{code}": Attention(
                since=datetime(2026, 11, 29, 8, tzinfo=UTC),
                trouble=ProviderTrouble(
                    code=code, zh="密码错误", en="wrong password", remedy_zh="改密码", remedy_en="mend it"
                ),
            )
            for code in codes
        }
        await bench.redis.call("DEL", attention_key("sms"))
        for name, attention in found.items():
            state = AccountState(at=0.0, digest="", found=(attention,))
            await bench.redis.call("HSET", attention_key("sms"), name, state.model_dump_json())
        await asyncio.gather(*(watch.check_providers() for watch in watches))

    async def told() -> list[str]:
        bodies = [json.loads(body) for body in (await bench.reader.read(boss, None, 0, 9)).bodies]
        return [body["data"]["provider"] for body in bodies]

    await find("login")
    await find("login")
    assert await told() == ["firm-login"]
    (body,) = (await bench.reader.read(boss, None, 0, 9)).bodies
    assert json.loads(body)["data"] == {
        "method": "sms",
        "provider": "firm-login",
        "code": "login",
        "since": "2026-11-29T08:00:00.000Z",
        "what": {"zh": "密码错误", "en": "wrong password"},
        "remedy": {"zh": "改密码", "en": "mend it"},
    }
    assert await bench.try_all("boss", EndpointReply(200)) == 1
    await find("login", "balance")
    await find()  # Redis was flushed
    bench.now += FORGET_AFTER_MS - 1
    await find("login")
    assert await told() == ["firm-login", "firm-balance"]
    bench.now += 1
    await find("login", "balance")
    assert await told() == ["firm-login", "firm-balance", "firm-balance"]
    assert (await bench.reader.read(OTHER, None, 0, 9)).bodies == []


def test_a_reader_is_notified_of_messages_and_requests() -> None:
    assert READER == 3
