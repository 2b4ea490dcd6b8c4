"""The types of events, as callbacks, `GET /events` and the pages name them."""

from typing import Literal, get_args

MessageEvent = Literal[
    "message.scheduled",
    "message.held",
    "message.cancelled",
    "message.sent",
    "message.delivered",
    "message.failed",
    "message.expired",
    "message.uncertain",
    "message.reply",
]
UserEvent = Literal[MessageEvent, "request.settled", "quota.threshold", "callback.disabled"]
"""What each user may subscribe to, about what is their own."""

AdministratorEvent = Literal["channel.blocked", "channel.open", "provider.attention"]
"""What only administrators may subscribe to."""

EventName = Literal[UserEvent, AdministratorEvent]

MESSAGE_EVENTS: tuple[MessageEvent, ...] = get_args(MessageEvent)
USER_EVENTS: tuple[UserEvent, ...] = get_args(UserEvent)
ADMINISTRATOR_EVENTS: tuple[AdministratorEvent, ...] = get_args(AdministratorEvent)
EVENTS: tuple[EventName, ...] = get_args(EventName)
