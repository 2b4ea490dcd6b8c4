"""Events are posted to endpoints: none is lost, and a slow endpoint delays no other."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from imsg_callbacks import dispatcher
from imsg_callbacks.dispatcher import Dispatcher
from imsg_callbacks.endpoint_client import open_endpoint_client
from imsg_callbacks.endpoint_sender import AT_ONCE, MAX_WAITING
from imsg_callbacks.event_log import append
from imsg_testing.callbacks import USER, Bench, event
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.waiting import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a client's own receiver."""
    with receiving() as opened:
        yield opened


@pytest.fixture(autouse=True)
def patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait at the end for the record of what was sent, where a service has a second for it."""
    monkeypatch.setattr(dispatcher, "DATABASE_RETRY_S", 60.0)


@asynccontextmanager
async def dispatching(bench: Bench, timeout_s: float = 60.0) -> AsyncIterator[Dispatcher]:
    """Send what is due for as long as the context lasts."""
    stopping = asyncio.Event()
    async with open_endpoint_client(("127.0.0.1",), timeout_s=timeout_s) as client:
        counts = dispatcher.DispatcherMetrics(CollectorRegistry())
        sending = Dispatcher(bench.deliveries, bench.endpoints, client, lambda: bench.now, counts)
        running = asyncio.create_task(sending.run(stopping))
        try:
            yield sending
        finally:
            stopping.set()
            await running


HALF = 50
"""Of the endpoints."""


async def test_endpoints_that_hang_delay_no_other(bench: Bench, receiver: Receiver) -> None:
    await asyncio.gather(
        *(bench.add(f"hang{at}", receiver.url(f"/hang{at}"), user_id=f"{at:032x}") for at in range(HALF))
    )
    await asyncio.gather(*(bench.add(f"ok{at}", receiver.url(f"/ok{at}"), user_id=f"{at:032x}") for at in range(HALF)))
    events = [event(f"evt_{at}_{number}", f"{at:032x}") for at in range(HALF) for number in range(20)]
    await bench.append(*events)

    def find_arrived() -> Sequence[str]:
        return [call.headers["webhook-id"] for call in receiver.calls if call.path.startswith("/ok")]

    def find_hanging() -> Sequence[str]:
        return [call.path for call in receiver.calls if call.path.startswith("/hang")]

    async with dispatching(bench, timeout_s=300.0) as sending:  # those that hang do so all the while
        sending.wake()
        await eventually(lambda: _is(len(find_arrived()) >= len(events) and bool(find_hanging())), within_s=60)
        hanging = find_hanging()
        receiver.hangs.set()

    assert sorted(find_arrived()) == sorted(event.id for event in events)
    assert 0 < len(hanging) <= HALF * AT_ONCE


async def _is(holds: bool) -> bool:  # noqa: FBT001
    return holds


async def test_what_is_handed_over_is_sent_once_and_what_there_is_no_room_for_is_taken_from_the_table(
    bench: Bench, receiver: Receiver
) -> None:
    await bench.add("a", receiver.url())
    events = [event(f"evt_{number}") for number in range(2 * MAX_WAITING + 5)]
    async with dispatching(bench) as sending:
        async with bench.database.writing() as connection:
            appended = await append(connection, events, bench.now, lease=sending.lease())
        assert (len(appended.leased), appended.remaining) == (MAX_WAITING, {"a"})
        sending.enqueue(appended.leased, appended.remaining)
        await eventually(lambda: _is(len(receiver.calls) >= len(events)), within_s=60)

    assert receiver.ids() == dict.fromkeys((event.id for event in events), 1)
    shown, _ = await bench.deliveries.list_page("a", "delivered", 500, None)
    assert len(shown) == len(events), "what came of them is kept before the end"


async def test_of_all_endpoints_no_more_is_handed_over_than_there_is_room_for(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MAX_WAITING_TOTAL", MAX_WAITING + 1)
    for name in ("a", "b"):
        await bench.add(name, receiver.url(f"/{name}"), user_id=name * 32)
    events = [event(f"evt_{name}_{number}", name * 32) for name in ("a", "b") for number in range(MAX_WAITING)]
    async with dispatching(bench) as sending:
        async with bench.database.writing() as connection:
            appended = await append(connection, events, bench.now, lease=sending.lease())
        assert (len(appended.leased), appended.remaining) == (MAX_WAITING + 1, {"b"})
        sending.enqueue(appended.leased, appended.remaining)
        await eventually(lambda: _is(len(receiver.calls) >= len(events)), within_s=60)

    told = sorted(call.headers["webhook-id"] for call in receiver.calls)
    assert told == sorted(event.id for event in events), "each once"


async def test_what_fails_waits_for_its_time_and_is_sent_under_the_same_id(bench: Bench, receiver: Receiver) -> None:
    await bench.add("a", receiver.url())
    await bench.append(event("evt_1"))
    receiver.status = 503
    async with dispatching(bench) as sending:
        sending.wake()
        await eventually(lambda: _is(len(receiver.calls) == 1), within_s=60)
        await eventually(lambda: _has_failed_once(bench), within_s=60)
        receiver.status = 204
        sending.wake()
        bench.now += 6_000
        sending.wake()
        await eventually(lambda: _is(len(receiver.calls) == 2), within_s=60)

    assert receiver.ids() == {"evt_1": 2}
    assert {call.headers["webhook-signature"].split(",")[0] for call in receiver.calls} == {"v1"}
    assert (await bench.endpoints.find("a", USER)).state == "ok"


async def _has_failed_once(bench: Bench) -> bool:
    return (await bench.endpoints.find("a", USER)).failures == 1
