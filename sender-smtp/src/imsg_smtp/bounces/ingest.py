"""What mailbox and listener share: they hand each mail to the processor within a time, and count the result."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter

from imsg_smtp.bounces.process import IngestedBounce, RetryLater

Source = Literal["mailbox", "listener"]

RETRY_LATER = (RetryLater, TimeoutError)
"""Raised where a mail could not be kept for now, and has to come again."""


class SupportsProcess(Protocol):
    """Processes a mail, as BounceProcessor does."""

    async def process(self, raw: bytes, recipients: Sequence[str]) -> IngestedBounce:
        """Keep what a message says; it may come twice. `recipients` are those of its envelope, none where unknown.

        Raises RetryLater where it could not be kept.
        """


@dataclass(frozen=True, slots=True)
class Ingester:
    """Hands each mail of one source to the processor within a time, and counts the results."""

    processor: SupportsProcess
    source: Source
    counter: Counter
    within_s: float = 20.0

    async def ingest(self, raw: bytes, recipients: Sequence[str]) -> IngestedBounce:
        """Process a mail within the time. Raises one of RETRY_LATER."""
        try:
            async with asyncio.timeout(self.within_s):
                ingested = await self.processor.process(raw, recipients)
        except RETRY_LATER:
            self.count("later")
            raise
        self.count(ingested.verdict.value)
        return ingested

    def count(self, result: str) -> None:
        """Count one message."""
        self.counter.labels(self.source, result).inc()


def make_counter(registry: CollectorRegistry) -> Counter:
    """Make the counter of all sources."""
    return Counter(
        "imsg_bounce_mails",
        "Messages that came back by mail, by their source and what became of them",
        ("way", "result"),
        registry=registry,
    )
