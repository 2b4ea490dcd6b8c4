"""A connection that is reopened after each loss, with back-off."""

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
MAX_PAUSE_S = 5.0
"""The longest pause before a lost connection is reopened."""

STABLE_S = 10.0
"""After a connection of this length the next pause is the first again."""


class Backoff:
    """Pauses between connection attempts, with exponential back-off and jitter.

    Each pause is divided by the number of hosts, which are tried in turn.
    """

    def __init__(self, hosts: int = 1) -> None:
        self._failures = 0
        self._hosts = hosts

    async def pause(self) -> None:
        """Sleep; the next pause is longer."""
        self._failures += 1
        draw = random.random()  # noqa: S311  jitter is no secret
        pause_s = back_off_s(self._failures, draw, first_s=FIRST_PAUSE_S, longest_s=MAX_PAUSE_S)
        await asyncio.sleep(pause_s / self._hosts)

    def reset(self) -> None:
        """Make the next pause the first again."""
        self._failures = 0


class Reconnector:
    """Keeps one connection open. `link` is the open and prepared connection, None while there is none."""

    def __init__(self, address: Address, name: str, prepare: Callable[[Link], Awaitable[None]] | None = None) -> None:
        self._address = address
        self._name = name
        self._prepare = prepare
        self._up = asyncio.Event()
        self._problem = RecurringProblem(log, "broker_unavailable", connection=name)
        self.link: Link | None = None
        self.first_connect: asyncio.Future[LinkLost | None] = asyncio.get_running_loop().create_future()
        """Done after the first attempt: None if it succeeded, else its error."""

    async def up(self) -> Link:
        """Return the connection, waiting until it is open."""
        while self.link is None:
            await self._up.wait()
        return self.link

    async def run(self) -> None:
        """Keep the connection open until cancelled. Hosts are tried in turn, from a random one."""
        loop = asyncio.get_running_loop()
        hosts = list(self._address.hosts)
        random.shuffle(hosts)
        backoff = Backoff(len(hosts))
        for host in cycle(hosts):
            began = loop.time()
            reason = await self._connect_and_wait(host)
            self._problem.report(reason, host=host.name, port=host.port)
            if loop.time() - began > STABLE_S:
                backoff.reset()
            await backoff.pause()

    async def _connect_and_wait(self, host: Host) -> LinkLost:
        """Connect, prepare, and wait until the connection is lost; return the reason."""
        link = Link(host)
        try:
            await link.open(self._address, self._name)
            self._end_first_connect(None)
            if self._prepare is not None:
                await self._prepare(link)
            self._problem.clear()
            log.info("broker_connected", connection=self._name, host=host.name, port=host.port)
            self.link = link
            self._up.set()
            await asyncio.wait({link.lost})
            return link.lost.result()
        except LinkLost as lost:
            self._end_first_connect(lost)
            return lost
        finally:
            self.link = None
            self._up.clear()
            await link.close()

    def _end_first_connect(self, why_not: LinkLost | None) -> None:
        if not self.first_connect.done():
            self.first_connect.set_result(why_not)
