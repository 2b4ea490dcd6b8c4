"""A request with a fallback in history: its legs, the people they reach, and one end for all of them."""

import asyncio
import base64
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import select

from imsg_contract.topology import EVENT, LEG, PROGRESS, RESCHEDULE, SCHEDULE
from imsg_contract.wire import EventKind, Events, Job, NextLeg, Outcomes, Progress, Status
from imsg_history.database import Database
from imsg_history.event_relay import EventRelay, RelayMetrics
from imsg_history.ids import rfc3339
from imsg_history.open_messages import OpenMessages
from imsg_history.request_list import RequestList
from imsg_history.tables import early_progress, jobs, requests
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, request_id
from imsg_testing.history_store import ADMIN, find_page, record

EVENTS = int(EventKind.MESSAGE | EventKind.REQUEST | EventKind.LEG)
LATER = NOW + timedelta(seconds=2)
MINUTE = timedelta(minutes=1)


class Recorder:
    """Keeps what is published."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {}

    @property
    def topology(self) -> "Recorder":
        """Return itself: only keys matter."""
        return self

    def new(self, key: str) -> str:
        """Return the key."""
        return key

    async def publish(self, body: bytes, key: str) -> None:
        """Record a message."""
        self.bodies.setdefault(key, []).append(body)


def make_legs(tail: int = 1) -> tuple[Job, Job]:
    """Make a request of two people, and its second leg."""
    first, second = request_id(NOW, tail=tail), request_id(NOW, tail=tail + 1)
    legs: dict[str, Any] = {"at": NOW, "to": ("a@example.com", "b@example.com"), "events": EVENTS, "leg_of": first}
    leg = job(request=second, method="sms", leg=2, until="sent", **legs)
    root = job(request=first, leg=1, until="delivered", fallback=(NextLeg(after_s=60, job=leg),), **legs)
    return root, leg


async def relay(database: Database) -> Recorder:
    """Relay all events; return what was published."""
    recorder = Recorder()
    events = EventRelay(database, recorder, RelayMetrics(CollectorRegistry()))  # type: ignore[arg-type]
    while await events.relay():
        pass
    return recorder


def list_events(recorder: Recorder) -> list[tuple[str, str, Any]]:
    """Return type, request and leg of the events."""
    batches = [Events.model_validate_json(body) for body in recorder.bodies.get(EVENT, [])]
    return [(event.type, event.data["request"], event.data["leg"]) for batch in batches for event in batch.events]


@on_both_databases
async def test_legs_are_shown_and_the_end_of_all_is_published_once(database: Database) -> None:
    root, leg = make_legs()
    await record(database, make_delivery(root, SCHEDULE))
    (body,) = await database.fetch(select(jobs.c.body).where(jobs.c.request == root.request))
    assert b"fallback" not in bytes(body.body)  # the addresses of legs are scheduler's alone
    shown_by = RequestList(database, lambda: LATER, None)  # type: ignore[arg-type]
    shown = await shown_by.show(root.request, ADMIN)
    assert [(leg["id"], leg["state"]) for leg in shown["legs"]] == [(root.request, "queued"), (leg.request, "waiting")]
    assert (shown["reached"], shown["not_reached"], shown["open"]) == (0, 0, 2)

    await record(database, outcome(root, Status.DELIVERED), outcome(root, Status.FAILED, n=1))
    told = await relay(database)
    outcomes = [outcome for body in told.bodies[LEG] for outcome in Outcomes.model_validate_json(body).outcomes]
    assert {(outcome.request, outcome.n, outcome.status) for outcome in outcomes} == {
        (root.request, 0, Status.DELIVERED), (root.request, 1, Status.FAILED),
    }  # fmt: skip
    assert "request.settled" not in [kind for kind, _, _ in list_events(told)]
    assert (await shown_by.show(root.request, ADMIN))["state"] == "sending"

    begun = leg.model_copy(update={"recipients": leg.recipients[1:], "released_at": LATER})
    progress = Progress(request=root.request, reached=1, not_reached=0, open=1, at=LATER)
    await record(database, begun, make_delivery(progress, PROGRESS), outcome(begun, Status.SENT, n=1))
    assert "request.settled" not in [kind for kind, _, _ in list_events(await relay(database))]
    last = progress.model_copy(update={"reached": 2, "open": 0})
    await record(database, make_delivery(last, PROGRESS), make_delivery(progress, PROGRESS))
    told = await relay(database)
    assert [(kind, name) for kind, name, _ in list_events(told) if kind == "request.settled"] == [
        ("request.settled", root.request)
    ]
    shown = await shown_by.show(root.request, ADMIN)
    assert (shown["state"], shown["reached"], shown["open"]) == ("settled", 2, 0)
    assert [leg["state"] for leg in shown["legs"]] == ["settled", "settled"]
    (message,) = (await find_page(database, id=leg.request)).rows
    assert (message["leg"], message["leg_of"], message["id"]) == (2, root.request, f"{leg.request}-1")


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_legs_are_known_when_the_first_is_recorded_with_its_release(
    database: Database, order: tuple[int, int], *, together: bool
) -> None:
    root, leg = make_legs()
    released = root.model_copy(update={"fallback": (), "released_at": LATER})  # as its channel gets it
    facts = [(make_delivery(root, SCHEDULE), released)[n] for n in order]
    for part in [facts] if together else [[fact] for fact in facts]:
        await record(database, *part)
    await record(database, outcome(root, Status.FAILED), outcome(root, Status.FAILED, n=1))
    shown = await RequestList(database, lambda: LATER, None).show(root.request, ADMIN)  # type: ignore[arg-type]
    assert [(leg["id"], leg["state"]) for leg in shown["legs"]] == [(root.request, "settled"), (leg.request, "waiting")]
    assert (shown["state"], shown["reached"], shown["not_reached"], shown["open"]) == ("sending", 0, 0, 2)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_leg_holds_all_who_began_it_whenever_they_did(
    database: Database, order: tuple[int, int], *, together: bool
) -> None:
    _, leg = make_legs()
    begun = [
        leg.model_copy(
            update={
                "recipients": leg.recipients[n : n + 1],
                "chunk": n,
                "released_at": LATER + n * MINUTE,
                "expires_at": leg.expires_at + n * MINUTE,
            }
        )
        for n in (0, 1)
    ]
    batch = [begun[n] for n in order]
    for part in [batch] if together else [[event] for event in batch]:
        await record(database, *part)
    for name, still_open in ((leg.request, [0, 1]), (f"{leg.request}-0", [0]), (f"{leg.request}-1", [1])):
        found = await OpenMessages(database).find(name, ADMIN)
        assert found["open"] == still_open
        kept = Job.model_validate_json(base64.b64decode(found["job"]))
        assert (kept.recipients, kept.expires_at) == (leg.recipients, begun[1].expires_at)
    (row,) = await database.fetch(select(requests).where(requests.c.request == leg.request))
    assert (row.released_at, row.expires_at) == (begun[1].released_at, begun[1].expires_at)


async def test_who_is_passed_by_joins_those_who_began_a_leg(database: Database) -> None:
    for tail, order in enumerate(permutations(range(2))):
        _, leg = make_legs(2 * tail)
        begun = leg.model_copy(update={"recipients": leg.recipients[:1], "chunk": 0, "released_at": LATER})
        story = (begun, make_delivery(leg.model_copy(update={"recipients": leg.recipients[1:]}), RESCHEDULE))
        for place in order:
            await record(database, story[place])
        assert (await OpenMessages(database).find(leg.request, ADMIN))["open"] == [0, 1], order
        (row,) = await database.fetch(select(requests).where(requests.c.request == leg.request))
        assert row.released_at == LATER, order


async def test_a_receipt_and_a_timer_at_one_moment_are_both_in_the_timelines(database: Database) -> None:
    for tail, order in enumerate(permutations(range(4))):
        root, leg = make_legs(2 * tail)
        begun = leg.model_copy(update={"recipients": leg.recipients[:1], "chunk": 0, "released_at": LATER})
        delivered, sent = (outcome(of, status).model_copy(update={"at": LATER}) for of, status in (
            (root, Status.DELIVERED), (begun, Status.SENT),
        ))  # fmt: skip
        reached = Progress(request=root.request, reached=1, not_reached=0, open=1, at=LATER)
        await record(database, make_delivery(root, SCHEDULE))
        story = (delivered, begun, sent, make_delivery(reached, PROGRESS))
        for place in order:
            await record(database, story[place])
        for of, status in ((root, "delivered"), (leg, "sent")):
            (shown,) = (await find_page(database, id=f"{of.request}-0")).rows
            assert (shown["status"], shown["timeline"][-1]["status"]) == (status, status), order
            assert shown["timeline"][-1]["at"] == rfc3339(LATER)
        shown = await RequestList(database, lambda: LATER, None).show(root.request, ADMIN)  # type: ignore[arg-type]
        assert (shown["reached"], shown["open"]) == (1, 1)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_of_counts_of_people_the_newest_one_holds(database: Database, order: tuple[int, int, int]) -> None:
    root, _ = make_legs()
    await record(database, make_delivery(root, SCHEDULE))
    counts = [
        Progress(request=root.request, reached=reached, not_reached=2 - reached - still_open, open=still_open, at=LATER)
        for reached, still_open in ((1, 1), (1, 0), (2, 0))  # a receipt may come after all were given up
    ]
    for place in order:
        await record(database, make_delivery(counts[place], PROGRESS))
    shown = await RequestList(database, lambda: LATER, None).show(root.request, ADMIN)  # type: ignore[arg-type]
    assert (shown["reached"], shown["not_reached"], shown["open"]) == (2, 0, 0)


@on_both_databases
async def test_counts_of_people_that_arrive_before_their_request_end_it(database: Database) -> None:
    root, _ = make_legs()
    counts = [
        Progress(request=root.request, reached=0, not_reached=2 - still_open, open=still_open, at=LATER)
        for still_open in (0, 1)
    ]
    for progress in counts:
        await record(database, make_delivery(progress, PROGRESS))
    await record(database, make_delivery(root, SCHEDULE))
    await record(database, outcome(root, Status.CANCELLED), outcome(root, Status.CANCELLED, n=1))
    assert ("request.settled", root.request, 1) in list_events(await relay(database))
    shown = await RequestList(database, lambda: LATER, None).show(root.request, ADMIN)  # type: ignore[arg-type]
    assert (shown["state"], shown["reached"], shown["not_reached"], shown["open"]) == ("settled", 0, 2, 0)
    assert await database.fetch(select(early_progress)) == []


@on_both_databases
async def test_counts_and_their_request_at_two_histories_at_once_end_it(database: Database) -> None:
    for tail in range(0, 40, 2):
        root, _ = make_legs(tail + 1)
        last = Progress(request=root.request, reached=0, not_reached=2, open=0, at=LATER)
        await record(database, outcome(root, Status.CANCELLED), outcome(root, Status.CANCELLED, n=1))
        await asyncio.gather(
            record(database, make_delivery(root, SCHEDULE)), record(database, make_delivery(last, PROGRESS))
        )
        assert ("request.settled", root.request, 1) in list_events(await relay(database))
