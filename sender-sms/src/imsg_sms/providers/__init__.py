"""What a provider that carries SMS is to the rest; each is one module here and one line in `main.PROVIDERS`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from imsg_contract.wire import Job, Recipient, Result, TemplateLimits
from imsg_sms.templates import Message


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider said to one call."""

    result: Result
    """For every number of the call."""
    of_one: bool = False
    """It was refused whole, though perhaps for one number only: halve it, and the bad one stands alone."""
    of_provider: bool = False
    """It is the provider's trouble, not the message's: the next provider may do better, and the breaker counts it."""


class Provider(Protocol):
    """A provider: one call for as many numbers as it takes."""

    name: str
    most: int
    """Numbers of one call."""
    limits: Mapping[str, TemplateLimits]
    """Template → its limits; empty where the provider knows none."""

    async def send(self, message: Message, numbers: Sequence[str], reference: str) -> Answer:
        """Make one call for these numbers (E.164). `reference` is ours, the same for every try; never raises."""


@runtime_checkable
class Traceable(Protocol):
    """A provider that can be asked what became of a message."""

    async def trace(self, job: Job, recipients: Sequence[Recipient], *, is_last: bool) -> Mapping[int, Result]:
        """Find out what became of these, as `imsg_delivery.channel.Asking` says."""
