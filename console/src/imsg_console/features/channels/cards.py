"""The channels as cards, which are drawn once and changed in place: no button vanishes under a finger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from nicegui import ui

from imsg_console.features.channels.oldest import WAITING, Day, Hours, Oldest, find_oldest
from imsg_console.features.channels.pause import pause, resume
from imsg_console.features.channels.providers import ProviderList
from imsg_console.features.channels.test_message import ask_test_message
from imsg_console.message.filters import write_local
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, live_text, mark_count
from imsg_console.widgets.facts import fact

LANES = ("priority", "normal", "bulk")
"""The lanes of a channel, as the API names them, the most urgent first."""

UNITS_S = (("hours", 3600), ("minutes", 60))

BROKER_BLOCKED = "broker_blocked: "
"""The beginning of the reason where the broker's alarm blocks the channel."""


class Cards:
    """Draws the channels."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._place = element("div", "tiles")
        self._cards: dict[str, Card] = {}

    async def refresh(self) -> None:
        """Load the channels, and show what has changed. Raises ApiError, SessionOver."""
        api, now = self._view.api, datetime.now(UTC)
        channels = (await api.get("/api/v2/channels"))["channels"]
        hours = await Hours.load(api, now)
        for channel in channels:
            method = channel["method"]
            if method not in self._cards:
                with self._place:
                    self._cards[method] = Card(self._view, method, self.refresh)
            age = write_age(self._view, await find_oldest(api, hours, method), now)
            self._cards[method].show(channel, age, hours)


class Card:
    """Draws one channel."""

    def __init__(self, view: View, method: str, refresh: Any) -> None:  # noqa: ANN401  a coroutine function
        self._view = view
        self._t = view.t
        self._method = method
        self._refresh = refresh
        self._shown: object = None
        self._day: object = None
        self._numbers: dict[str, ui.label] = {}
        self._links: dict[str, ui.link] = {}
        t, name = view.t, chips.method_name(view.t, method)
        with attrs(element("section", "card channel"), aria_label=name, data_method=method):
            with element("header", "spread"):
                with heading(2, ""):
                    chips.method(view, method)
                self._state = element("span")
            self._why = element("div", "stack tight")
            with element("dl", "stack channel-facts"):
                with fact(t("channels.waiting")):
                    self._waiting = live_text("number")
                    self._lanes = live_text("muted")
                for status in WAITING:
                    with fact(t(f"channels.{status}")):
                        self._numbers[status] = live_text("number")
                        self._links[status] = link_to(t("channels.see_waiting"), "")
                with fact(t("channels.oldest")):
                    self._age = live_text()
                with fact(t("channels.today")):
                    self._today = element("span", "line channel-today")
            self._providers = ProviderList(view, method, refresh)
            with element("footer", "line channel-foot"):
                self._pause = button(t("channels.pause"), lambda: pause(view, method, name, refresh), symbol="pause")
                self._resume = button(
                    t("channels.resume"), lambda: resume(view, method, name, refresh), kind="main", symbol="play_arrow"
                )
                test = button(t("channels.test"), lambda: ask_test_message(view, method), symbol="outgoing_mail")
        attrs(self._pause, aria_label=t("channels.pause_of", channel=name))
        attrs(self._resume, aria_label=t("channels.resume_of", channel=name))
        attrs(test, aria_label=t("channels.test_of", channel=name))

    def show(self, channel: Mapping[str, Any], age: str, hours: Hours) -> None:
        """Show the channel as it is now."""
        waiting = channel["waiting"]
        self._waiting.text = self._t("channels.waiting_unknown") if waiting is None else f"{waiting:,}"
        lanes = channel.get("lanes") or {}
        named = (f"{self._t(f'channels.lane_{lane}')} {lanes[lane]:,}" for lane in LANES if lanes.get(lane))
        self._lanes.text = self._t("channels.listing").join(named)
        for status in WAITING:
            count = hours.count(self._method, status)
            self._numbers[status].text = f"{count:,}"
            link = mark_count(self._links[status], count)
            attrs(link, href=self._messages(status, hours.since)).update()
            link.set_visibility(bool(count))
        self._age.text = age
        self._providers.show(channel.get("providers") or ())
        self._pause.set_visibility(channel["state"] != "paused")
        self._resume.set_visibility(channel["state"] == "paused")
        is_open, has_senders = channel["state"] == "open", channel.get("consumers") != 0
        state = (channel["state"], channel["why"], channel["until"], waiting if is_open else 0, has_senders)
        if state != self._shown:
            self._shown = state
            self._show_state(channel)
        day = hours.day(self._method), hours.day_since
        if day != self._day:
            self._day = day
            self._show_day(*day)

    def _messages(self, status: str, since: datetime) -> str:
        query = {"method": self._method, "status": status, "since": write_local(since, self._view.times.zone)}
        return f"/messages?{urlencode(query)}"

    def _show_state(self, channel: Mapping[str, Any]) -> None:
        t, state = self._t, channel["state"]
        self._state.clear()
        with self._state:
            chips.state(self._view, state)
        self._why.clear()
        with self._why:
            if (channel["why"] or "").startswith(BROKER_BLOCKED):
                element("p", "", t("channels.broker_blocked"))
                return
            if state == "open" and channel.get("consumers") == 0:
                element("p", "", t("channels.no_sender"))
            elif state == "open" and channel["waiting"]:
                element("p", "", t("channels.open_waiting", n=channel["waiting"]))
            else:
                element("p", "", t(f"channels.{state}"))
            if channel["why"]:
                element("p", "own-words", t(f"channels.{state}_why", why=line(channel["why"], 500)))
            if channel["until"]:
                element("p", "", t("channels.blocked_until", at=self._view.times.full(channel["until"])))

    def _show_day(self, day: Day, since: datetime) -> None:
        t = self._t
        self._today.clear()
        with self._today:
            if not day.succeeded and not day.failed:
                element("span", "muted", t("channels.today_none"))
                return
            element("span", "", t("channels.today_done", n=f"{day.succeeded:,}"))
            if day.failed:
                failed = link_to(
                    t("channels.today_failed", n=f"{day.failed:,}"), self._messages("failed,expired", since)
                )
                attrs(mark_count(failed, day.failed), title=t("channels.see_failed"))


def write_age(view: View, oldest: Oldest | None, now: datetime) -> str:
    """Write since when the oldest message waits."""
    t, times = view.t, view.times
    if oldest is None:
        return t("channels.oldest_none")
    if oldest.since != oldest.until:
        return t("channels.oldest_between", since=times.full(oldest.since), until=times.full(oldest.until))
    age_s = max(0, int((now - datetime.fromisoformat(oldest.since)).total_seconds()))
    name, unit_s = next((unit for unit in UNITS_S if age_s >= unit[1]), ("seconds", 1))
    ago = t(f"channels.{name}_ago", n=age_s // unit_s)
    return t("channels.oldest_since", at=times.short(oldest.since, now), ago=ago)
