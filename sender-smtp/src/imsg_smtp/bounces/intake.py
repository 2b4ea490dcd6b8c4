"""What the ways in have in common: whom they hand a message to, and how they count what became of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter

from imsg_smtp.bounces.absorb import Later, Taken

Way = Literal["mailbox", "listener"]

AWAY = (Later, TimeoutError)
"""What says that the message could not be kept for now, and is to come again."""


class Taking(Protocol):
    """Takes a message, as Bounces does."""

    async def take(self, raw: bytes, recipients: Sequence[str]) -> Taken:
        """Keep what a message says; it may come twice. `recipients` are those of its envelope, none where unknown.

        Raises Later where it could not be kept.
        """


@dataclass(frozen=True, slots=True)
class Intake:
    """Hands messages over, each within a time, and counts them."""

    taking: Taking
    way: Way
    counter: Counter
    within_s: float = 20.0

    async def take(self, raw: bytes, recipients: Sequence[str]) -> Taken:
        """Hand it over. Raises one of AWAY."""
        try:
            async with asyncio.timeout(self.within_s):
                taken = await self.taking.take(raw, recipients)
        except AWAY:
            self.count("later")
            raise
        self.count(taken.verdict.value)
        return taken

    def count(self, result: str) -> None:
        """Count one message."""
        self.counter.labels(self.way, result).inc()


def make_counter(registry: CollectorRegistry) -> Counter:
    """Make the counter of all ways in."""
    return Counter(
        "imsg_bounce_mails",
        "Messages that came back by mail, by the way in and what became of them",
        ("way", "result"),
        registry=registry,
    )
