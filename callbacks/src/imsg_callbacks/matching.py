"""The types of events, and which of them an endpoint subscribes to."""

from collections.abc import Collection

from imsg_contract.wire import EventKind

MESSAGE_EVENTS = (
    "message.scheduled",
    "message.held",
    "message.cancelled",
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.uncertain",
    "message.reply",
)
REQUEST_EVENTS = ("request.settled",)
ADMINISTRATOR_EVENTS = ("channel.blocked", "channel.open", "provider.attention")
"""Events that only administrators may subscribe to."""

CALLBACK_EVENTS = ("callback.disabled",)
QUOTA_EVENTS = ("quota.threshold",)
EVENTS = (*MESSAGE_EVENTS, *REQUEST_EVENTS, *QUOTA_EVENTS, *ADMINISTRATOR_EVENTS, *CALLBACK_EVENTS)

TEST_EVENT = "callback.test"
"""The type of a test call; no endpoint can subscribe to it."""

READER = int(EventKind.MESSAGE | EventKind.REQUEST)
"""The kinds of events that are recorded for users who read them without an endpoint."""


def kinds_of(events: Collection[str]) -> int:
    """Return the bits of `EventKind` that history must record for an endpoint of these event types."""
    kinds = 0
    if any(event in MESSAGE_EVENTS for event in events):
        kinds |= EventKind.MESSAGE
    if any(event in REQUEST_EVENTS for event in events):
        kinds |= EventKind.REQUEST
    return int(kinds)


def wants(events: Collection[str], methods: Collection[str] | None, kind: str, method: str | None) -> bool:
    """Return whether an endpoint of these event types and channels gets an event.

    `methods` None means every channel. An event without a channel (`method` None) goes to any endpoint of its type.
    """
    return kind in events and (methods is None or method is None or method in methods)
