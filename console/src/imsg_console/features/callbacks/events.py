"""The events of callbacks."""

from imsg_console.texts import Texts

USUAL_EVENTS = ("message.sent", "message.failed", "message.expired")


def name_event(t: Texts, name: str) -> str:
    """Return the title of an event."""
    return t(f"callbacks.event_{name.replace('.', '_')}")
