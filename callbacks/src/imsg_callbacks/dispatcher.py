"""Sends due deliveries, so that slow endpoints do not delay the others.

Each endpoint has a bound of calls in flight (`endpoint_sender.AT_ONCE`; 1 once it keeps failing), and failing
endpoints together have `FAILING_IN_FLIGHT`: the rest of `IN_FLIGHT` stays free for the others.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from pydantic_core import from_json

from imsg_callbacks import signatures
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.endpoint_client import TIMEOUT_S, EndpointClient
from imsg_callbacks.endpoint_sender import FAILING_AFTER, LEASE_MS, MAX_WAITING, EndpointSender
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.event_log import Lease
from imsg_callbacks.records import Attempt, DueDelivery, Endpoint
from imsg_callbacks.schedule import DISABLED_WHY, EndpointReply, next_in_s
from imsg_callbacks.urls import BadUrl, read_url
from imsg_callbacks.vault import Unreadable
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

IN_FLIGHT = 1_024
FAILING_IN_FLIGHT = 512
"""Calls in flight of all endpoints, and of failing ones."""

MAX_WAITING_TOTAL = 8_192
"""Deliveries of all endpoints in memory. The others wait in the table: beyond this an append leases none, and each
endpoint no more than the calls that it may have in flight."""

FIND_DUE_EVERY_S = 1.0
WAKE_DELAY_S = 0.02
"""How long to wait after a wake before the table is queried, so that several wakes cost one query."""

SETTLE_EVERY_S = 0.2
"""How long finished attempts are collected before one transaction records them."""

SETTLE_AT_ONCE = 500
MAX_UNSETTLED = 2_000
"""Attempts in flight or not yet recorded. A killed process repeats at most this many."""

DATABASE_RETRY_S = 1.0
DURATION_BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)


class DispatcherMetrics:
    """The Prometheus metrics of calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter("imsg_callback_calls_total", "Calls of endpoints", ["result"], registry=registry)
        self.disabled = Counter("imsg_callbacks_disabled_total", "Endpoints disabled", ["why"], registry=registry)
        for result in ("delivered", "failed"):
            self.calls.labels(result)
        for why in DISABLED_WHY:
            self.disabled.labels(why)  # shown as 0: of a series that begins with 1 Prometheus sees no increase
        self.in_flight = Gauge("imsg_callback_calls_in_flight", "Calls of endpoints in flight", registry=registry)
        self.seconds = Histogram(
            "imsg_callback_call_duration_seconds",
            "How long endpoints take",
            buckets=DURATION_BUCKETS_S,
            registry=registry,
        )


class Dispatcher:
    """Sends deliveries until it is stopped. Several processes share the table by leases."""

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
        self._is_stopping = False
        self._woken = asyncio.Event()
        self._calls = asyncio.Semaphore(IN_FLIGHT)
        self._failing_calls = asyncio.Semaphore(FAILING_IN_FLIGHT)
        self._attempts: list[tuple[Attempt, asyncio.Event]] = []
        self._has_attempts = asyncio.Event()
        self._unsettled = asyncio.Semaphore(MAX_UNSETTLED)

    def wake(self) -> None:
        """Query the table soon: something may be due."""
        self._woken.set()

    def lease(self) -> Lease:
        """Return how many new deliveries an append may lease for this process."""
        return Lease(self._now() + LEASE_MS, self._find_capacity, 0 if self._is_stopping else self._find_room())

    def enqueue(self, leased: Sequence[DueDelivery], remaining: Collection[str]) -> None:
        """Send leased deliveries. The endpoints in `remaining` have more due in the table."""
        by_endpoint: defaultdict[str, list[DueDelivery]] = defaultdict(list)
        for due in leased:
            by_endpoint[due.endpoint.id].append(due)
        for name, deliveries in by_endpoint.items():
            self._get_sender(name, deliveries[0].endpoint.failures).enqueue(deliveries)
        for name in remaining:
            if name in self._senders:
                self._senders[name].wake()
            else:
                self.wake()

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until `stopping`. Leased deliveries that were not tried are sent after their lease ends."""
        recording = asyncio.create_task(self._record_attempts())
        problem = RecurringProblem(log, "database_unavailable", what="due deliveries")
        try:
            while not stopping.is_set():
                self._woken.clear()
                with problem.catch(DatabaseUnavailable):
                    for name, failures in (await self._deliveries.find_due()).items():
                        self._get_sender(name, failures).wake()
                self._reap(recording)
                await _wait_for_either(self._woken, stopping, FIND_DUE_EVERY_S)
                await asyncio.sleep(WAKE_DELAY_S)
            await self._stop()
        finally:
            for task in self._tasks:
                task.cancel()
            recording.cancel()
            await asyncio.gather(recording, *self._tasks, return_exceptions=True)

    async def _stop(self) -> None:
        """Wait, with a bound, for the calls in flight and the record of their attempts."""
        self._is_stopping = True
        for sender in self._senders.values():
            sender.stop()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=TIMEOUT_S + 1)
        with suppress(TimeoutError):
            async with asyncio.timeout(DATABASE_RETRY_S):
                for _, recorded in list(self._attempts):
                    await recorded.wait()

    def _find_room(self) -> int:
        return max(0, MAX_WAITING_TOTAL - sum(sender.waiting for sender in self._senders.values()))

    def _find_capacity(self, endpoint: Endpoint) -> int:
        if endpoint.failures >= FAILING_AFTER:
            return 0
        sender = self._senders.get(endpoint.id)
        return MAX_WAITING if sender is None else sender.capacity

    def _get_sender(self, name: str, failures: int) -> EndpointSender:
        """Return the sender of an endpoint; start one if there is none."""
        if name not in self._senders:
            self._senders[name] = EndpointSender(name, self._deliveries.lease, self._send, failures, self._find_room)
            self._tasks.add(asyncio.create_task(self._serve(name)))
        return self._senders[name]

    async def call(self, endpoint: Endpoint, event: str, body: bytes) -> EndpointReply:
        """Call an endpoint once, now; every failure is a reply with an error."""
        try:
            destination = read_url(endpoint.url)
            secrets = self._endpoints.valid_secrets(endpoint)
        except (BadUrl, Unreadable) as error:
            return EndpointReply(None, str(error))
        timestamp = int(datetime.now(UTC).timestamp())
        reply = await self._client.post(
            destination.url, body, signatures.write_headers(secrets, event, timestamp, body)
        )
        self._metrics.calls.labels("delivered" if reply.is_success else "failed").inc()
        self._metrics.seconds.observe(reply.took_ms / 1_000)
        return reply

    def _reap(self, recording: asyncio.Task[None]) -> None:
        """Remove finished tasks. Raises the exception of one that failed: a bug, which ends the process."""
        if recording.done():
            recording.result()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()

    async def _serve(self, name: str) -> None:
        """Run the sender of one endpoint until nothing is due."""
        try:
            await self._senders[name].run()
        finally:
            del self._senders[name]

    async def _send(self, due: DueDelivery, is_failing: bool) -> EndpointReply:  # noqa: FBT001  the type `Send`
        """Try one delivery and return the reply; `_record_attempts` records it a moment later."""
        await self._unsettled.acquire()
        async with self._calls, self._failing_calls if is_failing else nullcontext():
            with self._metrics.in_flight.track_inprogress():
                reply = await self.call(due.endpoint, due.event, due.body.encode())
        data = from_json(due.body)["data"]
        about = {key: data[name] for key, name in (("request", "request"), ("message", "id")) if name in data}
        about |= {"endpoint": due.endpoint.id, "user": due.endpoint.username}
        log.info("called", status=reply.status, why=reply.error, ms=reply.took_ms, **about)
        now = self._now()
        wait_s = None
        if not reply.is_success and not reply.is_gone:
            wait_s = next_in_s(due.round + 1, random.random(), reply.retry_after_s)  # noqa: S311  jitter
        due_at = None if wait_s is None else now + round(wait_s * 1_000)
        recorded = asyncio.Event()
        self._attempts.append((Attempt(due.endpoint.id, due.number, reply, now, due_at), recorded))
        self._has_attempts.set()
        if reply.is_gone:
            await recorded.wait()  # no other delivery starts before the endpoint is disabled
        return reply

    async def _record_attempts(self) -> None:
        """Record finished attempts in batches, again and again while the database is unavailable."""
        problem = RecurringProblem(log, "database_unavailable", what="attempts")
        while True:
            await self._has_attempts.wait()
            if len(self._attempts) < SETTLE_AT_ONCE:
                await asyncio.sleep(SETTLE_EVERY_S)
            batch = self._attempts[:SETTLE_AT_ONCE]
            while True:
                try:
                    disabled = await self._deliveries.settle([attempt for attempt, _ in batch])
                    break
                except DatabaseUnavailable as error:
                    problem.report(error)
                    await asyncio.sleep(DATABASE_RETRY_S)
            problem.clear()
            del self._attempts[: len(batch)]
            if not self._attempts:
                self._has_attempts.clear()
            self._log_disabled(disabled)
            for _, recorded in batch:
                recorded.set()
                self._unsettled.release()

    def _log_disabled(self, disabled: Sequence[tuple[Endpoint, str]]) -> None:
        for endpoint, why in disabled:
            log.warning("callback_disabled", id=endpoint.id, user=endpoint.username, why=why)
            self._metrics.disabled.labels(why).inc()
        if disabled:
            self.wake()


async def _wait_for_either(first: asyncio.Event, second: asyncio.Event, timeout_s: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in {first, second}]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
