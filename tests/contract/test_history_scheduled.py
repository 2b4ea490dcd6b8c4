"""A scheduled request in history: accepted, moved and released in any order, its rows end the same."""

import base64
from datetime import timedelta
from itertools import permutations
from typing import Any

from sqlalchemy import select

from imsg_contract.topology import RESCHEDULE, SCHEDULE
from imsg_contract.wire import Job, Status
from imsg_history.database import Database
from imsg_history.ids import rfc3339
from imsg_history.open_messages import OpenMessages
from imsg_history.tables import jobs, requests
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, request_id
from imsg_testing.history_store import ADMIN, find, find_page, record

DUE = NOW + timedelta(days=1)
MOVED = NOW + timedelta(days=2)
LIFE = timedelta(hours=1)


def make_story(tail: int) -> tuple[Job, list[Any]]:
    """Return the released job, and all messages to history on its request."""
    first = job(request=request_id(NOW, tail=tail), at=NOW, due_at=DUE, expires_at=DUE + LIFE)
    moved = first.model_copy(update={"due_at": MOVED, "expires_at": MOVED + LIFE, "moves": 1})
    at = MOVED + timedelta(seconds=1)
    released = moved.model_copy(update={"released_at": at, "expires_at": at + LIFE})
    sent = outcome(released, Status.SENT).model_copy(update={"at": at + timedelta(seconds=1)})
    return released, [make_delivery(first, SCHEDULE), make_delivery(moved, RESCHEDULE), released, sent]


async def test_the_rows_of_a_scheduled_request_do_not_depend_on_the_order(database: Database) -> None:
    for tail, order in enumerate(permutations(range(4))):
        released, story = make_story(tail)
        for place in order:
            await record(database, story[place])
        (row,) = await database.fetch(select(requests).where(requests.c.request == released.request))
        times = (row.due_at, row.moves, row.released_at, row.expires_at)
        assert times == (MOVED, 1, released.released_at, released.expires_at), order
        body = await database.scalar(select(jobs.c.body).where(jobs.c.request == released.request))
        assert Job.model_validate_json(bytes(body)) == released, order
        (message,) = await find(database, id=released.request)
        assert message["status"] == "sent", order


@on_both_databases
async def test_one_batch_holds_all_of_it_too(database: Database) -> None:
    released, story = make_story(0)
    await record(database, *story[:3])
    (row,) = await database.fetch(select(requests).where(requests.c.request == released.request))
    assert (row.due_at, row.released_at) == (MOVED, released.released_at)
    assert (await find(database, id=released.request))[0]["status"] == "queued"


@on_both_databases
async def test_what_is_open_is_found_by_its_id_its_message_and_its_reference(database: Database) -> None:
    both = job(request=request_id(NOW, tail=1), at=NOW, reference="r", to=("a@example.com", "b@example.com"))
    other = job(request=request_id(NOW, tail=2), at=NOW, reference="r")
    await record(database, both, other, outcome(both, Status.SENT, 1), outcome(other, Status.SENT))
    found = OpenMessages(database)
    whole = await found.find(both.request, ADMIN)
    assert (whole["total"], whole["open"], whole["reference"]) == (2, [0], "r")
    assert Job.model_validate_json(base64.b64decode(whole["job"])) == both
    message = await found.find(f"{both.request}-1", ADMIN)
    assert (message["total"], message["open"]) == (1, [])
    listed = await found.list_by_reference("r", both.username, "", ADMIN)
    assert [(request["request"], request["total"], request["open"]) for request in listed] == [
        (both.request, 2, 1),
        (other.request, 1, 0),
    ]
    assert await found.list_by_reference("r", both.username, other.request, ADMIN) == []


async def test_v1_shows_what_waits_as_queued_and_what_was_cancelled_as_expired(database: Database) -> None:
    waiting, story = make_story(0)
    await record(database, story[0])
    cancelled = job(at=NOW, request=request_id(NOW, tail=1))
    await record(database, cancelled, outcome(cancelled, Status.CANCELLED, attempt=0))

    for of, in_v1, in_v2 in ((waiting, "queued", "scheduled"), (cancelled, "expired", "cancelled")):
        (shown,) = await find(database, id=f"{of.request}-0")
        assert shown["status"] == in_v1
        assert {line["status"] for line in shown["timeline"]} <= {in_v1}
        assert [message["id"] for message in await find(database, status=in_v1)] == [shown["id"]]
        (listed,) = (await find_page(database, status=in_v2)).rows
        assert (listed["id"], listed["status"]) == (shown["id"], in_v2)


async def test_what_is_due_outside_its_window_is_held_in_any_order_of_recording(database: Database) -> None:
    for tail, order in enumerate(permutations(range(3))):
        first = job(request=request_id(NOW, tail=tail), at=NOW, due_at=DUE, expires_at=DUE + LIFE)
        hold: dict[str, Any] = {"held_until": MOVED, "held_by": "night", "expires_at": MOVED + LIFE, "moves": 1}
        held = first.model_copy(update=hold)
        again = held.model_copy(update={"held_by": "day", "moves": 2})
        story = [make_delivery(first, SCHEDULE), make_delivery(held, RESCHEDULE), make_delivery(again, RESCHEDULE)]
        for place in order:
            await record(database, story[place])
        (shown,) = (await find_page(database, id=first.request)).rows
        assert (shown["status"], shown["held_until"], shown["held_by"]) == ("held", rfc3339(MOVED), "day"), order
        (v1,) = await find(database, id=first.request)
        assert v1["status"] == "queued"
        await record(database, again.model_copy(update={"released_at": MOVED, "expires_at": MOVED + LIFE}))
        (shown,) = (await find_page(database, id=first.request)).rows
        assert (shown["status"], shown["held_until"], shown["held_by"]) == ("queued", None, None), order
