"""The life of one connection: made, prepared, lost and made anew, for as long as the broker is open."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from itertools import cycle

from imsg_broker.rabbitmq.address import Address, Host
from imsg_broker.rabbitmq.amqp import Link, LinkLost
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
"""How long a lost connection waits for its next try at most: recovery must not need a hand, nor a minute."""

STEADY_S = 10.0
"""A connection that lived so long was a good one: the next pause is the first again."""


class Pauses:
    """What a connection waits between its tries, longer each time until it has been a good one.

    Where several hosts are tried in turn each pause is shorter, so that a round of them takes no longer.
    """

    def __init__(self, hosts: int = 1) -> None:
        self._failures = 0
        self._hosts = hosts

    async def pause(self) -> None:
        """Wait, and longer the next time."""
        self._failures += 1
        draw = random.random()  # noqa: S311  jitter is no secret
        pause_s = back_off_s(self._failures, draw, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s / self._hosts)

    def reset(self) -> None:
        """Begin again with the first pause."""
        self._failures = 0


class Life:
    """Keeps one connection. `link` is it while it is open and prepared, None while it is being made."""

    def __init__(self, address: Address, name: str, prepare: Callable[[Link], Awaitable[None]] | None = None) -> None:
        self._address = address
        self._name = name
        self._prepare = prepare
        self._up = asyncio.Event()
        self._problem = RecurringProblem(log, "broker_unavailable", connection=name)
        self.link: Link | None = None
        self.met: asyncio.Future[LinkLost | None] = asyncio.get_running_loop().create_future()
        """Done when the first try has ended: with None where a broker that fits answered, else with why not."""

    async def up(self) -> Link:
        """Wait for the connection."""
        while self.link is None:
            await self._up.wait()
        return self.link

    async def run(self) -> None:
        """Keep the connection until cancelled. Hosts are tried in turn, beginning anywhere."""
        loop = asyncio.get_running_loop()
        hosts = list(self._address.hosts)
        random.shuffle(hosts)
        pauses = Pauses(len(hosts))
        for host in cycle(hosts):
            began = loop.time()
            reason = await self._live(host)
            self._problem.note(reason, host=host.name, port=host.port)
            if loop.time() - began > STEADY_S:
                pauses.reset()
            await pauses.pause()

    async def _live(self, host: Host) -> LinkLost:
        """Make the connection and stay until it is lost; return why."""
        link = Link(host)
        try:
            await link.open(self._address, self._name)
            self._meet(None)
            if self._prepare is not None:
                await self._prepare(link)
            self._problem.clear()
            log.info("broker_connected", connection=self._name, host=host.name, port=host.port)
            self.link = link
            self._up.set()
            await asyncio.wait({link.lost})
            return link.lost.result()
        except LinkLost as lost:
            self._meet(lost)
            return lost
        finally:
            self.link = None
            self._up.clear()
            await link.close()

    def _meet(self, why_not: LinkLost | None) -> None:
        if not self.met.done():
            self.met.set_result(why_not)
