"""Stopping a channel's calls while no provider accepts anything: one call tries, the others wait for its result.

Otherwise every message would be tried in vain, and wait in the retry steps when the provider is back.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from imsg_contract.results import Blocked
from imsg_contract.topology import Lane
from imsg_contract.wire import Job
from imsg_delivery.decide import MAX_EXTENSION_S
from imsg_delivery.disposition import Requeue
from imsg_runtime.logs import logger

log = logger(__name__)

TRY_S = 10.0
"""The time after which a second call may try: the provider may not answer the first."""

POLL_S = 0.25
"""How often the guard checks whether an outage began or ended without a call: a provider was switched."""

REMEMBERED = 200
"""Outages that are remembered: their duration is added to the life of messages that waited through them."""


@dataclass(slots=True)
class _Outage:
    began: float
    """By the worker's clock."""
    ended: float | None = None


class OutageGuard:
    """Stops calls while the channel reports an outage (`SupportsOutage.find_outage`).

    During an outage a call waits until the outage ends, or until it may try. Lanes try in turn, the lowest first, since
    a failed try is delayed by the retry steps; within a lane the longest waiting call tries.
    """

    def __init__(
        self, find_outage: Callable[[], Blocked | None], clock: Callable[[], float], try_s: float = TRY_S
    ) -> None:
        self.is_on = False
        self.outages: deque[_Outage] = deque(maxlen=REMEMBERED)
        """The last ones, the present one too."""
        self._find_outage = find_outage
        self._clock = clock
        self._try_s = try_s
        self._waiting: dict[Lane, deque[asyncio.Future[bool]]] = defaultdict(deque)
        self._turned_away: set[Lane] = set()
        self._turns = deque(reversed(Lane))
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None

    def check(self) -> Blocked | None:
        """Check for an outage after a result that may have changed that; return it."""
        outage = self._find_outage()
        if outage is None:
            self._release()
            return None
        if not self.is_on:
            self.is_on = True
            self.outages.append(_Outage(self._clock()))
            log.warning("outage_began", scope=outage.scope, code=outage.code, why=outage.detail)
        self._try_later(outage.after_s)
        return outage

    async def watch(self) -> None:
        """Check again and again, as long as the worker runs."""
        while True:
            await asyncio.sleep(POLL_S)
            if (self._find_outage() is None) == self.is_on:
                self.check()

    async def wait(self, lane: Lane) -> bool:
        """Wait until the outage ends (False), or until this call may try (True): then call `end_try` afterwards.

        Raises Requeue where the lane is requeued meanwhile.
        """
        if not self.is_on:
            return False
        if lane in self._turned_away:
            raise Requeue("interrupted")
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(waiter)
        if self._timer is None:
            self._try_later(0.0)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None and waiter.result():
                self.end_try()
            raise

    def end_try(self) -> None:
        """End a call's try, whatever its result."""
        self._tries = max(0, self._tries - 1)
        self.check()

    def dismiss(self, lane: Lane) -> None:
        """Requeue the calls of a lane that wait, and those that follow, until `admit`."""
        self._turned_away.add(lane)
        for waiter in self._waiting.pop(lane, ()):
            if not waiter.done():
                waiter.set_exception(Requeue("interrupted"))

    def admit(self, lane: Lane) -> None:
        """Stop requeueing the calls of a lane: they wait again."""
        self._turned_away.discard(lane)

    def prolong(self, job: Job, now_s: float) -> Job:
        """Add the duration of outages to a job's life, as blocks do: by 24 h at most in all (promise 5).

        `now_s` is Unix time by Redis' clock.
        """
        now, queued_s = self._clock(), job.queued_at.timestamp()
        queued = now - (now_s - queued_s)
        lost_s = sum(
            max(0.0, (now if outage.ended is None else outage.ended) - max(outage.began, queued))
            for outage in self.outages
        )
        extra_s = min(int(lost_s), MAX_EXTENSION_S) - job.extended_s
        if extra_s <= 0:
            return job
        later = {"expires_at": job.expires_at + timedelta(seconds=extra_s), "extended_s": job.extended_s + extra_s}
        return job.model_copy(update=later)

    def find_reported(self) -> Blocked | None:
        """Return why calls wait, if any do: the state of the channel that is reported."""
        has_calls = self._tries or any(self._waiting.values())
        return self._find_outage() if self.is_on and has_calls else None

    def _release(self) -> None:
        if not self.is_on:
            return
        self.is_on = False
        self.outages[-1].ended = self._clock()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        log.info("outage_ended", after_s=round(self.outages[-1].ended - self.outages[-1].began, 1))
        waiting, self._waiting = self._waiting, defaultdict(deque)
        for lane in Lane:
            for waiter in waiting[lane]:
                if not waiter.done():
                    waiter.set_result(False)

    def _try_later(self, after_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, after_s), self._release_try)

    def _release_try(self) -> None:
        self._timer = None
        if not self.is_on:
            return
        outage = self._find_outage()
        if outage is None:
            self._release()
        elif outage.after_s > 0:
            self._try_later(outage.after_s)
        else:
            self._choose()

    def _choose(self) -> None:
        for lane in tuple(self._turns):
            waiting = self._waiting[lane]
            while waiting:
                waiter = waiting.popleft()
                if not waiter.done():
                    self._tries += 1
                    self._turns.remove(lane)
                    self._turns.append(lane)
                    self._try_later(self._try_s)
                    waiter.set_result(True)
                    return
