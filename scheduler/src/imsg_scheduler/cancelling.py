"""Cancels requests and messages, on behalf of their users: a message is sent or cancelled, never both.

What waits here is cancelled in the transaction that would release it. Of what senders may have, first the cancel is
kept, and then it is settled (`cancel_settling`).
"""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from imsg_contract.errors import Refusal
from imsg_contract.ids import time_of
from imsg_contract.roles import OPERATORS, refuse_role
from imsg_contract.wire import Job
from imsg_runtime.logs import RecurringProblem, logger
from imsg_scheduler.cancel_settling import AWAY, CancelSettler
from imsg_scheduler.cancels import Cancel, Totals
from imsg_scheduler.clock import RedisClock
from imsg_scheduler.store import CancelFilter, Rows, Store
from imsg_scheduler.tables import ALL_MESSAGES
from imsg_web.callers import Caller
from imsg_web.service_client import Peer, ServiceFailed

log = logger(__name__)

OK, NOT_FOUND = 200, 404

YOUNG_S = 60.0
"""A request of this age may not be recorded yet: history is asked for it for up to RECORDED_S."""

RECORDED_S = 5.0
POLL_S = 0.2

BATCH = 500
"""Jobs of one transaction."""

TOGETHER = 16
"""Requests cancelled in the claims side by side."""

UNFINISHED = timedelta(seconds=30)
"""The age at which another process finishes a cancel: the one that began it has answered, or died."""

FINISH_EVERY_S = 5.0


class Canceller:
    """Cancels; what a caller asks for twice is answered as the first time."""

    def __init__(
        self,
        store: Store,
        settler: CancelSettler,
        history: Peer,
        clock: RedisClock,
    ) -> None:
        self._store = store
        self._settler = settler
        self._history = history
        self._clock = clock

    async def run(self) -> None:
        """Finish what others have begun, until cancelled."""
        problem = RecurringProblem(log, "cancels_not_finished")
        while True:
            await asyncio.sleep(FINISH_EVERY_S)
            with problem.catch(*AWAY):
                before = await self._clock.read() - UNFINISHED
                async with self._store.reading() as rows:
                    begun = await rows.list_unfinished(round(before.timestamp() * 1_000), BATCH)
                await self._settler.settle(begun)

    async def cancel(self, request: str, n: int, caller: Caller) -> Cancel:
        """Cancel a request (`n` is ALL_MESSAGES) or one message of it; return it with its totals.

        Raises Refusal not_found; what is in AWAY, where the result is not known yet.
        """
        now = await self._clock.read()
        async with self._store.writing() as rows:
            cancel, of_legs = await rows.find_cancel(request, n), list[Cancel]()
            if cancel is None or cancel.job is not None:
                of_legs = await self._stop_legs(rows, request, n, caller, now)
            if cancel is None:
                cancel = await self._cancel_waiting(rows, request, n, caller, now)
            if cancel is None and not of_legs and n == ALL_MESSAGES:
                cancel, of_legs = await self._stop_leg(rows, request, caller, now)
        if cancel is None:
            cancel = await self._find_published(request, n, caller, now)
            async with self._store.writing() as rows:
                await rows.add_cancels([cancel])
        _require_own(cancel.user_id, request, caller)
        if cancel.job is not None:
            (cancel,) = await self._settler.settle([cancel])
        if of_legs:
            cancel = _count_legs(cancel, await self._settler.settle(of_legs))
            async with self._store.writing() as rows:
                await rows.finish_cancels([cancel])
        return cancel

    async def cancel_by_reference(self, reference: str, username: str | None, caller: Caller) -> tuple[str, Totals]:
        """Cancel the requests of a user that have a reference; return the user's id, and the sum of all answers.

        Raises Refusal no_right for another user; what is in AWAY.
        """
        if username not in (None, caller.username) and caller.role not in OPERATORS:
            raise refuse_role(OPERATORS)
        open_requests = await self._list_by_reference(reference, username, caller)
        user_id = _find_owner(open_requests, username, caller)
        open_requests = [message for message in open_requests if message["user_id"] == user_id]
        chosen = CancelFilter(user_id, reference=reference)
        while await self._take_chosen(chosen):
            pass
        settled = 0
        for at in range(0, len(open_requests), BATCH):
            part = open_requests[at : at + BATCH]
            async with self._store.reading() as rows:
                names = [message["request"] for message in part]
                cancels = {cancel.request: cancel for cancel in await rows.list_cancels(names)}
                running = await rows.fallbacks.find_running(names)
            new = [message for message in part if message["request"] not in cancels]
            unfinished = [message["request"] for message in new if message["open"] or message["request"] in running]
            are_open = set(unfinished)
            settled += sum(message["total"] for message in new if message["request"] not in are_open)
            unfinished += [cancel.request for cancel in cancels.values() if cancel.job is not None]
            for first in range(0, len(unfinished), TOGETHER):
                together = unfinished[first : first + TOGETHER]
                await asyncio.gather(*(self.cancel(request, ALL_MESSAGES, caller) for request in together))
        async with self._store.reading() as rows:
            totals = await rows.sum_chosen(chosen)
        return user_id, totals._replace(settled=totals.settled + settled)

    async def cancel_held(self, window: str, caller: Caller) -> Totals:
        """Cancel what a window holds: of the user, or for operators of all users. Raises what is in AWAY."""
        chosen = CancelFilter(None if caller.role in OPERATORS else caller.user_id, held_by=window)
        while await self._take_chosen(chosen):
            pass
        async with self._store.reading() as rows:
            return await rows.sum_chosen(chosen)

    # Take what waits here

    async def _cancel_waiting(self, rows: Rows, request: str, n: int, caller: Caller, now: datetime) -> Cancel | None:
        """Take a job, or one message of it, out of what waits; None where it is not here (any more)."""
        waiting = await rows.lock(request)
        if waiting is None:
            return None
        await asyncio.sleep(0)  # others' turn: reading a long list is a turn of its own
        job = waiting.job
        _require_own(job.user_id, request, caller)
        chosen = tuple(recipient for recipient in job.recipients if n in (ALL_MESSAGES, recipient.n))
        if not chosen:
            return None
        part = job.model_copy(update={"recipients": chosen})
        if waiting.is_releasing:
            cancel = Cancel.of(part, n, now, total=len(chosen), totals=None)
        else:
            cancel = Cancel.of(part, n, now, total=len(chosen), totals=Totals(len(chosen), 0, 0))
            left = tuple(recipient for recipient in job.recipients if n not in (ALL_MESSAGES, recipient.n))
            if left:
                await rows.strip(job.model_copy(update={"recipients": left}))
            else:
                await rows.remove([request])
        await rows.add_cancels([cancel])
        return cancel

    async def _stop_legs(self, rows: Rows, request: str, n: int, caller: Caller, now: datetime) -> list[Cancel]:
        """Begin no further legs of a request; keep and return the cancels of those that were begun."""
        fallback = await rows.fallbacks.lock(request)
        if fallback is None:
            return []
        _require_own(fallback.job.user_id, request, caller)
        cancels = [
            # Without what requests are chosen by: it counts with the first leg.
            replace(Cancel.of(job, n, now, total=len(job.recipients), totals=None), reference=None, held_by=None)
            for job in await rows.fallbacks.stop(fallback, n)
        ]
        await rows.add_cancels(cancels)
        return cancels

    async def _stop_leg(
        self, rows: Rows, leg: str, caller: Caller, now: datetime
    ) -> tuple[Cancel | None, list[Cancel]]:
        """Stop beginning further legs, and store that.

        Return the cancel of those who have begun it, and a cancel that counts the others; None where all have begun it,
        or it is no such leg.
        """
        request = (await rows.fallbacks.find_requests([leg])).get(leg, leg)
        fallback = await rows.fallbacks.lock(request) if request != leg else None
        if fallback is None:
            return None, []
        _require_own(fallback.job.user_id, leg, caller)
        place = [job.request for job in fallback.jobs].index(leg)
        people, job = fallback.read_people(), fallback.jobs[place]
        if not (unbegun := people.list_unbegun(place)):
            return None, []
        begun, total = set(people.list_begun(place)), len(job.recipients)
        part = job.model_copy(
            update={"recipients": tuple(recipient for recipient in job.recipients if recipient.n in begun)}
        )
        cancel = replace(Cancel.of(part, ALL_MESSAGES, now, total=total, totals=None), reference=None, held_by=None)
        if not begun:
            cancel = replace(cancel, is_published=False, totals=Totals(0, 0, total), job=None)
        await rows.add_cancels([cancel])
        return cancel, [replace(cancel, totals=Totals(len(unbegun), 0, 0), job=None)]

    async def _take_chosen(self, chosen: CancelFilter) -> bool:
        """Take some of the chosen jobs; False where none is left."""
        now = await self._clock.read()
        async with self._store.writing() as rows:
            jobs = await rows.lock_chosen(chosen, BATCH)
            cancels = [
                Cancel.of(job, ALL_MESSAGES, now, total=len(job.recipients), totals=Totals(len(job.recipients), 0, 0))
                for job in jobs
            ]
            await rows.remove([job.request for job in jobs])
            await rows.add_cancels(cancels)
        await self._settler.settle(cancels)
        return bool(jobs)

    # Find what senders may have

    async def _find_published(self, request: str, n: int, caller: Caller, now: datetime) -> Cancel:
        name = request if n == ALL_MESSAGES else f"{request}-{n}"
        loop, path = asyncio.get_running_loop(), f"/internal/open/{name}"
        until = loop.time() + RECORDED_S
        is_young = abs(now.timestamp() - time_of(request)) < YOUNG_S
        while (answer := await self._history.call("GET", path, caller=caller)).status_code == NOT_FOUND:
            if not is_young or loop.time() >= until:
                raise Refusal("not_found", what=name)
            await asyncio.sleep(POLL_S)
        if answer.status_code != OK:
            raise ServiceFailed(f"history answered {answer.status_code} to /internal/open/ID")
        open_request: dict[str, Any] = answer.json()
        _require_own(open_request["user_id"], request, caller)
        total = open_request["total"]
        if not open_request["open"] or open_request["job"] is None:
            return Cancel(
                request,
                n,
                open_request["user_id"],
                open_request["reference"],
                None,
                now,
                now + timedelta(days=30),
                is_published=False,
                total=total,
                totals=Totals(0, 0, total),
                job=None,
            )
        async with self._store.reading() as rows:
            before = (await rows.find_cancelled([request])).get(request, set())
        job, still_open = (
            Job.model_validate_json(base64.b64decode(open_request["job"])),
            set(open_request["open"]) - before,
        )
        await asyncio.sleep(0)  # others' turn, as above
        chosen = tuple(recipient for recipient in job.recipients if recipient.n in still_open)
        part = job.model_copy(update={"recipients": chosen})
        return Cancel.of(part, n, now, total=total, totals=None)

    async def _list_by_reference(self, reference: str, username: str | None, caller: Caller) -> list[dict[str, Any]]:
        open_requests: list[dict[str, Any]] = []
        while True:
            query = {
                "reference": reference,
                "username": username or "",
                "after": open_requests[-1]["request"] if open_requests else "",
            }
            answer = await self._history.call("GET", "/internal/open", caller=caller, params=query)
            if answer.status_code != OK:
                raise ServiceFailed(f"history answered {answer.status_code} to /internal/open")
            page = answer.json()["requests"]
            if not page:
                return open_requests
            open_requests += page


def _count_legs(cancel: Cancel, of_legs: Sequence[Cancel]) -> Cancel:
    """Count each person once: by the leg that was begun last, where the first has settled.

    Of a further leg that is cancelled by its own id these are the people who have not begun it.
    """
    totals = cancel.totals or Totals(0, 0, 0)
    cancelled = sum(leg.totals.cancelled for leg in of_legs if leg.totals)
    too_late = sum(leg.totals.too_late for leg in of_legs if leg.totals)
    settled = max(totals.settled - cancelled - too_late, 0)
    return replace(cancel, totals=Totals(totals.cancelled + cancelled, totals.too_late + too_late, settled))


def _find_owner(open_requests: Sequence[dict[str, Any]], username: str | None, caller: Caller) -> str:
    """Return the id of the user whose requests are meant; of several who had the name, the newest."""
    if username in (None, caller.username):
        return caller.user_id
    return str(open_requests[-1]["user_id"]) if open_requests else ""


def _require_own(user_id: str, request: str, caller: Caller) -> None:
    """Raise Refusal not_found for another user's, which operators alone may cancel."""
    if caller.role not in OPERATORS and user_id != caller.user_id:
        raise Refusal("not_found", what=request)
