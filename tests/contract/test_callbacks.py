"""Callbacks' promises, held alike by SQLite and PostgreSQL: nothing skipped, nothing lost, nobody held up."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import func, select

from imsg_callbacks import dispatcher, maintenance
from imsg_callbacks.channel_watch import ChannelWatch
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.dispatcher import Dispatcher
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.event_log import append
from imsg_callbacks.forgetting import Forgetting
from imsg_callbacks.listeners import LOST_MS
from imsg_callbacks.main import write_disabled
from imsg_callbacks.maintenance import KEPT, Maintenance
from imsg_callbacks.matching import READER
from imsg_callbacks.migrations import STEPS
from imsg_callbacks.outcomes import Attempt, Endpoint, Logged
from imsg_callbacks.post import open_poster
from imsg_callbacks.reading import MOST_WAITING, Reader
from imsg_callbacks.schedule import DISABLED_AFTER, Answer
from imsg_callbacks.serving import AT_ONCE, HELD, LEASE_MS
from imsg_callbacks.tables import deliveries, listeners, log, metadata, recoveries
from imsg_callbacks.vault import Unreadable, Vault
from imsg_contract.errors import Refusal
from imsg_contract.topology import ERASED, channel_key
from imsg_database.address import read_url
from imsg_database.database import Database, connect
from imsg_database.engines import Terms, open_sync_engine
from imsg_database.migrate import migrate
from imsg_runtime.passage import OUT_OF_ORDER_MS, QUIET_MS, Passage
from imsg_runtime.redis import Redis
from imsg_runtime.tombstones import Digests, Tombstone, Tombstones
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.waiting import eventually

USER, OTHER = "0199" + "c" * 28, "0199" + "d" * 28
KEY = SecretStr("the secret key of these tests, long enough")
NEWER = SecretStr("the next secret key of these tests, long enough")
START_MS = 1_795_000_000_000
TERMS = Terms("imsg-callbacks", pool=5, busy_timeout_s=10)
ERASURE = Digests((SecretStr("an erasure key of these tests, long enough"),))


class Nobody:
    """Listeners who are told nothing here."""

    async def agree(self, *, everybody: bool = False) -> None:
        """Do nothing."""


@dataclass
class Bench:
    """Callbacks' parts on one database, with a clock in the test's hand."""

    database: Database
    redis: Redis
    now: int = START_MS
    woken: int = 0

    def __post_init__(self) -> None:
        """Make the parts."""
        clock: Callable[[], int] = lambda: self.now  # noqa: E731
        self.endpoints = Endpoints(self.database, Vault([KEY]), clock)
        self.deliveries = DeliveryLog(self.database, clock, write_disabled)
        nobody: Any = Nobody()
        self.passage = Passage(clock)
        self.forgetting = Forgetting(self.database, self.redis, ERASURE, self.passage)
        gauges = maintenance.Gauges(CollectorRegistry())
        self.maintenance = Maintenance(self.database, nobody, self.forgetting, clock, lambda: None, gauges)
        self.reader = Reader(self.database, Vault([KEY]), asyncio.Event())

    async def add(self, name: str, url: str = "https://example.com/", **given: Any) -> Endpoint:  # noqa: ANN401
        """Add an endpoint."""
        endpoint = Endpoint(
            id=name,
            user_id=USER,
            username="zhang",
            is_admin=False,
            url=url,
            events=("message.sent", "callback.disabled"),
            methods=None,
            description="",
            secret=self.endpoints.seal("whsec_c2VjcmV0", name),
            old_secret=None,
            old_until=None,
            created_at=self.now,
        )
        endpoint = replace(endpoint, **given)
        await self.endpoints.add(endpoint)
        return endpoint

    async def tell(self, *events: Logged) -> None:
        """Append events."""
        async with self.database.writing() as connection:
            await append(connection, events, self.now)
        self.reader.wake()

    async def read(self, after: str | None = None, wait_s: float = 0, user: str = USER) -> tuple[list[str], str]:
        """Read on; return the events' ids and the next cursor."""
        found = await self.reader.read(user, after, wait_s, 100)
        return [json.loads(body)["id"] for body in found.bodies], found.next

    async def try_all(self, name: str, answer: Answer, due_at: int | None = None) -> int:
        """Take what is due for an endpoint and settle it with one answer; return how much it was."""
        taken = await self.deliveries.take(name, 100, LEASE_MS)
        if taken:
            await self.deliveries.settle([Attempt(name, one.number, answer, self.now, due_at) for one in taken])
        return len(taken)


def event(name: str, user: str = USER, kind: str = "message.sent", **given: Any) -> Logged:  # noqa: ANN401
    """Make an event."""
    body = json.dumps({"id": name, "type": kind, "timestamp": "2026-11-25T00:00:00.000Z", "data": {"to": "li@a.cn"}})
    return Logged(name, kind, user, given.pop("method", "smtp"), body, **given)


@pytest.fixture
async def bench(database_url: str, redis: Redis) -> AsyncIterator[Bench]:
    """Open callbacks on a migrated database."""
    await asyncio.to_thread(migrate, read_url(database_url), STEPS)
    async with connect(read_url(database_url), TERMS) as opened:
        yield Bench(opened, redis)


def test_the_steps_make_the_tables_as_they_are_described(database_url: str) -> None:
    migrate(read_url(database_url), STEPS)
    with open_sync_engine(read_url(database_url), TERMS) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        changes = compare_metadata(context, metadata)
    assert [one for one in changes if "callbacks_version" not in str(one)] == []


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
        writers = [await stack.enter_async_context(connect(read_url(database_url), TERMS)) for _ in range(3)]
        working = asyncio.gather(*(write(str(at), one) for at, one in enumerate(writers)))
        cursor: str | None = None
        while not working.done() or len(read) < told:
            found, cursor = await bench.read(cursor)
            read += found
            await asyncio.sleep(0.001)
        await working

    assert len(read) == 36
    assert len(set(read)) == 36


async def test_a_reader_waits_and_gets_their_own_alone_and_an_empty_answer_leads_on(bench: Bench) -> None:
    await bench.tell(event("evt_1"), event("evt_2", OTHER))
    found, cursor = await bench.read()
    assert found == ["evt_1"]

    waiting = asyncio.create_task(bench.read(cursor, wait_s=20))
    await asyncio.sleep(0)
    await bench.tell(event("evt_3", OTHER))
    await bench.tell(event("evt_4"))

    found, cursor = await waiting
    assert found == ["evt_4"]
    assert await bench.read(cursor) == ([], cursor)
    with pytest.raises(Refusal, match="wrong_type"):
        await bench.read("made up")


async def test_who_waits_is_woken_by_their_own_events_and_does_not_wait_too_often(bench: Bench) -> None:
    _, cursor = await bench.read()
    waiting = [asyncio.create_task(bench.read(cursor, wait_s=20)) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert (await bench.read(cursor, wait_s=20))[0] == [], "one more is answered soon"
        another = asyncio.create_task(bench.read(cursor, wait_s=20, user=OTHER))
    async with bench.database.writing() as connection:
        await append(connection, [event("evt_1")], bench.now)
    bench.reader.wake([OTHER])
    await asyncio.sleep(0.05)
    assert not any(one.done() for one in (*waiting, another)), "there is nothing of OTHER's, and nobody told USER"
    bench.reader.wake([USER])
    async with asyncio.timeout(5):
        assert [found for found, _ in await asyncio.gather(*waiting)] == [["evt_1"]] * MOST_WAITING
    await bench.tell(event("evt_2", OTHER))
    async with asyncio.timeout(5):
        assert (await another)[0] == ["evt_2"]
        assert (await bench.read(cursor, wait_s=20))[0] == ["evt_1"]


async def test_an_event_that_is_told_twice_is_one(bench: Bench) -> None:
    await bench.add("a")
    await bench.tell(event("evt_1"))
    await bench.tell(event("evt_1"), event("evt_2"))

    assert (await bench.read())[0] == ["evt_1", "evt_2"]
    assert await bench.try_all("a", Answer(200)) == 2
    assert await bench.try_all("a", Answer(200)) == 0


async def test_an_endpoint_hears_what_it_asked_for_and_nobody_elses(bench: Bench) -> None:
    await bench.add("mail", methods=("smtp",))
    await bench.add("sms", methods=("sms",))
    await bench.add("another", user_id=OTHER)

    await bench.tell(event("evt_1"), event("evt_2", kind="message.failed"), event("evt_3", method="sms"))

    assert [await bench.try_all(name, Answer(200)) for name in ("mail", "sms", "another")] == [1, 1, 0]


async def test_what_was_taken_by_one_that_died_is_taken_again_once_its_lease_ends(bench: Bench) -> None:
    await bench.add("a")
    await bench.tell(event("evt_1"))

    assert len(await bench.deliveries.take("a", 10, LEASE_MS)) == 1
    assert await bench.deliveries.take("a", 10, LEASE_MS) == []
    assert await bench.deliveries.find_due() == {}
    bench.now += LEASE_MS

    assert await bench.deliveries.find_due() == {"a": 0}
    (again,) = await bench.deliveries.take("a", 10, LEASE_MS)
    assert again.event == "evt_1"


async def test_gone_disables_at_once_and_the_owner_is_told(bench: Bench) -> None:
    await bench.add("gone")
    await bench.add("other")
    await bench.tell(event("evt_1"), event("evt_2"))

    await bench.try_all("gone", Answer(410, "HTTP 410"))

    (gone, other) = await bench.endpoints.of_user(USER)
    assert (gone.state, gone.disabled_why, other.state) == ("disabled", "gone", "new")
    told = json.loads((await bench.reader.read(USER, None, 0, 100)).bodies[-1])
    assert (told["type"], told["data"]["callback"], told["data"]["why"]) == ("callback.disabled", "gone", "gone")
    assert await bench.try_all("other", Answer(200)) == 3
    assert await bench.deliveries.find_due() == {}


async def test_five_days_of_nothing_but_failures_disable_and_one_success_begins_anew(bench: Bench) -> None:
    await bench.add("a")
    await bench.tell(event("evt_1"))
    days = DISABLED_AFTER // timedelta(milliseconds=1)
    for wait, answer in (
        (0, Answer(500)),
        (days - 1, Answer(200)),
        (0, Answer(None, "no answer")),
        (days - 1, Answer(500)),
    ):
        bench.now += wait
        await bench.deliveries.begin_anew("a", "evt_1")
        await bench.try_all("a", answer)
    assert (await bench.endpoints.one("a", USER)).state == "failing"

    bench.now += 1
    await bench.deliveries.begin_anew("a", "evt_1")
    await bench.try_all("a", Answer(500))

    assert (await bench.endpoints.one("a", USER)).disabled_why == "failing"


async def test_a_recovery_sends_what_did_not_arrive_each_once(bench: Bench) -> None:
    await bench.add("a")
    await bench.tell(event("evt_old"))
    await bench.try_all("a", Answer(500))
    since = bench.now = bench.now + 60_000
    await bench.tell(event("evt_arrived"))
    await bench.try_all("a", Answer(200))
    await bench.tell(event("evt_failed"), event("evt_unwanted", kind="message.failed"))
    await bench.try_all("a", Answer(500))
    await bench.endpoints.change("a", USER, {"disabled_at": bench.now, "disabled_why": "owner"})
    await bench.tell(event("evt_missed"))
    await bench.endpoints.change("a", USER, {"disabled_at": None, "disabled_why": None})

    async with bench.database.writing() as connection:
        first = await connection.scalar(select(func.min(log.c.number)).where(log.c.kept_at >= since))
        row = {"id": "r", "endpoint": "a", "position": (first or 0) - 1, "until": bench.now + 1}
        await connection.execute(recoveries.insert().values(row))
    while await bench.maintenance.recover():
        pass

    taken = await bench.deliveries.take("a", 10, LEASE_MS)
    assert [one.event for one in taken] == ["evt_failed", "evt_missed"]


async def test_what_is_past_its_time_goes_and_a_cursor_from_before_has_expired(bench: Bench) -> None:
    await bench.add("a")
    await bench.tell(event("evt_1"))
    _, before = await bench.read()
    await bench.tell(event("evt_2"))
    bench.now += KEPT // timedelta(milliseconds=1) + 1
    await bench.maintenance.remove_old()
    await bench.tell(event("evt_3"))

    with pytest.raises(Refusal, match="cursor_expired"):
        await bench.read(before)
    assert (await bench.read())[0] == ["evt_3"]
    async with bench.database.reading() as connection:
        assert await connection.scalar(select(func.count()).select_from(deliveries)) == 1


async def erase(bench: Bench, address: str) -> None:
    """Have somebody erased, as history does."""
    at = datetime.fromtimestamp(bench.now / 1_000, UTC)
    await Tombstones(bench.redis, ERASURE).keep([Tombstone(f"erasure {bench.now}", ERASURE.of(address), at)])


async def test_who_is_erased_stands_in_no_event_any_more(bench: Bench) -> None:
    await bench.add("a")
    of_li, of_wang = (event(f"evt_{who}", digests=ERASURE.all_of(f"{who}@a.cn")) for who in ("li", "wang"))
    await bench.tell(of_li, of_wang)
    await bench.try_all("a", Answer(500, "HTTP 500", "li@a.cn is unknown here"))
    bench.now += 5
    await erase(bench, "LI@a.cn")

    await bench.forgetting.once()

    bodies = [json.loads(body) for body in (await bench.reader.read(USER, None, 0, 10)).bodies]
    assert [body["data"]["to"] for body in bodies] == [None, "li@a.cn"]  # the second names somebody else
    shown, _ = await bench.deliveries.page("a", None, 10, None)
    assert [one["answer"] for one in shown if one["event"] == "evt_li"] == [None]


async def test_who_is_erased_again_is_forgotten_again(bench: Bench) -> None:
    await erase(bench, "li@a.cn")
    await bench.forgetting.once()
    bench.now += 60_000
    await bench.tell(event("evt_1", digests=ERASURE.all_of("li@a.cn")))
    await bench.forgetting.once()
    assert [json.loads(one)["data"]["to"] for one in (await bench.reader.read(USER, None, 0, 9)).bodies] == ["li@a.cn"]

    bench.now += 5
    await erase(bench, "li@a.cn")
    await bench.forgetting.once()

    assert [json.loads(one)["data"]["to"] for one in (await bench.reader.read(USER, None, 0, 9)).bodies] == [None]


async def test_what_was_on_its_way_when_somebody_was_erased_arrives_empty(bench: Bench) -> None:
    before = bench.now
    bench.now += 5
    await erase(bench, "li@a.cn")
    await bench.forgetting.once()
    late, after = (event(f"evt_{at}", digests=ERASURE.all_of("li@a.cn")) for at in ("late", "after"))

    await bench.tell(*await bench.forgetting.empty([(late, before), (after, bench.now + 5_000)]))

    told = [json.loads(body)["data"]["to"] for body in (await bench.reader.read(USER, None, 0, 9)).bodies]
    assert told == [None, "li@a.cn"], "the second is of a new relation"


async def test_history_hears_that_nothing_remains_once_the_queue_is_past_it(bench: Bench) -> None:
    async def told() -> int | None:
        said = await bench.redis.call("HGET", ERASED, "callbacks")
        return None if said is None else int(said)

    assert await told() is None
    await bench.forgetting.once()
    assert await told() == 0
    bench.passage.take(bench.now)
    await erase(bench, "li@a.cn")
    await bench.forgetting.once()
    assert await told() == 0, "what is on its way may name them"

    bench.passage.wait()
    bench.now += QUIET_MS
    await bench.forgetting.once()
    assert await told() == START_MS

    bench.now += 1
    await erase(bench, "li@a.cn")
    bench.passage.take(bench.now + OUT_OF_ORDER_MS + 1)
    await bench.forgetting.once()
    assert await told() == bench.now


async def test_that_a_channel_is_blocked_and_open_again_is_told_to_administrators_who_listen_alone(
    bench: Bench,
) -> None:
    kinds = ("channel.blocked", "channel.open")
    boss, reader, former = (f"0199{letter * 28}" for letter in "abe")
    await bench.add("boss", user_id=boss, is_admin=True, events=kinds)
    await bench.add("of-mail", user_id=boss, is_admin=True, events=kinds, methods=("smtp",))
    await bench.add("user", user_id=OTHER)
    rows = [
        {"user_id": reader, "username": "r", "events": 3, "read_at": bench.now, "is_admin": True},
        {"user_id": former, "username": "f", "events": 0, "read_at": bench.now - LOST_MS, "is_admin": True},
        {"user_id": USER, "username": "u", "events": 3, "read_at": bench.now, "is_admin": False},
    ]
    async with bench.database.writing() as connection:
        await connection.execute(listeners.insert(), rows)
    clock: Callable[[], int] = lambda: bench.now  # noqa: E731
    watch = ChannelWatch(bench.database, bench.redis, ("smtp", "sms"), clock, lambda: None)

    async def types(user: str) -> list[tuple[str, str, str | None]]:
        bodies = [json.loads(one) for one in (await bench.reader.read(user, None, 0, 9)).bodies]
        return [(one["type"], one["data"]["method"], one["data"]["why"]) for one in bodies]

    await watch.look()
    assert await types(boss) == []
    await bench.redis.call("HSET", channel_key("sms"), "state", "blocked", "why", "余额不足")
    for _ in range(2):
        await watch.look()
    await bench.redis.call("HSET", channel_key("sms"), "state", "open")
    bench.now += 1
    await watch.look()

    assert await types(boss) == [("channel.blocked", "sms", "余额不足"), ("channel.open", "sms", None)]
    assert await types(reader) == await types(boss)
    assert [await types(user) for user in (OTHER, USER, former)] == [[], [], []]
    assert [await bench.try_all(name, Answer(200)) for name in ("boss", "of-mail", "user")] == [2, 0, 0]


async def test_a_change_of_keys_keeps_every_secret(bench: Bench) -> None:
    await bench.add("a")
    clock: Callable[[], int] = lambda: bench.now  # noqa: E731
    with pytest.raises(Unreadable):
        await Endpoints(bench.database, Vault([NEWER]), clock).reseal()

    assert await Endpoints(bench.database, Vault([NEWER, KEY]), clock).reseal() == 1

    alone = Endpoints(bench.database, Vault([NEWER]), clock)
    assert await alone.reseal() == 0
    assert alone.valid_secrets(await alone.one("a", USER)) == ["whsec_c2VjcmV0"]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a client's own receiver."""
    with receiving() as opened:
        yield opened


@asynccontextmanager
async def dispatching(bench: Bench) -> AsyncIterator[Dispatcher]:
    """Send what is due for as long as the context lasts."""
    stopping = asyncio.Event()
    async with open_poster(("127.0.0.1",), timeout_s=3.0) as poster:
        counts = dispatcher.Counts(CollectorRegistry())
        sending = Dispatcher(bench.deliveries, bench.endpoints, poster, lambda: bench.now, counts)
        running = asyncio.create_task(sending.run(stopping))
        try:
            yield sending
        finally:
            stopping.set()
            await running


async def test_endpoints_that_hang_hold_up_nobody_else(bench: Bench, receiver: Receiver) -> None:
    await asyncio.gather(
        *(bench.add(f"hang{at}", receiver.url(f"/hang{at}"), user_id=f"{at:032x}") for at in range(10))
    )
    await asyncio.gather(*(bench.add(f"ok{at}", receiver.url(f"/ok{at}"), user_id=f"{at:032x}") for at in range(10)))
    events = [event(f"evt_{at}_{number}", f"{at:032x}") for at in range(10) for number in range(20)]
    await bench.tell(*events)

    def find_arrived() -> Sequence[str]:
        return [call.headers["webhook-id"] for call in receiver.calls if call.path.startswith("/ok")]

    async with dispatching(bench) as sending:
        sending.wake()
        began = asyncio.get_running_loop().time()
        await eventually(lambda: _is(len(find_arrived()) >= len(events)), within_s=15)
        took_s = asyncio.get_running_loop().time() - began
        hanging = [call for call in receiver.calls if call.path.startswith("/hang")]
        receiver.hangs.set()

    assert took_s < 3.0, "before the first of those that hang has timed out"
    assert sorted(find_arrived()) == sorted(one.id for one in events)
    assert 0 < len(hanging) <= 10 * AT_ONCE


async def p95_s(bench: Bench, sending: Dispatcher, receiver: Receiver, rounds: Sequence[str], *kinds: str) -> float:
    """Tell every endpoint of these kinds of an event ten times a second; say how long `ok` waits, 95 of 100 times."""
    told: dict[str, float] = {}
    for round_ in rounds:
        events = [event(f"evt_{kind}_{at}_{round_}", user_of(kind, at)) for kind in kinds for at in range(HALF)]
        told |= {one.id: asyncio.get_running_loop().time() for one in events}
        async with bench.database.writing() as connection:
            appended = await append(connection, events, bench.now, lease=sending.lease())
        sending.offer(appended.handed, appended.left)
        await asyncio.sleep(0.1)
    wanted = {name for name in told if name.startswith("evt_ok")}

    def find_arrived() -> dict[str, float]:
        return {name: call.at for call in list(receiver.calls) if (name := call.headers["webhook-id"]) in wanted}

    await eventually(lambda: _is(find_arrived().keys() == wanted), within_s=20)
    waited = sorted(at - told[name] for name, at in find_arrived().items())
    return waited[round(0.95 * (len(waited) - 1))]


HALF = 50


def user_of(kind: str, at: int) -> str:
    """Name the user of an endpoint of `p95_s`."""
    return f"{kind}{at}".ljust(32, "0")


@pytest.mark.long
async def test_while_half_of_a_hundred_endpoints_hang_the_others_p95_at_most_doubles(
    bench: Bench, receiver: Receiver
) -> None:
    for kind in ("ok", "hang"):
        for at in range(HALF):
            await bench.add(f"{kind}{at}", receiver.url(f"/{kind}"), user_id=user_of(kind, at))
    async with dispatching(bench) as sending:
        await p95_s(bench, sending, receiver, ["warm", "warmer"], "ok")
        alone_s = await p95_s(bench, sending, receiver, [f"a{n}" for n in range(30)], "ok")
        beside_s = await p95_s(bench, sending, receiver, [f"b{n}" for n in range(60)], "ok", "hang")
        receiver.hangs.set()

    assert beside_s <= max(2 * alone_s, 0.25), f"{beside_s:.3f} s beside those that hang, {alone_s:.3f} s without them"


async def _is(holds: bool) -> bool:  # noqa: FBT001
    return holds


async def test_what_is_handed_over_is_sent_once_and_what_there_is_no_room_for_is_taken_from_the_table(
    bench: Bench, receiver: Receiver
) -> None:
    await bench.add("a", receiver.url())
    events = [event(f"evt_{number}") for number in range(2 * HELD + 5)]
    async with dispatching(bench) as sending:
        async with bench.database.writing() as connection:
            appended = await append(connection, events, bench.now, lease=sending.lease())
        assert (len(appended.handed), appended.left) == (HELD, {"a"})
        sending.offer(appended.handed, appended.left)
        await eventually(lambda: _is(len(receiver.calls) >= len(events)), within_s=15)

    assert receiver.ids() == dict.fromkeys((one.id for one in events), 1)
    shown, _ = await bench.deliveries.page("a", "delivered", 500, None)
    assert len(shown) == len(events), "what came of them is kept before the end"


async def test_what_fails_waits_for_its_time_and_is_sent_under_the_same_id(bench: Bench, receiver: Receiver) -> None:
    await bench.add("a", receiver.url())
    await bench.tell(event("evt_1"))
    receiver.status = 503
    async with dispatching(bench) as sending:
        sending.wake()
        await eventually(lambda: _is(len(receiver.calls) == 1), within_s=10)
        await eventually(lambda: _has_failed_once(bench), within_s=10)
        receiver.status = 204
        sending.wake()
        bench.now += 6_000
        sending.wake()
        await eventually(lambda: _is(len(receiver.calls) == 2), within_s=10)

    assert receiver.ids() == {"evt_1": 2}
    assert {call.headers["webhook-signature"].split(",")[0] for call in receiver.calls} == {"v1"}
    assert (await bench.endpoints.one("a", USER)).state == "ok"


async def _has_failed_once(bench: Bench) -> bool:
    return (await bench.endpoints.one("a", USER)).failures == 1


def test_a_reader_hears_of_messages_and_requests() -> None:
    assert READER == 3
