"""Reading a stream on a connection of its own, where a read may wait without holding up anybody else's call."""

from collections.abc import Sequence
from typing import Any

import redis.asyncio
import redis.exceptions

from imsg_broker.redis_streams.scripts import FETCH, GROUP
from imsg_runtime.redis import CALL_TIMEOUT_S, Argument

BLOCK_S = 5.0
"""How long one read waits for news; the socket's own time-out must be longer (redis-py 8 has 5 s by default)."""

Entry = tuple[bytes, bytes, Sequence[bytes] | None]
"""The stream, the id, and the fields with their names; None of one that was deleted."""


class Reader:
    """One consumer's reads."""

    def __init__(self, url: str, queue: str, returned: str, consumer: str) -> None:
        # Not a client with its pool: that closes by tasks, which never begin where a cancellation meets them.
        self._connection = redis.asyncio.ConnectionPool.from_url(
            url,
            protocol=2,
            socket_timeout=BLOCK_S + CALL_TIMEOUT_S,
            socket_connect_timeout=CALL_TIMEOUT_S,
            retry=None,
            health_check_interval=0,
            client_name=consumer,
        ).make_connection()  # type: ignore[no-untyped-call]
        self._queue = queue
        self._returned = returned
        self._consumer = consumer
        self.number: int | None = None
        """The server's number of the connection, once it is open."""

    async def open(self) -> None:
        """Connect. Raises redis-py's errors."""
        await self._connection.connect()
        self.number = await self._call("CLIENT", "ID")

    async def read(self, count: int) -> Sequence[Entry]:
        """Take up to `count` messages, the returned first; wait a while where there are none.

        Raises redis-py's errors; what the server gave us by then is known to the server alone.
        """
        if got := await self._fetch(count):
            return [(stream, number, fields) for stream, number, fields in got]
        reply = await self._call(
            "XREADGROUP", "GROUP", GROUP, self._consumer,
            "COUNT", count, "BLOCK", int(BLOCK_S * 1_000), "STREAMS", self._queue, ">",
        )  # fmt: skip
        return [(stream, number, fields) for stream, entries in reply or () for number, fields in entries]

    async def _fetch(self, count: int) -> Any:  # noqa: ANN401  a list of entries
        arguments = (2, self._returned, self._queue, GROUP, self._consumer, count)
        try:
            return await self._call("EVALSHA", FETCH.sha, *arguments)
        except redis.exceptions.NoScriptError:
            return await self._call("EVAL", FETCH.source, *arguments)

    async def _call(self, *command: Argument) -> Any:  # noqa: ANN401  Redis' own reply
        await self._connection.send_command(*command, check_health=False)
        return await self._connection.read_response()

    async def close(self) -> None:
        """Disconnect, in the middle of a read or of connecting too; it never waits, so that nothing breaks it off."""
        await self._connection.disconnect(nowait=True)
