"""The types of events, and which of them an endpoint subscribes to."""

from collections.abc import Collection

from imsg_contract.wire import EventKind

MESSAGE_EVENTS = (
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.uncertain",
    "message.reply",
)
REQUEST_EVENTS = ("request.settled",)
CHANNEL_EVENTS = ("channel.blocked", "channel.open")
"""For administrators alone."""

CALLBACK_EVENTS = ("callback.disabled",)
EVENTS = (*MESSAGE_EVENTS, *REQUEST_EVENTS, *CHANNEL_EVENTS, *CALLBACK_EVENTS)

TEST_EVENT = "callback.test"
"""The type of a test call; no endpoint can subscribe to it."""

READER = int(EventKind.MESSAGE | EventKind.REQUEST)
"""The events of users who read them without an endpoint."""


def kinds_of(events: Collection[str]) -> int:
    """Return which events of messages have to be recorded for an endpoint of these types."""
    kinds = 0
    if any(one in MESSAGE_EVENTS for one in events):
        kinds |= EventKind.MESSAGE
    if any(one in REQUEST_EVENTS for one in events):
        kinds |= EventKind.REQUEST
    return int(kinds)


def wants(events: Collection[str], methods: Collection[str] | None, kind: str, method: str | None) -> bool:
    """Tell whether an endpoint of these events and methods wants an event; what is of no channel, whatever its own."""
    return kind in events and (methods is None or method is None or method in methods)
