"""Sending what is due: each endpoint by itself, so many at once, and none at the cost of the others.

An endpoint that does not answer holds as many calls as its bound; once it fails again and again, one. So however many
hang, what is left of the calls in flight is everybody else's.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from imsg_callbacks import signatures
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.destinations import BadUrl, read_url
from imsg_callbacks.endpoint_client import TIMEOUT_S, EndpointClient
from imsg_callbacks.endpoint_sender import FAILING_AFTER, LEASE_MS, MAX_WAITING, EndpointSender
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.event_log import Lease
from imsg_callbacks.records import Attempt, DueDelivery, Endpoint
from imsg_callbacks.schedule import EndpointReply, next_in_s
from imsg_callbacks.vault import Unreadable
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

IN_FLIGHT = 1_024
FAILING_IN_FLIGHT = 512
"""Calls in flight of all endpoints, and of those that fail."""

MAX_WAITING_IN_ALL = 8_192
"""Deliveries of all endpoints up to which new ones are handed over; the others wait in the table."""

LOOK_EVERY_S = 1.0
GATHER_S = 0.02
"""How long news is gathered before it is looked for what is due."""

SETTLE_EVERY_S = 0.2
"""How long what attempts came to is gathered before it is kept: a transaction costs what dozens of rows do."""

SETTLE_AT_ONCE = 500
UNSETTLED = 2_000
"""Attempts that are under way or not kept yet: so many at most are made twice where a process is killed."""

AWAY_S = 1.0
TOOK_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class DispatcherMetrics:
    """The metrics of sending."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter("imsg_callback_calls_total", "Calls of endpoints", ["result"], registry=registry)
        self.disabled = Counter("imsg_callbacks_disabled_total", "Endpoints disabled", ["why"], registry=registry)
        self.in_flight = Gauge("imsg_callback_calls_in_flight", "Calls of endpoints in flight", registry=registry)
        self.seconds = Histogram(
            "imsg_callback_call_duration_seconds", "How long endpoints take", buckets=TOOK_S, registry=registry
        )


class Dispatcher:
    """Sends until it is stopped; several processes share the table by leases."""

    def __init__(
        self,
        deliveries: DeliveryLog,
        endpoints: Endpoints,
        client: EndpointClient,
        now: Callable[[], int],
        metrics: DispatcherMetrics,
    ) -> None:
        self._deliveries = deliveries
        self._endpoints = endpoints
        self._client = client
        self._now = now
        self._metrics = metrics
        self._senders: dict[str, EndpointSender] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_ending = False
        self._news = asyncio.Event()
        self._all = asyncio.Semaphore(IN_FLIGHT)
        self._failing = asyncio.Semaphore(FAILING_IN_FLIGHT)
        self._attempts: list[tuple[Attempt, asyncio.Event]] = []
        self._has_attempts = asyncio.Event()
        self._unsettled = asyncio.Semaphore(UNSETTLED)

    def wake(self) -> None:
        """Say that something is due."""
        self._news.set()

    def lease(self) -> Lease:
        """Say how much of what is appended now may be handed over."""
        waiting = sum(sender.waiting for sender in self._senders.values())
        room_in_all = 0 if self._is_ending else max(0, MAX_WAITING_IN_ALL - waiting)
        return Lease(self._now() + LEASE_MS, self._find_room, room_in_all)

    def enqueue(self, handed: Sequence[DueDelivery], left: Collection[str]) -> None:
        """Send what is leased to us; of the endpoints in `left` there is more in the table."""
        of: defaultdict[str, list[DueDelivery]] = defaultdict(list)
        for due in handed:
            of[due.endpoint.id].append(due)
        for name, some in of.items():
            self._find(name, some[0].endpoint.failures).enqueue(some)
        for name in left:
            if name in self._senders:
                self._senders[name].wake()
            else:
                self.wake()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping`; what was taken and not tried by then is taken again once its lease ends."""
        settling = asyncio.create_task(self._record_attempts())
        problem = RecurringProblem(log, "database_unavailable", what="what is due")
        try:
            while not stopping.is_set():
                self._news.clear()
                try:
                    for name, failures in (await self._deliveries.find_due()).items():
                        self._find(name, failures).wake()
                except DatabaseUnavailable as away:
                    problem.note(away)
                else:
                    problem.clear()
                self._reap(settling)
                await _rest(self._news, stopping, LOOK_EVERY_S)
                await asyncio.sleep(GATHER_S)
            await self._end()
        finally:
            for task in self._tasks:
                task.cancel()
            settling.cancel()
            await asyncio.gather(settling, *self._tasks, return_exceptions=True)

    async def _end(self) -> None:
        """Let calls end, and keep what came of them."""
        self._is_ending = True
        for sender in self._senders.values():
            sender.end()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT_S + 1)
        with suppress(TimeoutError):
            async with asyncio.timeout(AWAY_S):
                for _, kept in list(self._attempts):
                    await kept.wait()

    def _find_room(self, endpoint: Endpoint) -> int:
        if endpoint.failures >= FAILING_AFTER:
            return 0
        sender = self._senders.get(endpoint.id)
        return MAX_WAITING if sender is None else sender.room

    def _find(self, name: str, failures: int) -> EndpointSender:
        """Return the sender of an endpoint; start one where there is none."""
        if name not in self._senders:
            self._senders[name] = EndpointSender(name, self._deliveries.take, self._send, failures)
            self._tasks.add(asyncio.create_task(self._serve(name)))
        return self._senders[name]

    async def call(self, endpoint: Endpoint, event: str, body: bytes) -> EndpointReply:
        """Call an endpoint once, now."""
        try:
            destination = read_url(endpoint.url)
            secrets = self._endpoints.valid_secrets(endpoint)
        except (BadUrl, Unreadable) as error:
            return EndpointReply(None, str(error))
        timestamp = int(datetime.now(UTC).timestamp())
        answer = await self._client.post(destination.url, body, signatures.headers(secrets, event, timestamp, body))
        self._metrics.calls.labels("delivered" if answer.is_success else "failed").inc()
        self._metrics.seconds.observe(answer.took_ms / 1_000)
        return answer

    def _reap(self, settling: asyncio.Task[None]) -> None:
        """Drop what has ended; a bug in one of them ends the process, as everywhere."""
        if settling.done():
            settling.result()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()

    async def _serve(self, name: str) -> None:
        """Send what is to be sent to one endpoint, until nothing is."""
        try:
            await self._senders[name].run()
        finally:
            del self._senders[name]

    async def _send(self, due: DueDelivery, is_failing: bool) -> EndpointReply:  # noqa: FBT001  as Send has it
        """Try one delivery. Its endpoint's place is free with the answer; what came of it is kept a moment later."""
        await self._unsettled.acquire()
        async with self._all, self._failing if is_failing else nullcontext():
            with self._metrics.in_flight.track_inprogress():
                answer = await self.call(due.endpoint, due.event, due.body.encode())
        now = self._now()
        wait_s = None
        if not answer.is_success and not answer.is_gone:
            wait_s = next_in_s(due.round + 1, random.random(), answer.retry_after_s)  # noqa: S311  jitter
        due_at = None if wait_s is None else now + round(wait_s * 1_000)
        kept = asyncio.Event()
        self._attempts.append((Attempt(due.endpoint.id, due.number, answer, now, due_at), kept))
        self._has_attempts.set()
        if answer.is_gone:
            await kept.wait()  # nothing more is sent to it before it is disabled
        return answer

    async def _record_attempts(self) -> None:
        """Keep what attempts came to, many at once; what can't be kept yet is kept later."""
        problem = RecurringProblem(log, "database_unavailable", what="what was attempted")
        while True:
            await self._has_attempts.wait()
            if len(self._attempts) < SETTLE_AT_ONCE:
                await asyncio.sleep(SETTLE_EVERY_S)
            some = self._attempts[:SETTLE_AT_ONCE]
            while True:
                try:
                    disabled = await self._deliveries.settle([attempt for attempt, _ in some])
                    break
                except DatabaseUnavailable as away:
                    problem.note(away)
                    await asyncio.sleep(AWAY_S)
            problem.clear()
            del self._attempts[: len(some)]
            if not self._attempts:
                self._has_attempts.clear()
            self._log_disabled(disabled)
            for _, kept in some:
                kept.set()
                self._unsettled.release()

    def _log_disabled(self, disabled: Sequence[tuple[Endpoint, str]]) -> None:
        for endpoint, why in disabled:
            log.warning("callback_disabled", id=endpoint.id, why=why)
            self._metrics.disabled.labels(why).inc()
        if disabled:
            self.wake()


async def _rest(first: asyncio.Event, second: asyncio.Event, seconds: float) -> None:
    waits = [asyncio.create_task(one.wait()) for one in {first, second}]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
