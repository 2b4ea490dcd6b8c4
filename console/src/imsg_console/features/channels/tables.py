"""The tables of channels and of their providers. They change in place, so that no button moves under a finger."""

from datetime import UTC, datetime
from functools import partial

from imsg_console.client import make_url, path
from imsg_console.explanations import explain_listed
from imsg_console.features.channels.oldest import WAITING, Hours, Oldest, find_oldest
from imsg_console.features.channels.pause import pause, resume
from imsg_console.message.filters import write_local
from imsg_console.message.test_message import ask_test_message
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import cells, chips
from imsg_console.widgets.cells import Cell, Piece
from imsg_console.widgets.dialogs import confirm
from imsg_console.widgets.elements import heading
from imsg_console.widgets.forms import Field, ask_form
from imsg_console.widgets.notices import toast
from imsg_console.widgets.paging import Row
from imsg_console.widgets.tables import Column, Table

LANES = ("priority", "normal", "bulk", "test")
"""The lanes of a channel, as the API names them, the most urgent first."""

UNITS_S = (("hours", 3600), ("minutes", 60))

BROKER_BLOCKED = "broker_blocked: "
"""The beginning of the reason where the broker's alarm blocks the channel."""

MAX_WEIGHT = 1_000
MAX_CHARACTERS = 300


class ChannelTables:
    """Draws the table of channels and the table of providers, and refreshes them."""

    def __init__(self, view: View) -> None:
        self._view, self._t = view, view.t
        t = view.t
        self._channels = Table(
            view,
            t("layout.channels"),
            [
                Column("channel", t("channels.channel"), self._name, is_main=True),
                Column("state", t("channels.state"), self._state),
                Column("waiting", t("channels.waiting"), self._waiting),
                *(Column(status, t(f"channels.{status}"), partial(self._count, status)) for status in WAITING),
                Column("oldest", t("channels.oldest"), lambda row: row["age"]),
                Column("today", t("channels.today"), self._today),
                Column("actions", t("channels.actions"), self._actions),
            ],
            key="method",
            actions={
                "pause": lambda row: pause(view, row["method"], self._title(row), self.refresh),
                "resume": lambda row: resume(view, row["method"], self._title(row), self.refresh),
                "test": self._test,
            },
        )
        heading(2, t("channels.providers"))
        self._providers = Table(
            view,
            t("channels.providers"),
            [
                Column("provider", t("channels.provider"), self._provider, is_main=True),
                Column("state", t("channels.state"), self._provider_state),
                Column("share", t("channels.provider_weight_title"), self._share),
                Column("last-hour", t("channels.hour"), self._counts),
                Column("error", t("channels.provider_error"), self._errors),
                Column("actions", t("channels.actions"), self._provider_actions),
            ],
            key="key",
            actions={
                "on": lambda row: self._change(row, enabled=True),
                "off": self._switch_off,
                "weigh": self._ask_weight,
            },
        )

    async def refresh(self) -> None:
        """Load the channels, and show what has changed. Raises ApiError, SessionOver."""
        api, now = self._view.api, datetime.now(UTC)
        channels = (await api.get("/api/v2/channels"))["channels"]
        providers = (await api.get("/api/v2/providers"))["providers"]
        self._simulated = {(provider["method"], provider["name"]) for provider in providers if provider["simulated"]}
        hours = await Hours.load(api, now)
        rows = [
            {
                **channel,
                "hours": hours,
                "age": write_age(self._view, await find_oldest(api, hours, channel["method"]), now),
            }
            for channel in channels
        ]
        self._channels.show(rows)
        self._providers.show(
            [
                {**provider, "method": channel["method"], "key": f"{channel['method']}/{provider['name']}"}
                for channel in channels
                for provider in channel.get("providers") or ()
            ]
        )

    def _title(self, row: Row) -> str:
        return chips.method_name(self._t, row["method"])

    def _name(self, row: Row) -> Piece:
        return cells.method(self._t, row["method"])

    def _provider(self, row: Row) -> Cell:
        return [cells.text(line(row["name"], 64)), self._name(row)]

    def _state(self, channel: Row) -> Cell:
        t, state, why = self._t, channel["state"], channel["why"] or ""
        drawn: list[Piece] = [cells.state(t, state)]
        if why.startswith(BROKER_BLOCKED):
            return [*drawn, cells.text(t("channels.broker_blocked"), "small")]
        if state == "open" and channel.get("consumers") == 0:
            drawn.append(cells.text(t("channels.no_sender"), "small"))
        elif state != "open":
            drawn.append(cells.text(t(f"channels.{state}"), "small"))
        if why:
            drawn.append(cells.text(t(f"channels.{state}_why", why=line(why, 500)), "small"))
        if channel["until"]:
            drawn.append(cells.muted(t("channels.blocked_until", at=self._view.times.full(channel["until"]))))
        return drawn

    def _waiting(self, channel: Row) -> Cell:
        t, waiting, lanes = self._t, channel["waiting"], channel.get("lanes") or {}
        named = [f"{t(f'channels.lane_{lane}')} {lanes[lane]:,}" for lane in LANES if lanes.get(lane)]
        total = cells.text(t("channels.waiting_unknown") if waiting is None else f"{waiting:,}")
        return [total, *([cells.muted(t.join_names(named))] if named else [])]

    def _count(self, status: str, channel: Row) -> Cell:
        count = channel["hours"].count(channel["method"], status)
        target = self._list_messages(channel["method"], status, channel["hours"].since)
        return cells.link(f"{count:,}", target, count) if count else "0"

    def _list_messages(self, method: str, status: str, since: datetime) -> str:
        return make_url("/messages", method=method, status=status, since=write_local(since, self._view.times.zone))

    def _today(self, channel: Row) -> Cell:
        t, hours, method = self._t, channel["hours"], channel["method"]
        day = hours.day(method)
        if not day.succeeded and not day.failed:
            return cells.muted(t("channels.today_none"))
        drawn: list[Piece] = [cells.text(t("channels.today_done", n=f"{day.succeeded:,}"))]
        if day.failed:
            target = self._list_messages(method, "failed,expired", hours.day_since)
            drawn.append(cells.link(t("channels.today_failed", n=f"{day.failed:,}"), target, day.failed))
        return drawn

    def _actions(self, channel: Row) -> Cell:
        t, name = self._t, self._title(channel)
        buttons = []
        if self._view.may("POST /messages"):
            buttons.append(cells.button("test", t("channels.test"), t("channels.test_of", channel=name)))
        if not self._view.may("PATCH /channels/{method}"):
            return [buttons]
        if channel["state"] == "paused":
            resume_name = t("channels.resume_of", channel=name)
            return [[cells.button("resume", t("channels.resume"), resume_name, kind="main"), *buttons]]
        return [[cells.button("pause", t("channels.pause"), t("channels.pause_of", channel=name)), *buttons]]

    def _test(self, channel: Row) -> None:
        may_choose = self._view.may("POST /providers/{method}/{name}/test")
        providers = [provider["name"] for provider in channel.get("providers") or ()] if may_choose else []
        ask_test_message(self._view, channel["method"], providers)

    def _provider_state(self, provider: Row) -> Cell:
        t, state = self._t, cells.state(self._t, provider["state"])
        if (provider["method"], provider["name"]) not in self._simulated:
            return state
        return [state, cells.chip(t("words.simulated"), "science", "info", title=t("words.simulated_means"))]

    def _share(self, provider: Row) -> Cell:
        t = self._t
        if provider["weight"] is None:
            return ""
        if provider["share"] is None:
            return t("channels.provider_special", weight=provider["weight"])
        return t("channels.provider_share", percent=round(provider["share"] * 100), weight=provider["weight"])

    def _counts(self, provider: Row) -> Cell:
        t = self._t
        counts: list[Piece] = [
            cells.text(t("channels.provider_sent", n=f"{provider['sent']:,}")),
            cells.text(t("channels.provider_failed", n=f"{provider['failed']:,}")),
        ]
        if provider["p95_ms"] is not None:
            counts.append(cells.muted(t("channels.provider_p95", ms=f"{provider['p95_ms']:,}")))
        return counts

    def _errors(self, provider: Row) -> Cell:
        """Return why a provider is blocked, else its last error: explained, and verbatim."""
        t, times, drawn = self._t, self._view.times, list[Piece]()
        for block in provider["blocks"]:
            drawn += self._explain(provider["method"], block["code"])
            why = line(f"{block['what']}: {block['code']} {block['detail']}", MAX_CHARACTERS)
            drawn.append(cells.text(t("channels.provider_block", why=why), "small"))
            since, until = times.full(block["since"]), times.full(block["until"])
            drawn.append(cells.muted(t("channels.provider_block_times", since=since, until=until)))
        if (last := provider["last_error"]) is not None and not provider["blocks"]:
            drawn += self._explain(provider["method"], last["code"])
            answer = line(f"{last['code']} {last['detail']}".strip(), MAX_CHARACTERS)
            last_error = t("channels.provider_last", at=times.short(last["at"]), said=answer)
            drawn.append(cells.text(last_error, "muted small ellipsis-2-lines", title=last_error))
        return drawn

    def _explain(self, method: str, code: str) -> list[Piece]:
        """Return the meaning and the remedy of a code, where it is known."""
        known = explain_listed(self._t, method, code)
        return [cells.text(known.meaning), cells.muted(known.remedy)] if known else []

    def _provider_actions(self, provider: Row) -> Cell:
        t, name = self._t, provider["name"]
        if not self._view.may("PATCH /providers/{method}/{name}"):
            return None
        if provider["enabled"]:
            switch = cells.button("off", t("channels.provider_off"), t("channels.provider_off_of", name=name))
        else:
            on = t("channels.provider_on_of", name=name)
            switch = cells.button("on", t("channels.provider_on"), on, kind="main")
        if provider["weight"] is None:
            return switch
        weigh = t("channels.provider_weigh_of", name=name)
        return [[switch, cells.button("weigh", t("channels.provider_weigh"), weigh)]]

    async def _switch_off(self, provider: Row) -> None:
        t = self._t
        title, text = t("channels.provider_off_ask", name=provider["name"]), t("channels.provider_off_what")
        if await confirm(self._view, title, text, t("channels.provider_off")):
            await self._change(provider, enabled=False)

    async def _ask_weight(self, provider: Row) -> None:
        t = self._t

        def check(text: str) -> str:
            is_right = text.isascii() and text.isdigit() and int(text) <= MAX_WEIGHT
            return "" if is_right else t("channels.provider_weight_wrong", most=MAX_WEIGHT)

        field = Field("weight", t("channels.provider_weight"), provider["weight"], "whole", check=check)
        title, text = t("channels.provider_weigh_of", name=provider["name"]), t("channels.provider_weigh_what")
        chosen = await ask_form(self._view, title, [field], t("channels.provider_weigh_save"), text=text)
        if chosen:
            await self._change(provider, **chosen)

    async def _change(self, provider: Row, **fields: bool | int) -> None:
        await self._view.api.patch(path("/api/v2/providers", provider["method"], provider["name"]), fields)
        toast(self._t("channels.provider_changed", name=provider["name"]))
        await self.refresh()


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
    return t("channels.oldest_since", at=times.short(oldest.since), ago=ago)
