"""A mail server that is far away: a proxy on the loopback through which every byte takes a while, each way.

Bytes keep their order and their packets; there is no limit to the bandwidth and no window that grows (a real line adds
that, to floor and subject alike). Who connects is connected to the server a round trip later, as by a handshake.
Run: `python -m imsg_bench.far PORT SERVER_PORT ONE_WAY_S`.
"""

import asyncio
import sys
from collections import deque
from typing import cast

import uvloop


class Side(asyncio.Protocol):
    """One end of a connection: what it receives is sent by the other end, later."""

    def __init__(self, one_way_s: float) -> None:
        self._one_way_s = one_way_s
        self._loop = asyncio.get_running_loop()
        self._early: list[bytes] = []
        self._under_way: deque[bytes] = deque()
        self._other: Side | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own is none by name

    def join(self, other: "Side") -> None:
        """Pass on to another end from now on, first what came before there was one."""
        self._other = other
        for data in self._early:
            self._pass_later(data)
        self._early.clear()
        if self.transport is None or self.transport.is_closing():
            self._loop.call_later(self._one_way_s, other.close)  # it went before it was through

    def data_received(self, data: bytes) -> None:
        """Pass on what came, later."""
        if self._other is None:
            self._early.append(data)
        else:
            self._pass_later(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end too, after the data on its way."""
        del exc
        if self._other is not None:
            self._loop.call_later(self._one_way_s, self._other.close)

    def close(self) -> None:
        """End the connection."""
        if self.transport is not None:
            self.transport.close()

    def _pass_later(self, data: bytes) -> None:
        self._under_way.append(data)
        self._loop.call_later(self._one_way_s, self._pass)

    def _pass(self) -> None:
        data = self._under_way.popleft()  # whichever timer it is: nothing overtakes
        other = self._other.transport if self._other is not None else None
        if other is not None and not other.is_closing():
            other.write(data)


class ClientSide(Side):
    """The client's end, which reaches the server a round trip after it was opened."""

    def __init__(self, server_port: int, one_way_s: float) -> None:
        super().__init__(one_way_s)
        self._server_port = server_port
        self._reaching: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Set out for the server."""
        super().connection_made(transport)
        self._reaching = asyncio.create_task(self._reach())

    async def _reach(self) -> None:
        await asyncio.sleep(2 * self._one_way_s)
        try:
            _, far = await self._loop.create_connection(lambda: Side(self._one_way_s), "127.0.0.1", self._server_port)
        except OSError:
            self.close()
            return
        far.join(self)
        self.join(far)


async def serve(port: int, server_port: int, one_way_s: float) -> None:
    """Serve on a port of the loopback, for ever."""
    server = await asyncio.get_running_loop().create_server(
        lambda: ClientSide(server_port, one_way_s), "127.0.0.1", port, backlog=256
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
