"""A TCP proxy that can drop the answers of a server, or the connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

CHUNK = 65_536


class Proxy:
    """Passes bytes both ways until the test changes it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_deaf = False
        """While true, no bytes of the server reach a client."""
        self.is_closed = False
        """While true, new connections are reset."""
        self.cuts_at: bytes | None = None
        """Bytes of a client after which, once they are passed on, every connection is cut."""
        self.deaf_from: bytes | None = None
        """Bytes of a client from which on it is deaf."""
        self.rewrites: Callable[[bytes], bytes] = lambda said: said
        """Changes the bytes of the server."""
        self.port = 0

    def url(self, url: str) -> str:
        """Return a server's URL with the proxy's address in it."""
        parts = urlsplit(url)
        return url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{self.port}", 1)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Proxy"]:
        """Listen on a free port of the loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self.is_closed:
            to_client.transport.abort()
            return
        try:
            server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            to_client.transport.abort()
            return
        self._writers |= {to_client, to_server}
        for source, sink, is_client in ((client, to_server, True), (server, to_client, False)):
            pump = asyncio.create_task(self._pump(source, sink, is_client=is_client))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_client: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                if not is_client and self.is_deaf:
                    continue
                if is_client and self.deaf_from is not None and self.deaf_from in data:
                    self.deaf_from, self.is_deaf = None, True
                sink.write(data if is_client else self.rewrites(data))
                await sink.drain()
                if is_client and self.cuts_at is not None and self.cuts_at in data:
                    self.cuts_at = None
                    self.is_deaf = True  # the server reads it all before it sees the end; no answer comes through
                    await self._drain_to_server()
                    self.cut()
                    self.is_deaf = False
        sink.close()
        self._writers.discard(sink)

    async def _drain_to_server(self) -> None:
        for writer in self._writers:
            await writer.drain()
