"""Reading a stream on its own connection, where a blocking read delays no other call."""

from collections.abc import Sequence
from typing import Any

import redis.asyncio
import redis.exceptions

from imsg_broker.redis_streams.scripts import FETCH, GROUP
from imsg_runtime.redis import CALL_TIMEOUT_S, Argument

BLOCK_S = 5.0
"""How long one read blocks; the socket's timeout must be longer (redis-py 8 has 5 s by default)."""

Entry = tuple[bytes, bytes, Sequence[bytes] | None]
"""The stream, the id, and the fields (name, value, and so on); None for a deleted entry."""


class Reader:
    """The connection on which one consumer reads."""

    def __init__(self, url: str, queue: str, returned: str, consumer: str) -> None:
        # Not a client with its pool: it closes in tasks, which a cancellation prevents.
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
        """The connection's CLIENT ID, once it is open."""

    async def open(self) -> None:
        """Connect. Raises redis-py's errors."""
        await self._connection.connect()
        self.number = await self._call("CLIENT", "ID")

    async def read(self, count: int) -> Sequence[Entry]:
        """Return up to `count` entries, those handed back first; block up to `BLOCK_S` if there are none.

        Raises redis-py's errors; the server may have assigned entries to the consumer by then.
        """
        if entries := await self._fetch(count):
            return [(stream, number, fields) for stream, number, fields in entries]
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
        """Disconnect without waiting, also during a read or a connect."""
        await self._connection.disconnect(nowait=True)
