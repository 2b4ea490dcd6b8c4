"""The life of one connection: made, prepared, lost and made anew, for as long as the broker is open."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import cycle

from imsg_shared.observe import logger
from imsg_shared.rabbit.address import Address
from imsg_shared.rabbit.amqp import Link, LinkLost

log = logger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""How long a lost connection waits for its next try at most: recovery must not need a hand, nor a minute."""

STEADY_S = 10.0
"""A connection that lived so long was a good one: the next pause is the first again."""


class Backoff:
    """Pauses that double, each jittered by half, so that a fleet does not come back in step."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S

    async def pause(self) -> None:
        """Wait, and longer the next time."""
        await asyncio.sleep(self._pause_s * random.uniform(0.5, 1))  # noqa: S311  jitter is no secret
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._pause_s = FIRST_PAUSE_S


class Life:
    """Keeps one connection. `link` is it while it is open and prepared, None while it is being made."""

    def __init__(self, address: Address, name: str, prepare: Callable[[Link], Awaitable[None]] | None = None) -> None:
        self._address = address
        self._name = name
        self._prepare = prepare
        self._up = asyncio.Event()
        self.link: Link | None = None

    async def up(self) -> Link:
        """Wait for the connection."""
        while self.link is None:
            await self._up.wait()
        return self.link

    async def run(self) -> None:
        """Keep the connection until cancelled. Hosts are tried in turn, beginning anywhere."""
        loop = asyncio.get_running_loop()
        backoff = Backoff()
        hosts = list(self._address.hosts)
        random.shuffle(hosts)
        for host, port in cycle(hosts):
            began = loop.time()
            reason = await self._lived(host, port)
            log.warning("broker_away", connection=self._name, host=host, port=port, reason=str(reason))
            if loop.time() - began > STEADY_S:
                backoff.reset()
            await backoff.pause()

    async def _lived(self, host: str, port: int) -> LinkLost:
        """Make the connection and stay until it is lost; return why."""
        link = Link(host)
        try:
            await link.open(self._address, port, self._name)
            if self._prepare is not None:
                await self._prepare(link)
            log.info("broker_connected", connection=self._name, host=host, port=port)
            self.link = link
            self._up.set()
            await asyncio.wait({link.lost})
            return link.lost.result()
        except LinkLost as lost:
            return lost
        finally:
            self.link = None
            self._up.clear()
            await link.close()
