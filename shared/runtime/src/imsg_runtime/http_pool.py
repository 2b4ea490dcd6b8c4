"""Connections that are kept for the next call to the same place."""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from imsg_runtime.http_connection import BodyBound, Connection, HttpAnswer, Stale, Tls, connect, take_idle

IDLE_S = 2.0
"""How long a connection is kept for the next call: shorter than a service that is asked to end keeps its port open, or
a call would meet a connection that is just being closed."""

MOST_ANSWERED = BodyBound(32 * 1024 * 1024)
"""An attachment has 10 MiB, a page of 500 messages far less."""

DIALS = 2
"""How often a connection is tried: a service that is being replaced is there a moment later."""


class NotConnected(Exception):  # noqa: N818  named for the outcome
    """Nobody was reached: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where calls go."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    name: str
    """For which the certificate is verified."""


class HttpPool:
    """Makes calls by HTTP/1.1, as many at once as are asked for; a connection in doubt is not used again."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._idle: dict[Place, list[Connection]] = {}

    async def call(self, place: Place, request: bytes, connect_s: float, *, may_repeat: bool) -> HttpAnswer:
        """Send a request and return its answer. Raises NotConnected, NoAnswer.

        `may_repeat`: it changes nothing, and is asked once more where a kept connection was just being closed.
        """
        idle = self._idle.setdefault(place, [])
        kept = take_idle(idle, self._idle_s)
        connection = kept or await self._dial(place, connect_s)
        try:
            answer = await connection.call(request)
        except Stale:
            if kept is None or not may_repeat:
                raise
            connection = await self._dial(place, connect_s)
            answer = await connection.call(request)
        if connection.is_usable:
            idle.append(connection)
        return answer

    def close(self) -> None:
        """Close what is idle."""
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    async def _dial(self, place: Place, within_s: float) -> Connection:
        loop, failure = asyncio.get_running_loop(), ""
        tls = None if place.tls is None else Tls(place.tls, place.name)
        try:
            async with asyncio.timeout(within_s):
                for _ in range(DIALS):
                    try:
                        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
                        addresses = [str(one[4][0]) for one in found]
                        return await connect(addresses, place.port, tls, MOST_ANSWERED, within_s)
                    except TimeoutError:
                        raise
                    except OSError as error:
                        failure = str(error)
        except TimeoutError as error:
            raise NotConnected(f"no connection to {place.host} within {within_s:g} s") from error
        raise NotConnected(failure)
