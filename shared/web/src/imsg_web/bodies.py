"""Bodies of requests: bounded in size, in time, and all together in memory, whichever service of a process reads them.

What has come of an unfinished WebSocket message is in the same budget (`websocket_intake`).

Memory is one budget. Whoever comes in always finds room: no network holds more than an eighth of it, and where it is
used up, the slowest of those that are still on their way gives way, since a body that drips costs its sender nothing.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_web.callers import IS_SERVICE_CALL
from imsg_web.clients import Clients, network_of

BODY_COMPLETE = "imsg.all_in_one"
"""Stands in the scope of a request whose body has come to its end, usually with its head."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""The interface's limit: 10 MiB of attachments in base64, 1 MiB of text, 10,000 recipients, and room to spare."""

MAX_IN_FLIGHT_BYTES = 128 * 1024 * 1024
"""All bodies held at once (promise 9)."""

SHARES = 8
"""One network holds at most this part of them: eight networks, or one that is quick, are needed to fill it."""

SMALL_BYTES = 64 * 1024
"""A body that came whole and is no longer than this is on nobody's account: it is done with at once."""

OFF_LOOP_BYTES = 1024 * 1024
"""A body longer than this is put together and read in a thread."""

SILENCE_S = 15.0
"""How long a client may pause in the middle of a body."""

UPLOAD_S = 120.0
"""How long a body may take in all: 16 MiB at 1 Mbit/s. Slower is a connection held open, not a client."""

GRACE_S = 2.0
"""How old a body has to be before it may be called slow."""

BUSY_RETRY_S = 2

_LONGEST_LENGTH = 12
"""Digits of a Content-Length that is read at all."""


class Intake:
    """Counts what a process takes in at its ports: the bytes of bodies, in all and by network, and connections."""

    def __init__(
        self,
        clients: Clients,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT_BYTES,
        silence_s: float = SILENCE_S,
        upload_s: float = UPLOAD_S,
        grace_s: float = GRACE_S,
        shares: int = SHARES,
        connections_per_network: int | None = None,
    ) -> None:
        """`connections_per_network` binds all but trusted proxies; None: something stands before us that does."""
        self.clients = clients
        self.max_bytes = max_bytes
        self.max_in_flight = max_in_flight
        self.silence_s = silence_s
        self.upload_s = upload_s
        self.grace_s = grace_s
        self.share = max_in_flight // shares
        """Bytes that one network may hold."""
        self.held = 0
        """Bytes of all bodies that are not done with."""
        self.held_by: dict[str, int] = {}
        """The same by network, for whoever holds anything large."""
        self.arriving: set[Body] = set()
        """Bodies that are still on their way."""
        self.connections_per_network = connections_per_network
        self._connections: Counter[str] = Counter()

    def admit(self, address: str) -> Callable[[], None] | None:
        """Count a connection from an address; return what to call at its end, or None where there are too many."""
        if self.connections_per_network is None or self.clients.is_proxy(address):
            return _forget_nothing
        network = network_of(address)
        if self._connections[network] >= self.connections_per_network:
            return None
        self._connections[network] += 1
        return partial(self._leave, network)

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Put the bounds before an app. Every body that the app reads is held until the app is done with the request.

        The app's `receive` raises Refusal too_large (unread, where the length is declared), overloaded,
        too_many_bodies and body_incomplete.
        """

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            length = _find_length(scope)
            if BODY_COMPLETE in scope and length <= SMALL_BYTES and self.held + length <= self.max_in_flight:
                self.held += length
                try:
                    await app(scope, receive, send)
                finally:
                    self.held -= length
                return
            with Body(self, scope, receive, length) as body:
                await app(scope, body.receive, send)

        return answer

    def release(self, network: str, octets: int) -> None:
        """Hold so many octets no longer; `network` is empty where they are on nobody's account."""
        self.held -= octets
        if network and octets:
            left = self.held_by.get(network, 0) - octets
            if left > 0:
                self.held_by[network] = left
            else:
                self.held_by.pop(network, None)

    def _leave(self, network: str) -> None:
        self._connections[network] -= 1
        if not self._connections[network]:
            del self._connections[network]

    def make_room(self, wanting: "Body", now: float) -> None:
        """End the slowest of those on their way until the budget holds. Raises Refusal overloaded where none is slow.

        A body's pace is its bytes a second so far; whoever wants the room is spared while others are slower.
        """
        while self.held > self.max_in_flight:
            old = [one for one in self.arriving if now - one.began_at >= self.grace_s and one.length]
            slowest = min(old, key=lambda one: one.length / (now - one.began_at), default=None)
            if slowest is None or slowest is wanting:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
            slowest.cancel()


class Body:
    """One request's body while it is held."""

    def __init__(self, intake: Intake, scope: Scope, receive: Receive, declared: int) -> None:
        """Begin one; `declared` is its length, or `_UNKNOWN_LENGTH`."""
        self.length = 0
        """Bytes that are held of it."""
        self.holder = ""
        """On which network's account it is; nobody's while it is small, or where another service sends it."""
        self.began_at = asyncio.get_running_loop().time()
        self._intake = intake
        self._scope = scope
        self._receive = receive
        self._declared = declared
        self._is_whole = BODY_COMPLETE in scope
        self._is_over = False
        self._is_cancelled = False
        self._timeout: asyncio.Timeout | None = None

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hold it no longer."""
        self._intake.arriving.discard(self)
        self._release()

    async def receive(self) -> Message:
        """Receive what comes next. What comes behind the body, the client's leaving, may take as long as it likes."""
        if self._is_over:
            return await self._receive()
        if self._declared > self._intake.max_bytes and self._declared != _UNKNOWN_LENGTH:
            raise Refusal("too_large", limit=self._intake.max_bytes)
        message = await (self._receive() if self._is_whole else self._wait())
        if self._is_cancelled:
            raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
        self._hold(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self._is_over = True
            self._intake.arriving.discard(self)
        return message

    def cancel(self) -> None:
        """Count as nothing from now on; who reads it is told that there was no room, and lets go of it."""
        self._is_cancelled = True
        self._release()
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def _wait(self) -> Message:
        """Wait for the next piece. Raises Refusal overloaded, body_incomplete."""
        intake = self._intake
        intake.arriving.add(self)
        ends_at = min(asyncio.get_running_loop().time() + intake.silence_s, self.began_at + intake.upload_s)
        try:
            async with asyncio.timeout_at(ends_at) as self._timeout:
                return await self._receive()
        except TimeoutError as slow:
            if self._is_cancelled:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S) from slow
            raise Refusal("body_incomplete") from slow
        finally:
            self._timeout = None

    def _hold(self, more: int) -> None:
        intake = self._intake
        self.length += more
        intake.held += more
        if self.holder:
            intake.held_by[self.holder] = intake.held_by.get(self.holder, 0) + more
        elif IS_SERVICE_CALL not in self._scope and (not self._is_whole or self.length > SMALL_BYTES):
            self.holder = network_of(intake.clients.address(self._scope))
            intake.held_by[self.holder] = intake.held_by.get(self.holder, 0) + self.length
        if self.length > intake.max_bytes:
            raise Refusal("too_large", limit=intake.max_bytes)
        if self.holder and intake.held_by[self.holder] > intake.share:
            raise Refusal("too_many_bodies", limit=intake.share, retry_after_s=BUSY_RETRY_S)
        if intake.held > intake.max_in_flight:
            intake.make_room(self, asyncio.get_running_loop().time())

    def _release(self) -> None:
        self._intake.release(self.holder, self.length)
        self.length = 0


def _forget_nothing() -> None:
    """End a connection that was not counted."""


def check_length(scope: Scope, limit: int) -> None:
    """Refuse a body by its Content-Length, before any of it is read. Raises Refusal too_large."""
    if limit < _find_length(scope) < _UNKNOWN_LENGTH:
        raise Refusal("too_large", limit=limit)


async def read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Read a whole body. Raises Refusal too_large; body_incomplete where the client leaves."""
    if BODY_COMPLETE not in scope:
        check_length(scope, limit)
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal("body_incomplete")
        chunks.append(message.get("body", b""))
        length += len(chunks[-1])
        if length > limit:
            raise Refusal("too_large", limit=limit)
        if not message.get("more_body", False):
            break
    if len(chunks) == 1:
        return chunks[0]
    if length > OFF_LOOP_BYTES:
        return await asyncio.to_thread(b"".join, chunks)
    return b"".join(chunks)


_UNKNOWN_LENGTH = 1_000_000_000_000
"""Stands for a length that is not said."""


def _find_length(scope: Scope) -> int:
    """Return the declared length of a body: _UNKNOWN_LENGTH if chunked, one less if the number is malformed."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            with suppress(ValueError):
                return min(int(value[: _LONGEST_LENGTH + 1]), _UNKNOWN_LENGTH - 1)
        elif name == b"transfer-encoding":
            return _UNKNOWN_LENGTH
    return 0
