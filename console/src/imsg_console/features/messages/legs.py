"""The legs of a message to one person: each channel that was tried, in order, as one story."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from imsg_console.client import path
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.elements import element, link_to

NOT_BEGUN = ("waiting", "unused")


class Leg(NamedTuple):
    """One leg of a person's."""

    method: str
    state: str
    """The status of the person's message, or one of NOT_BEGUN."""
    message: str
    """Its id; empty where there is none."""


async def load_legs(view: View, message: Mapping[str, Any]) -> Sequence[Leg]:
    """Read the legs of a message's person; none without a fallback. Raises ApiError, SessionOver."""
    if message["leg_of"] is None:
        return ()
    of = await view.api.get(path("/api/v2/requests", message["leg_of"]))
    number = str(message["id"]).partition("-")[2]
    is_over = not of["open"]
    legs = []
    for leg in of["legs"]:
        name = f"{leg['id']}-{number}"
        messages = [] if leg["state"] in NOT_BEGUN else (await view.api.get("/api/v2/messages", id=name))["messages"]
        leg_message = next((message for message in messages if message["id"] == name), None)
        state = ("unused" if is_over else "waiting") if leg_message is None else str(leg_message["status"])
        legs.append(Leg(leg["method"], state, "" if leg_message is None else name))
    return legs


def draw_legs(view: View, legs: Sequence[Leg], current: str) -> None:
    """Draw them as a list; that of the page itself has no link."""
    t = view.t
    with element("ol", "stack tight"):
        for number, leg in enumerate(legs, 1):
            with element("li", "line"):
                chips.method(view, leg.method)
                if leg.state in NOT_BEGUN:
                    element("span", "muted", t(f"messages.leg_{leg.state}"))
                else:
                    chips.status(view, leg.state)
                if leg.message and leg.message != current:
                    link_to(t("messages.leg_show", number=number), path("/messages", leg.message))
