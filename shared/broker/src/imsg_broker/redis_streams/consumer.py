"""Consuming a stream: a lease that says we live, reads that wait, a hand-back when we leave."""

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
from imsg_broker.redis_streams.scripts import ACK, GROUP, KEEP, LEAVE, PUBLISH
from imsg_contract.topology import DEAD, DELIVERY_LIMIT, Topology
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Argument, Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

LEASE_S = 5.0
"""How long a consumer that gives no sign is taken for alive; then others get its deliveries."""

KEEP_S = 1.0
"""How often the lease is renewed, the dead looked for and the delayed moved, at least."""

PAUSE_S = 0.5
"""Before a consumer that was lost begins again."""

CANCEL_AGAIN_S = 0.1

SOONEST_S = 0.005
"""The shortest pause between two steps of housekeeping."""

ACKED_AT_ONCE = 500
"""Acks of one step; Lua unpacks some thousand arguments at most."""

ACKS_WAIT_S = 0.005
"""How long acks wait for others while there are any unacked."""

MOVED_AT_ONCE = 50
"""Postponed jobs moved in one step: a long one has half a megabyte, and the server does nothing else meanwhile."""


class _LapsedError(Exception):
    """Our lease had run out when we came to renew it: what we held may be with others."""


@dataclass(frozen=True, slots=True)
class _Handle:
    """Where a delivery stands."""

    consumer: "Consumer"
    stream: str
    id: bytes


class Consumer:
    """One consumer of one queue."""

    def __init__(self, url: str, shared: Redis, topology: Topology, queue: str, prefetch: int) -> None:
        self.queue = queue
        self.deliveries = Deliveries()
        self.is_consuming = False
        """Whether deliveries can come now."""
        self._url = url
        self._shared = shared
        self._prefetch = prefetch
        self._keys = (queue, name_returned_stream(queue), retry(queue), topology.history)
        self._room = asyncio.Event()
        self._owed: deque[_Handle] = deque()
        self._owing = asyncio.Event()
        self._left_behind: set[str] = set()
        self._loss = RecurringProblem(log, "consumer_lost", queue=queue)
        self._debt = RecurringProblem(log, "acks_owed", queue=queue)

    async def run(self) -> None:
        """Consume until cancelled, over every loss of the server."""
        while True:
            try:
                await self._consume(uuid.uuid4().hex)
            except (RedisUnavailable, RedisRefused, redis.exceptions.RedisError, OSError, _LapsedError) as error:
                self._loss.note(error)
            await asyncio.sleep(PAUSE_S)

    def ack(self, handle: _Handle) -> None:
        """Owe the server an ack: those of one moment go in one step, and before anything is handed back."""
        self._owed.append(handle)
        self._owing.set()
        self._room.set()

    async def _consume(self, name: str) -> None:
        """Be one consumer of the group until something is in doubt; whatever is held is then given up."""
        reader = Reader(self._url, self.queue, name_returned_stream(self.queue), name)
        try:
            await self._join(name)
            reading = asyncio.create_task(self._read(reader), name=f"read:{self.queue}")
            keeping = asyncio.create_task(self._keep(name), name=f"keep:{self.queue}")
            acking = asyncio.create_task(self._pay(), name=f"ack:{self.queue}")
            tasks = [reading, keeping, acking]
            self.is_consuming = True
            self._loss.clear()
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self.is_consuming = False
                self.deliveries.lose()
                await _end(*tasks)
            for task in done:
                task.result()
        finally:
            await reader.close()
            await self._leave(name, reader.number)

    async def _join(self, name: str) -> None:
        """Take a lease, and hand back what earlier selves could not."""
        await self._keep_entries(name, joining=True)
        await self._pay_all()
        for old in list(self._left_behind):
            await self._hand_back(old)

    async def _leave(self, name: str, number: int | None) -> None:
        self._left_behind.add(name)
        try:
            await self._end_reading(name, number)
            await self._pay_all()
            await self._hand_back(name)
        except (RedisUnavailable, RedisRefused) as error:
            log.warning("hand_back_failed", queue=self.queue, reason=str(error))

    async def _end_reading(self, name: str, number: int | None) -> None:
        """End our read at the server: one that still waits there could take one more message in our name.

        By name too: a server that was restarted meanwhile numbers its connections anew.
        """
        if number is not None and name.encode() in await self._shared.call("CLIENT", "LIST", "ID", number):
            await self._shared.call("CLIENT", "KILL", "ID", number)

    async def _hand_back(self, name: str) -> None:
        await self._shared.run(LEAVE, self._keys, [GROUP, name, DELIVERY_LIMIT])
        self._left_behind.discard(name)

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

    async def _keep(self, name: str) -> None:
        """Renew the lease and do the queue's housekeeping.

        A server that does not answer ends it: raises RedisUnavailable.
        """
        pause_s = 0.0
        while True:
            await asyncio.sleep(max(SOONEST_S, min(KEEP_S, pause_s)))
            pause_s = await self._keep_entries(name, joining=False)

    async def _keep_entries(self, name: str, *, joining: bool) -> float:
        lease_ms = int(LEASE_S * 1_000)
        arguments: list[Argument] = [GROUP, name, DELIVERY_LIMIT, lease_ms, int(joining), MOVED_AT_ONCE]
        next_ms = int(await self._shared.run(KEEP, self._keys, arguments))
        if next_ms < 0:
            raise _LapsedError("the lease had lapsed")
        return next_ms / 1_000

    async def _pay(self) -> None:
        """Send acks as they come. One that fails stays owed; meanwhile the lease keeps it from others."""
        while True:
            await self._owing.wait()
            if len(self.deliveries):  # theirs will follow
                await asyncio.sleep(ACKS_WAIT_S)
            self._owing.clear()
            try:
                await self._pay_all()
                self._debt.clear()
            except RedisUnavailable as away:
                self._debt.note(away, count=len(self._owed))
                self._owing.set()
                await asyncio.sleep(PAUSE_S)

    async def _pay_all(self) -> None:
        while self._owed:
            batch = [self._owed[n] for n in range(min(ACKED_AT_ONCE, len(self._owed)))]
            for stream in {handle.stream for handle in batch}:
                ids = [handle.id for handle in batch if handle.stream == stream]
                await self._shared.run(ACK, [stream], [GROUP, *ids])
            for _ in batch:
                self._owed.popleft()

    def _parse(self, entry: Entry) -> Delivery | str:
        """Read an entry, or say what is wrong with it."""
        stream, number, fields = entry
        named = _pair(fields)
        missing = [name.decode() for name in (b"b", b"k", b"h", b"n") if name not in named]
        if missing:
            return f"malformed: the entry has no field {', '.join(missing)}"
        try:
            key, headers = named[b"k"].decode(), json.loads(named[b"h"]) if named[b"h"] else {}
            json.dumps(headers, ensure_ascii=False).encode()  # a lone surrogate stands in no text of ours
        except (ValueError, RecursionError) as error:
            return f"malformed: the entry's key or headers can't be read: {type(error).__name__}"
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            return "malformed: the entry's headers are not texts by name"
        is_returned = named[b"n"] != b"0"
        return Delivery(named[b"b"], key, self.queue, headers, is_returned, _Handle(self, stream.decode(), number))

    async def _dead_letter(self, entry: Entry, why: str) -> None:
        """Give history an entry that is none of ours, and take it out of the queue."""
        stream, number, fields = entry
        log.error("dead_lettered", queue=self.queue, why=why)
        body = _pair(fields).get(b"b", b" ".join(fields or ()))
        headers = json.dumps({"reason": why, "queue": self.queue})
        await self._shared.run(PUBLISH, [self._keys[-1]], [body, DEAD, headers])
        await self._shared.run(ACK, [stream.decode()], [GROUP, number])


def _pair(fields: Sequence[bytes] | None) -> dict[bytes, bytes]:
    """Read an entry's fields by their names; none where the entry was deleted meanwhile."""
    return dict(zip(fields[::2], fields[1::2], strict=False)) if fields else {}


def acknowledge(delivery: Delivery) -> None:
    """Ack a delivery; nothing where it was handed back meanwhile."""
    handle = delivery.handle
    if not isinstance(handle, _Handle):
        raise TypeError("this delivery came from another broker")
    if handle.consumer.deliveries.settle(delivery):
        handle.consumer.ack(handle)


def name_returned_stream(queue: str) -> str:
    """Name the stream of what was handed back to a queue while others waited in front."""
    return f"{queue}.returned"


def retry(queue: str) -> str:
    """Name the sorted set of what was delayed, by due time."""
    return f"{queue}.retry"


async def _end(*tasks: asyncio.Task[None]) -> None:
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        # Again where it was swallowed: redis-py sends by asyncio.wait_for, and Python 3.11's loses a cancellation that
        # comes in the moment it succeeds.
        done, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen; the first of them is reported by who waits for it
