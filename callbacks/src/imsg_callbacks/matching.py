"""Which events an endpoint subscribes to."""

from collections.abc import Collection

from imsg_contract.event_types import MESSAGE_EVENTS
from imsg_contract.wire import EventKind

TEST_EVENT = "callback.test"
"""The type of a test call; no endpoint can subscribe to it."""

READER = int(EventKind.MESSAGE | EventKind.REQUEST)
"""The kinds of events that are recorded for users who read them without an endpoint."""


def kinds_of(events: Collection[str]) -> int:
    """Return the bits of `EventKind` that history must record for an endpoint of these event types."""
    kinds = 0
    if any(event in MESSAGE_EVENTS for event in events):
        kinds |= EventKind.MESSAGE
    if "request.settled" in events:
        kinds |= EventKind.REQUEST
    return int(kinds)


def wants(events: Collection[str], methods: Collection[str] | None, kind: str, method: str | None) -> bool:
    """Return whether an endpoint of these event types and channels gets an event.

    `methods` None means every channel. An event without a channel (`method` None) goes to any endpoint of its type.
    """
    return kind in events and (methods is None or method is None or method in methods)
