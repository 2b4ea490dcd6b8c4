"""Passes the mails of the mailbox and the listener to the processor, with a time limit, and counts the results."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter

from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_smtp.bounces.process import IngestedBounce, RetryLater

log = logger(__name__)

Source = Literal["mailbox", "listener"]

RETRY_LATER = (RetryLater, TimeoutError)
"""Raised where a mail could not be kept now: the source must deliver it again."""


class SupportsProcess(Protocol):
    """Processes a mail, as BounceProcessor does."""

    async def process(self, raw: bytes, recipients: Sequence[str]) -> IngestedBounce:
        """Publish the events of a mail; a repeat changes nothing. `recipients` are the envelope's, empty if unknown.

        Raises RetryLater where they could not be kept.
        """


@dataclass(frozen=True, slots=True)
class Ingester:
    """Passes each mail of one source to the processor, and counts the results."""

    processor: SupportsProcess
    source: Source
    counter: Counter
    within_s: float = 20.0
    problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "bounces_not_kept", quiet_s=QUIET_S), compare=False
    )

    async def ingest(self, raw: bytes, recipients: Sequence[str]) -> IngestedBounce:
        """Process a mail within `within_s` seconds. Raises one of RETRY_LATER."""
        try:
            async with asyncio.timeout(self.within_s):
                ingested = await self.processor.process(raw, recipients)
        except RETRY_LATER as error:
            self.count("later")
            self.problem.report(error, source=self.source)
            raise
        self.problem.clear()
        self.count(ingested.verdict.value)
        return ingested

    def count(self, result: str) -> None:
        """Count one message."""
        self.counter.labels(self.source, result).inc()


def make_counter(registry: CollectorRegistry) -> Counter:
    """Make the counter of all sources."""
    return Counter(
        "imsg_bounce_mails",
        "Bounces received by mail, by source and result",
        ("source", "result"),
        registry=registry,
    )
