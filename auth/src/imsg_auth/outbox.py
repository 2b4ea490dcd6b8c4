"""The outbox of audit records, which are written with their change and published until the broker confirms them."""

import asyncio
import random
import time
from collections.abc import Callable

from imsg_auth.store import Store
from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.back_off import back_off_s
from imsg_runtime.logs import RecurringProblem, logger

log = logger(__name__)

LEASE_S = 60
"""How long a process leases records; after a crash the next process publishes them."""

BATCH = 100
POLL_S = 5.0
"""How often the table is read for records that another process left, or that the command line wrote."""

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0


class Outbox:
    """Publishes the records, oldest first, at least once each."""

    def __init__(self, store: Store, broker: Broker, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._broker = broker
        self._now = now
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Publish new records at once."""
        self._woken.set()

    async def run(self) -> None:
        """Publish until cancelled."""
        failures, problem = 0, RecurringProblem(log, "changes_not_published")
        while True:
            self._woken.clear()
            try:
                while await self.publish():
                    pass
                failures = 0
            except (PublishRefused, PublishUnknown, DatabaseUnavailable) as error:
                failures += 1
                draw = random.random()  # noqa: S311  jitter
                wait_s = back_off_s(failures, draw, first_s=FIRST_WAIT_S, longest_s=MAX_WAIT_S)
                problem.report(error)
                await asyncio.sleep(wait_s)
            else:
                problem.clear()
                await self._wait(POLL_S)

    async def publish(self) -> int:
        """Publish one batch and return its size. Raises PublishRefused, PublishUnknown, DatabaseUnavailable."""
        now = int(self._now())
        async with self._store.writing() as rows:
            records = await rows.lease_audit_records(now, now + LEASE_S, BATCH)
        unpublished = dict(records)
        try:
            for number, (topic, body) in records.items():
                await self._broker.publish(body.encode(), self._broker.topology.new(topic))
                async with self._store.writing() as rows:
                    await rows.delete_audit_record(number)
                del unpublished[number]
        finally:
            if unpublished:
                async with self._store.writing() as rows:
                    await rows.release_audit_records(list(unpublished))
        return len(records)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return
