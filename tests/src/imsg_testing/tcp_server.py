"""A TCP server on the loopback for as long as a context lasts."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LINE_OCTETS = 1_048_576
"""The longest line that a server of the tests reads."""

START_TIMEOUT_S = 60.0


@asynccontextmanager
async def serve_tcp(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Call `serve` for each connection to the port that is yielded; those still open at the end are broken off."""
    sessions: set[asyncio.Task[None]] = set()

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the other side has gone
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(session(reader, writer))
        sessions.add(task)
        task.add_done_callback(sessions.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, limit=LINE_OCTETS)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(sessions):
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)


class LoopThread:
    """An event loop in a thread, for servers of tests that have no loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()

    @contextmanager
    def running(self, server: AbstractAsyncContextManager[object]) -> Iterator[None]:
        """Run a server in the thread while the context is open."""
        opened, closing = threading.Event(), asyncio.Event()

        async def life() -> None:
            async with server:
                opened.set()
                await closing.wait()

        thread = threading.Thread(target=self.loop.run_until_complete, args=(life(),), daemon=True)
        thread.start()
        try:
            if not opened.wait(START_TIMEOUT_S):
                raise RuntimeError("the server did not open")
            yield
        finally:
            self.loop.call_soon_threadsafe(closing.set)
            thread.join(START_TIMEOUT_S)
            self.loop.close()
