"""Limits of request bodies: the size and the time of each, and the memory of all bodies of a process.

Unfinished WebSocket messages count too (`websocket_limits`). One network may hold an eighth of the memory. Once all of
it is in use, the slowest body that is still arriving is cancelled, so that slow senders can't block new requests.
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
"""The name in the scope of a request whose whole body has arrived, usually with its head."""

MAX_BODY_BYTES = 16 * 1024 * 1024
"""The longest body: 10 MiB of attachments in base64, 1 MiB of text and 10,000 recipients fit."""

MAX_IN_FLIGHT_BYTES = 128 * 1024 * 1024
"""The most bytes of all bodies in memory (promise 9)."""

SHARES = 8
"""One network may hold one eighth of MAX_IN_FLIGHT_BYTES."""

SMALL_BYTES = 64 * 1024
"""A body up to this size that arrived whole counts for no network: it is processed at once."""

OFF_LOOP_BYTES = 1024 * 1024
"""A longer body is joined in a thread."""

SILENCE_S = 15.0
"""How long a client may pause in the middle of a body."""

UPLOAD_S = 120.0
"""How long a whole body may take: 16 MiB at 1 Mbit/s."""

GRACE_S = 2.0
"""How old a body has to be before it may be cancelled as the slowest."""

BUSY_RETRY_S = 2

_LONGEST_LENGTH = 12
"""The most digits of a Content-Length."""


class InboundLimits:
    """The limits of a process's ports: bytes of bodies in memory, in all and by network, and connections by network."""

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
        """`connections_per_network` does not apply to trusted proxies; None: a proxy limits connections."""
        self.clients = clients
        self.max_bytes = max_bytes
        self.max_in_flight = max_in_flight
        self.silence_s = silence_s
        self.upload_s = upload_s
        self.grace_s = grace_s
        self.share = max_in_flight // shares
        """Bytes that one network may hold."""
        self.held = 0
        """Bytes of all bodies in memory."""
        self.held_by: dict[str, int] = {}
        """Network → bytes of its bodies, without small ones."""
        self.arriving: set[Body] = set()
        """Bodies that are still arriving."""
        self.connections_per_network = connections_per_network
        self._connections: Counter[str] = Counter()

    def admit(self, address: str) -> Callable[[], None] | None:
        """Count a connection; return the function to call at its end, None where its network has too many."""
        if self.connections_per_network is None or self.clients.is_proxy(address):
            return _do_nothing
        network = network_of(address)
        if self._connections[network] >= self.connections_per_network:
            return None
        self._connections[network] += 1
        return partial(self._release, network)

    def guard(self, app: ASGIApp) -> ASGIApp:
        """Wrap an app with the limits. A body counts until the app has finished the request.

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
        """Count so many bytes no longer; `network` is empty where they count for none."""
        self.held -= octets
        if network and octets:
            left = self.held_by.get(network, 0) - octets
            if left > 0:
                self.held_by[network] = left
            else:
                self.held_by.pop(network, None)

    def _release(self, network: str) -> None:
        self._connections[network] -= 1
        if not self._connections[network]:
            del self._connections[network]

    def make_room(self, body: "Body", now: float) -> None:
        """Cancel the slowest arriving bodies, by bytes a second, until the rest fits.

        Raises Refusal overloaded where `body` itself is the slowest, or none is older than `grace_s`.
        """
        while self.held > self.max_in_flight:
            old = [other for other in self.arriving if now - other.began_at >= self.grace_s and other.length]
            slowest = min(old, key=lambda other: other.length / (now - other.began_at), default=None)
            if slowest is None or slowest is body:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
            slowest.cancel()


class Body:
    """One request's body while it is in memory."""

    def __init__(self, inbound_limits: InboundLimits, scope: Scope, receive: Receive, declared: int) -> None:
        """Make a body; `declared` is its Content-Length, or `_UNKNOWN_LENGTH`."""
        self.length = 0
        """Bytes received so far."""
        self.holder = ""
        """The network that it counts for; empty while it is small, and for calls of other services."""
        self.began_at = asyncio.get_running_loop().time()
        self._limits = inbound_limits
        self._scope = scope
        self._receive = receive
        self._declared = declared
        self._is_prefetched = BODY_COMPLETE in scope
        self._is_complete = False
        self._is_cancelled = False
        self._timeout: asyncio.Timeout | None = None

    def __enter__(self) -> Self:
        """Return the body."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting the body."""
        self._limits.arriving.discard(self)
        self._release()

    async def receive(self) -> Message:
        """Receive the next ASGI message; after the body, wait for the disconnect without a timeout.

        Raises Refusal too_large, overloaded, too_many_bodies, body_incomplete.
        """
        if self._is_complete:
            return await self._receive()
        if self._declared > self._limits.max_bytes and self._declared != _UNKNOWN_LENGTH:
            raise Refusal("too_large", limit=self._limits.max_bytes)
        message = await (self._receive() if self._is_prefetched else self._wait())
        if self._is_cancelled:
            raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
        self._count(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self._is_complete = True
            self._limits.arriving.discard(self)
        return message

    def cancel(self) -> None:
        """Stop counting the body; `receive` then raises Refusal overloaded."""
        self._is_cancelled = True
        self._release()
        if self._timeout is not None:
            self._timeout.reschedule(asyncio.get_running_loop().time())

    async def _wait(self) -> Message:
        """Wait for the next piece. Raises Refusal overloaded, body_incomplete."""
        inbound_limits = self._limits
        inbound_limits.arriving.add(self)
        ends_at = min(
            asyncio.get_running_loop().time() + inbound_limits.silence_s, self.began_at + inbound_limits.upload_s
        )
        try:
            async with asyncio.timeout_at(ends_at) as self._timeout:
                return await self._receive()
        except TimeoutError as slow:
            if self._is_cancelled:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S) from slow
            raise Refusal("body_incomplete") from slow
        finally:
            self._timeout = None

    def _count(self, more: int) -> None:
        inbound_limits = self._limits
        self.length += more
        inbound_limits.held += more
        if self.holder:
            inbound_limits.held_by[self.holder] = inbound_limits.held_by.get(self.holder, 0) + more
        elif IS_SERVICE_CALL not in self._scope and (not self._is_prefetched or self.length > SMALL_BYTES):
            self.holder = network_of(inbound_limits.clients.address(self._scope))
            inbound_limits.held_by[self.holder] = inbound_limits.held_by.get(self.holder, 0) + self.length
        if self.length > inbound_limits.max_bytes:
            raise Refusal("too_large", limit=inbound_limits.max_bytes)
        if self.holder and inbound_limits.held_by[self.holder] > inbound_limits.share:
            raise Refusal("too_many_bodies", limit=inbound_limits.share, retry_after_s=BUSY_RETRY_S)
        if inbound_limits.held > inbound_limits.max_in_flight:
            inbound_limits.make_room(self, asyncio.get_running_loop().time())

    def _release(self) -> None:
        self._limits.release(self.holder, self.length)
        self.length = 0


def _do_nothing() -> None:
    """Do nothing at the end of a connection that was not counted."""


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
"""The length of a body without a Content-Length."""


def _find_length(scope: Scope) -> int:
    """Return the declared length of a body: _UNKNOWN_LENGTH if chunked, one less if the number is malformed."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            with suppress(ValueError):
                return min(int(value[: _LONGEST_LENGTH + 1]), _UNKNOWN_LENGTH - 1)
        elif name == b"transfer-encoding":
            return _UNKNOWN_LENGTH
    return 0
