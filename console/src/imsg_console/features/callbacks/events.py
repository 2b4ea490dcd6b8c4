"""The events of callbacks."""

from imsg_console.texts import Texts

EVENTS = (
    "message.scheduled",
    "message.held",
    "message.cancelled",
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.uncertain",
    "message.reply",
    "request.settled",
    "quota.threshold",
    "callback.disabled",
)
EVENTS_OF_ADMINISTRATORS = ("channel.blocked", "channel.open", "provider.attention")
USUAL_EVENTS = ("message.sent", "message.failed", "message.expired")


def name_event(t: Texts, name: str) -> str:
    """Name an event as people read it."""
    return t(f"callbacks.event_{name.replace('.', '_')}")
