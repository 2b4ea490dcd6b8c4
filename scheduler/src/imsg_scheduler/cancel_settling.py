"""Settles cancels: in the claims where senders may have the job, then for history, and gives their charges back.

Of what may have been published the cancel is kept already; now senders are let know (`mirror`), and then the claims say
whether a message was sent or is cancelled.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import OUTCOME
from imsg_contract.wire import ChargeRecord, Job, Outcome, Outcomes
from imsg_database.unavailable import DatabaseUnavailable
from imsg_delivery.claims.cancelling import Cancellation, ClaimsCanceller, ClaimsLostError, make_outcome
from imsg_limits.quota.charging import Quota
from imsg_limits.quota.rows import UNITS, Unit
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_scheduler.cancels import Cancel, Totals
from imsg_scheduler.mirror import CancelMirror
from imsg_scheduler.store import Store
from imsg_scheduler.tables import ALL_MESSAGES
from imsg_web.service_client import ServiceUnavailable

log = logger(__name__)

BUSY_S = 5.0
"""How long a cancel waits for messages that a worker is sending: some fail, and are cancelled then.

The client waits for the answer, so messages that a slow provider still has by then are answered as too late.
"""

POLL_S = 0.2

BATCH = 500
"""Outcomes of one publish."""

AWAY = (
    DatabaseUnavailable,
    RedisUnavailable,
    RedisRefused,
    PublishRefused,
    PublishUnknown,
    ServiceUnavailable,
    ClaimsLostError,
)
"""What settling, and all that goes with it, may find unavailable."""


class CancelSettler:
    """Settles cancels. All of it may be repeated."""

    def __init__(
        self, broker: Broker, store: Store, mirror: CancelMirror, claims: ClaimsCanceller, quota: Quota
    ) -> None:
        self._broker = broker
        self._store = store
        self._mirror = mirror
        self._claims = claims
        self._quota = quota

    async def settle(self, cancels: Sequence[Cancel], busy_s: float = BUSY_S) -> list[Cancel]:
        """Settle cancels, publish their outcomes, give their charges back, and keep what is answered.

        It may be repeated. Raises what is in AWAY.
        """
        finished: list[Cancel] = []
        outcomes: list[Outcome] = []
        refunds: list[Awaitable[None]] = []
        for cancel in cancels:
            if (job := cancel.job) is None:
                finished.append(cancel)
                continue
            if cancel.is_published:
                cancellation = await self._cancel_in_claims(cancel, job, busy_s)
                cancelled, too_late = cancellation.cancelled, len(cancellation.busy) + len(cancellation.doubtful)
                totals = Totals(len(cancelled), too_late, cancel.total - len(cancelled) - too_late)
            else:
                cancelled = []
                for at in range(0, len(job.recipients), BATCH):
                    await asyncio.sleep(0)  # others' turn: a long list would hold the loop
                    some = job.recipients[at : at + BATCH]
                    cancelled += [make_outcome(job, recipient.n, cancel.at) for recipient in some]
                totals = cancel.totals or Totals(len(cancelled), 0, 0)
            outcomes += cancelled
            finished.append(replace(cancel, totals=totals))
            if job.charge is not None and cancelled:
                refunds.append(self._refund(cancel, job.charge, [message.n for message in cancelled]))
        for at in range(0, len(outcomes), BATCH):
            batch = Outcomes(outcomes=tuple(outcomes[at : at + BATCH]))
            await self._broker.publish(batch.encode(), self._broker.topology.new(OUTCOME))
        await asyncio.gather(*refunds)
        async with self._store.writing() as rows:
            await rows.finish_cancels([cancel for cancel in finished if cancel.job is not None])
        for cancel in finished:
            if cancel.job is not None and cancel.totals is not None:
                log.info("cancelled", request=cancel.request, **cancel.totals._asdict())
        return [replace(cancel, job=None) for cancel in finished]

    async def find_busy(self, cancels: Sequence[Cancel]) -> set[int]:
        """Return the numbers of messages that a worker is sending. Raises what is in AWAY."""
        busy: set[int] = set()
        for cancel in cancels:
            if (job := cancel.job) is not None:
                busy.update(
                    (await self._claims.cancel(job, [recipient.n for recipient in job.recipients], cancel.at)).busy
                )
        return busy

    async def _cancel_in_claims(self, cancel: Cancel, job: Job, busy_s: float) -> Cancellation:
        await self._mirror.add(cancel.request, cancel.n)
        cancellation = await self._claims.cancel(job, [recipient.n for recipient in job.recipients], cancel.at)
        until = asyncio.get_running_loop().time() + busy_s
        while cancellation.busy and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(POLL_S)
            again = await self._claims.cancel(job, cancellation.busy, cancel.at)
            cancellation.cancelled += again.cancelled
            cancellation.settled += again.settled
            cancellation.doubtful += again.doubtful
            cancellation.busy = again.busy
        return cancellation

    async def _refund(self, cancel: Cancel, charge: ChargeRecord, ns: Sequence[int]) -> None:
        """Give back what was charged for cancelled messages, each once; the request too once none of it is sent."""
        units = {unit: _find_charged(charge, unit) for unit in UNITS.values()}
        recipients = units["recipients"] or cancel.total
        if len(ns) == cancel.total and (cancel.n == ALL_MESSAGES or recipients == 1):
            share = 1.0 if len(ns) == recipients else len(ns) / recipients
            unsent: dict[Unit, int] = {
                "requests": 1,
                "recipients": len(ns),
                "segments": int(units["segments"] * share),
            }
            await self._quota.refund_part(charge, cancel.request, "*", unsent)
            return
        units_each: dict[Unit, int] = {"recipients": 1, "segments": units["segments"] // recipients}
        await asyncio.gather(*(self._quota.refund_part(charge, cancel.request, str(n), units_each) for n in ns))


def _find_charged(charge: ChargeRecord, unit: Unit) -> int:
    """Return how much of a unit a request was charged; 0 where no quota counts it."""
    fields = (*charge.own.items(), *charge.of_all.items())
    return max((units for field, units in fields if UNITS[field[0]] == unit), default=0)
