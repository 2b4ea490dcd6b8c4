"""The audit's way out: records written with their change are published until the broker has confirmed them."""

import asyncio
import random
import time
from collections.abc import Callable

from imsg_auth.store import Store
from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import CHANGE
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import Recurring, logger

log = logger(__name__)

LEASE_S = 60
"""For how long a process has records to itself; one that died in between leaves them to the next."""

BATCH = 100
LOOK_AGAIN_S = 5.0
"""How often records are looked for that another process left, or that were written outside (the command line)."""

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class Outbox:
    """Publishes what is in the outbox, oldest first; at least once each, also over crashes and a broker away."""

    def __init__(self, store: Store, broker: Broker, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._broker = broker
        self._now = now
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Say that something was put in."""
        self._news.set()

    async def run(self) -> None:
        """Publish for ever."""
        failures, trouble = 0, Recurring(log, "changes_not_published")
        while True:
            self._news.clear()
            try:
                while await self.publish():
                    pass
                failures = 0
            except (PublishRefused, PublishUnknown, DatabaseUnavailable) as error:
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=LONGEST_WAIT_S)
                trouble.note(error)
                await asyncio.sleep(wait_s)
            else:
                trouble.clear()
                await self._rest(LOOK_AGAIN_S)

    async def publish(self) -> int:
        """Publish one batch and return its size. Raises PublishRefused, PublishUnknown, DatabaseUnavailable."""
        now = int(self._now())
        async with self._store.writing() as rows:
            notes = await rows.take_notes(now, now + LEASE_S, BATCH)
        left = dict(notes)
        try:
            for number, body in notes.items():
                await self._broker.publish(body.encode(), self._broker.topology.new(CHANGE))
                async with self._store.writing() as rows:
                    await rows.drop_note(number)
                del left[number]
        finally:
            if left:
                async with self._store.writing() as rows:
                    await rows.release_notes(list(left))
        return len(notes)

    async def _rest(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return
