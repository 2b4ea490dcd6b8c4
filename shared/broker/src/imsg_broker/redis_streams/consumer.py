"""Consumers of a stream: a lease, blocking reads, and a hand-back of unacked entries at the end."""

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import redis.exceptions

from imsg_broker.deliveries import Deliveries
from imsg_broker.port import Delivery
from imsg_broker.redis_streams.reader import Entry, Reader
from imsg_broker.redis_streams.scripts import ACK, GROUP, LEAVE, PUBLISH, RENEW
from imsg_contract.topology import DEAD, DELIVERY_LIMIT, Topology
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Argument, Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

LEASE_S = 5.0
"""The lease of a consumer; once it expires, others hand its deliveries back."""

HOUSEKEEPING_S = 1.0
"""The longest time between runs of the housekeeping (`scripts.RENEW`)."""

PAUSE_S = 0.5
"""The pause before a lost consumer starts again."""

CANCEL_RETRY_S = 0.1

MIN_PAUSE_S = 0.005
"""The shortest time between runs of the housekeeping."""

ACK_BATCH = 500
"""Acks of one script call; Lua unpacks some thousand arguments at most."""

ACKS_WAIT_S = 0.005
"""How long acks wait to be sent together while other deliveries are unacked."""

MOVE_BATCH = 50
"""Delayed jobs moved in one script call, which blocks the server: a long job has half a megabyte."""


class _LeaseExpiredError(Exception):
    """The lease had expired before it was renewed: other consumers may have its deliveries."""


@dataclass(frozen=True, slots=True)
class _Handle:
    """The stream and the entry of a delivery."""

    consumer: "Consumer"
    stream: str
    id: bytes


class Consumer:
    """One consumer of one queue."""

    def __init__(self, url: str, shared: Redis, topology: Topology, queue: str, prefetch: int) -> None:
        self.queue = queue
        self.deliveries = Deliveries()
        self.is_consuming = False
        """Whether it reads now."""
        self._url = url
        self._shared = shared
        self._prefetch = prefetch
        self._keys = (queue, name_returned_stream(queue), name_retry_set(queue), topology.history)
        self._room = asyncio.Event()
        self._unsent_acks: deque[_Handle] = deque()
        self._has_acks = asyncio.Event()
        self._not_handed_back: set[str] = set()
        self._problem = RecurringProblem(log, "consumer_lost", queue=queue)
        self._ack_problem = RecurringProblem(log, "acks_owed", queue=queue)

    async def run(self) -> None:
        """Consume until cancelled, across every loss of the server."""
        while True:
            try:
                await self._consume(uuid.uuid4().hex)
            except (RedisUnavailable, RedisRefused, redis.exceptions.RedisError, OSError, _LeaseExpiredError) as error:
                self._problem.report(error)
            await asyncio.sleep(PAUSE_S)

    def ack(self, handle: _Handle) -> None:
        """Queue an ack. Acks are sent in batches, and before any entry is handed back."""
        self._unsent_acks.append(handle)
        self._has_acks.set()
        self._room.set()

    async def _consume(self, name: str) -> None:
        """Run one consumer of the group until a task fails; then drop and hand back its deliveries."""
        reader = Reader(self._url, self.queue, name_returned_stream(self.queue), name)
        try:
            await self._join(name)
            reading = asyncio.create_task(self._read(reader), name=f"read:{self.queue}")
            housekeeping = asyncio.create_task(self._run_housekeeping(name), name=f"keep:{self.queue}")
            acking = asyncio.create_task(self._run_acks(), name=f"ack:{self.queue}")
            tasks = [reading, housekeeping, acking]
            self.is_consuming = True
            self._problem.clear()
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.is_consuming = False
                self.deliveries.drop_all()
                await _end(*tasks)
            for task in done:
                task.result()
        finally:
            await reader.close()
            await self._leave(name, reader.number)

    async def _join(self, name: str) -> None:
        """Acquire a lease, and hand back the deliveries of earlier runs."""
        await self._renew_lease(name, joining=True)
        await self._send_acks()
        for old in list(self._not_handed_back):
            await self._hand_back(old)

    async def _leave(self, name: str, number: int | None) -> None:
        self._not_handed_back.add(name)
        try:
            await self._end_reading(name, number)
            await self._send_acks()
            await self._hand_back(name)
        except (RedisUnavailable, RedisRefused) as error:
            log.warning("hand_back_failed", queue=self.queue, reason=str(error))

    async def _end_reading(self, name: str, number: int | None) -> None:
        """Kill the reader's connection: its blocked read could still fetch an entry.

        The client's name is checked too, since a restarted server reuses connection numbers.
        """
        if number is not None and name.encode() in await self._shared.call("CLIENT", "LIST", "ID", number):
            await self._shared.call("CLIENT", "KILL", "ID", number)

    async def _hand_back(self, name: str) -> None:
        await self._shared.run(LEAVE, self._keys, [GROUP, name, DELIVERY_LIMIT])
        self._not_handed_back.discard(name)

    async def _read(self, reader: Reader) -> None:
        await reader.open()
        while True:
            while (free := self._prefetch - len(self.deliveries)) <= 0:
                self._room.clear()
                await self._room.wait()
            for entry in await reader.read(free):
                delivery = self._parse(entry)
                if isinstance(delivery, Delivery):
                    self.deliveries.add(delivery)
                else:
                    await self._dead_letter(entry, delivery)

    async def _run_housekeeping(self, name: str) -> None:
        """Renew the lease and do the queue's housekeeping.

        A server that does not answer ends it: raises RedisUnavailable.
        """
        pause_s = 0.0
        while True:
            await asyncio.sleep(max(MIN_PAUSE_S, min(HOUSEKEEPING_S, pause_s)))
            pause_s = await self._renew_lease(name, joining=False)

    async def _renew_lease(self, name: str, *, joining: bool) -> float:
        lease_ms = int(LEASE_S * 1_000)
        arguments: list[Argument] = [GROUP, name, DELIVERY_LIMIT, lease_ms, int(joining), MOVE_BATCH]
        next_ms = int(await self._shared.run(RENEW, self._keys, arguments))
        if next_ms < 0:
            raise _LeaseExpiredError("the lease had lapsed")
        return next_ms / 1_000

    async def _run_acks(self) -> None:
        """Send acks as they are queued. A failed batch is sent again; the lease keeps its entries from others."""
        while True:
            await self._has_acks.wait()
            if len(self.deliveries):  # more acks will follow
                await asyncio.sleep(ACKS_WAIT_S)
            self._has_acks.clear()
            try:
                await self._send_acks()
                self._ack_problem.clear()
            except RedisUnavailable as error:
                self._ack_problem.report(error, count=len(self._unsent_acks))
                self._has_acks.set()
                await asyncio.sleep(PAUSE_S)

    async def _send_acks(self) -> None:
        while self._unsent_acks:
            batch = [self._unsent_acks[n] for n in range(min(ACK_BATCH, len(self._unsent_acks)))]
            for stream in {handle.stream for handle in batch}:
                ids = [handle.id for handle in batch if handle.stream == stream]
                await self._shared.run(ACK, [stream], [GROUP, *ids])
            for _ in batch:
                self._unsent_acks.popleft()

    def _parse(self, entry: Entry) -> Delivery | str:
        """Return an entry's delivery, or what is wrong with the entry."""
        stream, number, fields = entry
        by_name = _read_fields(fields)
        missing = [name.decode() for name in (b"b", b"k", b"h", b"n") if name not in by_name]
        if missing:
            return f"malformed: the entry has no field {', '.join(missing)}"
        try:
            key, headers = by_name[b"k"].decode(), json.loads(by_name[b"h"]) if by_name[b"h"] else {}
            json.dumps(headers, ensure_ascii=False).encode()  # raises for a lone surrogate
        except (ValueError, RecursionError) as error:
            return f"malformed: the entry's key or headers can't be read: {type(error).__name__}"
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            return "malformed: the entry's headers are not texts by name"
        is_returned = by_name[b"n"] != b"0"
        return Delivery(by_name[b"b"], key, self.queue, headers, is_returned, _Handle(self, stream.decode(), number))

    async def _dead_letter(self, entry: Entry, why: str) -> None:
        """Dead-letter a malformed entry to history, and ack it."""
        stream, number, fields = entry
        log.error("dead_lettered", queue=self.queue, why=why)
        body = _read_fields(fields).get(b"b", b" ".join(fields or ()))
        headers = json.dumps({"reason": why, "queue": self.queue})
        await self._shared.run(PUBLISH, [self._keys[-1]], [body, DEAD, headers])
        await self._shared.run(ACK, [stream.decode()], [GROUP, number])


def _read_fields(fields: Sequence[bytes] | None) -> dict[bytes, bytes]:
    """Return an entry's fields by name; none if the entry was deleted meanwhile."""
    return dict(zip(fields[::2], fields[1::2], strict=False)) if fields else {}


def acknowledge(delivery: Delivery) -> None:
    """Ack a delivery; do nothing where it was requeued meanwhile."""
    handle = delivery.handle
    if not isinstance(handle, _Handle):
        raise TypeError("this delivery came from another broker")
    if handle.consumer.deliveries.settle(delivery):
        handle.consumer.ack(handle)


def name_returned_stream(queue: str) -> str:
    """Return the name of a queue's stream of entries that were handed back, which is read first."""
    return f"{queue}.returned"


def name_retry_set(queue: str) -> str:
    """Return the name of a queue's sorted set of delayed messages, by due time."""
    return f"{queue}.retry"


async def _end(*tasks: asyncio.Task[None]) -> None:
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Cancel again: redis-py uses asyncio.wait_for, and in Python 3.11 it loses a cancellation that coincides with
        # its success.
        done, pending = await asyncio.wait(pending, timeout=CANCEL_RETRY_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # retrieved; `_consume` raises the first one
