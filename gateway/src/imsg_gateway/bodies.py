"""The gateway's bodies: read whole within bounds of size, time and memory, or refused.

Memory is one budget. Whoever comes in always finds room: nobody holds more than an eighth of it, and where it is used
up, the slowest of those that are still on their way gives way, since a body that drips costs its sender nothing.
"""

import asyncio
import ipaddress

from starlette.types import Receive

from imsg_contract.errors import Refusal
from imsg_runtime.bodies import MAX_BODY_BYTES, SILENCE_S, UPLOAD_S, check_length

MAX_IN_FLIGHT_BYTES = 128 * 1024 * 1024
"""All bodies held at once (promise 9)."""

SHARES = 8
"""One address holds at most this part of them: eight addresses, or one that is quick, are needed to fill it."""

SMALL_BYTES = 64 * 1024
"""A body that came whole and is no longer than this is on nobody's account: it is done with at once."""

OFF_LOOP_BYTES = 1024 * 1024
"""A body longer than this is put together and read in a thread."""

GRACE_S = 2.0
"""How old a body has to be before it may be called slow."""

BUSY_RETRY_S = 2

SITE_BITS = 64
"""Of an IPv6 address: whoever has one of them has the 2^64 beside it (RFC 6177)."""


class Gone(Exception):  # noqa: N818  a state of the world
    """The client left in the middle of its body: nobody waits for an answer."""


class Intake:
    """Reads bodies; knows how many bytes are held at once, and by whom."""

    def __init__(
        self,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT_BYTES,
        silence_s: float = SILENCE_S,
        upload_s: float = UPLOAD_S,
        grace_s: float = GRACE_S,
        shares: int = SHARES,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_in_flight = max_in_flight
        self.silence_s = silence_s
        self.upload_s = upload_s
        self.grace_s = grace_s
        self.share = max_in_flight // shares
        """Bytes that one address may hold."""
        self.held = 0
        """Bytes of all bodies that are not done with."""
        self.held_by: dict[str, int] = {}
        """The same by holder, for whoever holds anything large."""
        self.coming: set[Body] = set()
        """Bodies that are still on their way."""

    def body(
        self, receive: Receive, declared: str | None, *, is_whole: bool = False, limit: int = 0, address: str = ""
    ) -> "Body":
        """Enter to have the whole body, counted as held until the context ends; `declared` is its Content-Length.

        `is_whole` says that all of it is here, so that nobody has to be waited for, with a timer (ADR 13); `limit` is
        the route's own, in bytes; `address` is whose account it goes on.
        Entering raises Refusal too_large (unread, where the length is declared), overloaded, too_many_bodies and
        body_incomplete, Gone.
        """
        return Body(self, receive, declared, is_whole=is_whole, limit=limit or self.max_bytes, address=address)

    def make_room(self, wanting: "Body", now: float) -> None:
        """End the slowest of those on their way until the budget holds. Raises Refusal overloaded where none is slow.

        A body's pace is its bytes a second so far; whoever wants the room is spared while others are slower.
        """
        while self.held > self.max_in_flight:
            old = [one for one in self.coming if now - one.began_at >= self.grace_s and one.length]
            slowest = min(old, key=lambda one: one.length / (now - one.began_at), default=None)
            if slowest is None or slowest is wanting:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
            slowest.give_way()


class Body:
    """One request's body while it is held: a class, since a generator's context costs as much as reading the JSON."""

    __slots__ = (
        "_address",
        "_chunks",
        "_declared",
        "_gave_way",
        "_intake",
        "_is_whole",
        "_limit",
        "_patience",
        "_receive",
        "began_at",
        "holder",
        "length",
    )

    def __init__(
        self, intake: Intake, receive: Receive, declared: str | None, *, is_whole: bool, limit: int, address: str
    ) -> None:
        self.began_at = 0.0
        self.length = 0
        """Bytes that are held of it."""
        self.holder = ""
        """On whose account it is; nobody's while it is small."""
        self._intake = intake
        self._receive = receive
        self._declared = declared
        self._is_whole = is_whole
        self._limit = limit
        self._address = address
        self._chunks: list[bytes] = []
        self._patience: asyncio.Timeout | None = None
        self._gave_way = False

    async def __aenter__(self) -> bytes:
        """Read it."""
        try:
            check_length(self._declared, self._limit)
            if self._is_whole:
                await self._collect()
            else:
                await self._wait_for_it()
        except BaseException:
            self._release()
            raise
        if len(self._chunks) == 1:
            return self._chunks[0]
        if self.length > OFF_LOOP_BYTES:
            return await asyncio.to_thread(b"".join, self._chunks)
        return b"".join(self._chunks)

    async def __aexit__(self, *_: object) -> None:
        """Hold it no longer."""
        self._release()

    def give_way(self) -> None:
        """Let go of what has come so far; who reads it is told that there was no room."""
        self._gave_way = True
        self._release()
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())

    async def _wait_for_it(self) -> None:
        intake = self._intake
        self.began_at = asyncio.get_running_loop().time()
        self.holder = holder(self._address)
        intake.coming.add(self)
        try:
            async with asyncio.timeout(intake.silence_s) as self._patience:
                await self._collect()
        except TimeoutError as slow:
            if self._gave_way:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S) from slow
            raise Refusal("body_incomplete") from slow
        finally:
            intake.coming.discard(self)

    async def _collect(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            if self._gave_way:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
            self._hold(message.get("body", b""))
            if not message.get("more_body", False):
                return
            if self._patience is not None:
                now, intake = asyncio.get_running_loop().time(), self._intake
                self._patience.reschedule(min(now + intake.silence_s, self.began_at + intake.upload_s))

    def _hold(self, chunk: bytes) -> None:
        intake = self._intake
        self._chunks.append(chunk)
        self.length += len(chunk)
        intake.held += len(chunk)
        if not self.holder and self.length > SMALL_BYTES:
            self.holder = holder(self._address)
            intake.held_by[self.holder] = intake.held_by.get(self.holder, 0) + self.length
        elif self.holder:
            intake.held_by[self.holder] = intake.held_by.get(self.holder, 0) + len(chunk)
        if self.length > self._limit:
            raise Refusal("too_large", limit=self._limit)
        if self.holder and intake.held_by[self.holder] > intake.share:
            raise Refusal("too_many_bodies", limit=intake.share, retry_after_s=BUSY_RETRY_S)
        if intake.held > intake.max_in_flight:
            intake.make_room(self, asyncio.get_running_loop().time())

    def _release(self) -> None:
        intake = self._intake
        intake.held -= self.length
        if self.holder and self.length:
            left = intake.held_by.get(self.holder, 0) - self.length
            if left > 0:
                intake.held_by[self.holder] = left
            else:
                intake.held_by.pop(self.holder, None)
        self.length = 0
        self._chunks.clear()


def holder(address: str) -> str:
    """Name who is behind an address: for IPv6 the site that it belongs to."""
    try:
        read = ipaddress.ip_address(address)
    except ValueError:
        return address or "unknown"
    if read.version == 6 and read.ipv4_mapped is None:  # noqa: PLR2004  the protocol's number
        return str(ipaddress.ip_network((read, SITE_BITS), strict=False))
    return address
