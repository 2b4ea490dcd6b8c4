"""What a host means, asked of the system's resolver: hosts whose name servers are silent hold up no others.

The resolver blocks, for ten seconds and more where nobody answers, and an event loop has a handful of threads for it:
four such hosts would have everybody wait. Here there are more, and each host has one of them at most.
"""

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

THREADS = 64
"""Hosts that are asked for at once; the container of callbacks may have 128 threads (docker-compose.yml)."""

Addresses = Sequence[str]


def ask(host: str, port: int) -> Addresses:
    """Ask the system, as it reads names, literals and odd forms (`127.1`, `2130706433`). Blocks. Raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError(f"{host} is no name") from error
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _is_address(host: str) -> bool:
    """Tell whether a host is an address as it is written, about which nobody needs to be asked."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Lookups:
    """Asks the resolver in daemon threads of its own."""

    def __init__(self, asking: Callable[[str, int], Addresses] = ask, threads: int = THREADS) -> None:
        self._asking = asking
        self._threads = asyncio.Semaphore(threads)
        self._under_way: dict[tuple[str, int], asyncio.Task[Addresses]] = {}

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return a host's addresses. Calls for the same host at a time share one look-up. Raises OSError."""
        if _is_address(host):
            return [host]
        key = host, port
        asked = self._under_way.get(key)
        if asked is None:
            asked = asyncio.create_task(self._ask(host, port))
            self._under_way[key] = asked
            asked.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(asked)

    def close(self) -> None:
        """Wait for nothing more; what is being asked for ends by itself."""
        for asked in self._under_way.values():
            asked.cancel()

    async def _ask(self, host: str, port: int) -> Addresses:
        async with self._threads:
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[Addresses] = loop.create_future()
            threading.Thread(target=self._run, args=(loop, answer, host, port), name="lookup", daemon=True).start()
            return await answer

    def _run(self, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Addresses], host: str, port: int) -> None:
        """Ask the resolver in this thread, and hand the result to the loop."""
        try:
            tell = partial(_answer, answer, self._asking(host, port))
        except Exception as error:  # noqa: BLE001  whoever waits is told of it
            tell = partial(_fail, answer, error)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell)

    def _end(self, key: tuple[str, int], done: asyncio.Task[Addresses]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever waited may have given up, and then nobody reads it


def _answer(answer: asyncio.Future[Addresses], found: Addresses) -> None:
    if not answer.done():
        answer.set_result(found)


def _fail(answer: asyncio.Future[Addresses], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
