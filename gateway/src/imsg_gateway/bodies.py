"""Bodies of requests: read whole within bounds of size, time and memory, or refused."""

import asyncio

from starlette.types import Receive

from imsg_shared.errors import Refusal

MAX_BODY_BYTES = 16 * 1024 * 1024
"""The interface's limit: 10 MiB of attachments in base64, 1 MiB of text, 10,000 recipients, and room to spare."""

MAX_IN_FLIGHT_BYTES = 128 * 1024 * 1024
"""All bodies held at once (promise 9)."""

SILENCE_S = 15.0
"""How long a client may pause in the middle of a body."""

UPLOAD_S = 120.0
"""How long a body may take in all: 16 MiB at 1 Mbit/s. Slower is a connection held open, not a client."""

BUSY_RETRY_S = 2


class Gone(Exception):  # noqa: N818  a state of the world
    """The client left in the middle of its body: nobody waits for an answer."""


class Intake:
    """Reads bodies; knows how many bytes are held at once."""

    def __init__(
        self,
        max_bytes: int = MAX_BODY_BYTES,
        max_in_flight: int = MAX_IN_FLIGHT_BYTES,
        silence_s: float = SILENCE_S,
        upload_s: float = UPLOAD_S,
    ) -> None:
        self._max_bytes = max_bytes
        self._max_in_flight = max_in_flight
        self._silence_s = silence_s
        self._upload_s = upload_s
        self.held = 0
        """Bytes of all bodies that are not done with."""

    def body(self, receive: Receive, declared: str | None, *, is_whole: bool = False) -> "Body":
        """Enter to have the whole body, counted as held until the context ends; `declared` is its Content-Length.

        `is_whole` says that all of it is here, so that nobody has to be waited for, with a timer (ADR 13).
        Entering raises Refusal too_large (unread, where the length is declared), overloaded and body_incomplete, Gone.
        """
        return Body(self, receive, declared, is_whole=is_whole)

    async def read(self, receive: Receive, declared: str | None, chunks: list[bytes], *, is_whole: bool) -> None:
        """Read a body into `chunks`, counting what comes. Raises as `body` does."""
        if declared and declared.isdecimal() and (len(declared) > 12 or int(declared) > self._max_bytes):  # noqa: PLR2004
            raise Refusal("too_large", limit=self._max_bytes)
        if is_whole:
            await self._collect(receive, chunks)
            return
        try:
            async with asyncio.timeout(self._silence_s) as patience:
                await self._collect(receive, chunks, patience)
        except TimeoutError as slow:
            raise Refusal("body_incomplete") from slow

    async def _collect(self, receive: Receive, chunks: list[bytes], patience: asyncio.Timeout | None = None) -> None:
        now = asyncio.get_running_loop().time
        end = now() + self._upload_s
        length = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            chunk: bytes = message.get("body", b"")
            chunks.append(chunk)
            length += len(chunk)
            self.held += len(chunk)
            if length > self._max_bytes:
                raise Refusal("too_large", limit=self._max_bytes)
            if self.held > self._max_in_flight:
                raise Refusal("overloaded", retry_after_s=BUSY_RETRY_S)
            if not message.get("more_body", False):
                return
            if patience is not None:
                patience.reschedule(min(now() + self._silence_s, end))


class Body:
    """One request's body while it is held: a class, since a generator's context costs as much as reading the JSON."""

    __slots__ = ("_chunks", "_declared", "_intake", "_is_whole", "_receive")

    def __init__(self, intake: Intake, receive: Receive, declared: str | None, *, is_whole: bool) -> None:
        self._intake = intake
        self._receive = receive
        self._declared = declared
        self._is_whole = is_whole
        self._chunks: list[bytes] = []

    async def __aenter__(self) -> bytes:
        """Read it."""
        try:
            await self._intake.read(self._receive, self._declared, self._chunks, is_whole=self._is_whole)
        except BaseException:
            self._release()
            raise
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    async def __aexit__(self, *_: object) -> None:
        """Hold it no longer."""
        self._release()

    def _release(self) -> None:
        self._intake.held -= sum(map(len, self._chunks))
        self._chunks.clear()
