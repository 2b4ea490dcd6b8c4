"""Resolves hosts in threads of their own, so that silent name servers delay no other host.

`getaddrinfo` blocks for ten seconds and more where name servers do not answer, and the event loop's default executor
has a handful of threads. Here each host uses one thread at most, of `THREADS`.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

THREADS = 64
"""Look-ups at once; the container of callbacks may have 128 threads (docker-compose.yml)."""

Addresses = Sequence[str]


def look_up(host: str, port: int) -> Addresses:
    """Return the addresses of a host by `getaddrinfo`, which reads `127.1` too. Blocks. Raises OSError."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is no name") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def _is_address(host: str) -> bool:
    """Return whether a host is an IP address, which needs no look-up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Lookups:
    """Resolves hosts in daemon threads."""

    def __init__(self, look_up: Callable[[str, int], Addresses] = look_up, threads: int = THREADS) -> None:
        self._look_up = look_up
        self._threads = asyncio.Semaphore(threads)
        self._running: dict[tuple[str, int], asyncio.Task[Addresses]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return a host's addresses. Concurrent calls for the same host share one look-up. Raises OSError."""
        if _is_address(host):
            return [host]
        key = host, port
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._run_thread(host, port))
            self._running[key] = task
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(task)

    def close(self) -> None:
        """Cancel the waiting calls; their threads end by themselves."""
        for task in self._running.values():
            task.cancel()

    async def _run_thread(self, host: str, port: int) -> Addresses:
        async with self._threads:
            loop = asyncio.get_running_loop()
            result: asyncio.Future[Addresses] = loop.create_future()
            threading.Thread(target=self._run, args=(loop, result, host, port), name="lookup", daemon=True).start()
            return await result

    def _run(self, loop: asyncio.AbstractEventLoop, result: asyncio.Future[Addresses], host: str, port: int) -> None:
        """Resolve the host in this thread, and set the result in the loop."""
        try:
            finish = partial(_set_result, result, self._look_up(host, port))
        except Exception as error:  # noqa: BLE001  the waiting calls raise it
            finish = partial(_set_exception, result, error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(finish)

    def _end(self, key: tuple[str, int], done: asyncio.Task[Addresses]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # retrieved, so that asyncio does not log it if all calls were cancelled


def _set_result(result: asyncio.Future[Addresses], addresses: Addresses) -> None:
    if not result.done():
        result.set_result(addresses)


def _set_exception(result: asyncio.Future[Addresses], error: Exception) -> None:
    if not result.done():
        result.set_exception(error)
