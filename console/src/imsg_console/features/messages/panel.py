"""A listing of messages with all that belongs to it: filters, live changes, pages, resending, export."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.messages.export import export
from imsg_console.features.messages.filter_bar import FilterBar
from imsg_console.features.messages.listing import PAGE, Listing, Part, read_page
from imsg_console.features.messages.live import News, compare, is_waiting
from imsg_console.features.messages.pager import Pager
from imsg_console.features.messages.rows import Rows
from imsg_console.features.messages.table import draw_messages, draw_requests
from imsg_console.message.filters import Filters, NotAnIdError, NotATimeError
from imsg_console.message.hold import find_held
from imsg_console.message.pace import Pace
from imsg_console.message.resend_dialog import Again
from imsg_console.time_format import TimeFormat
from imsg_console.view import View
from imsg_console.widgets.data_table import read_word
from imsg_console.widgets.elements import attrs, button, element, heading, icon, style_sheet
from imsg_console.widgets.formats import download_button
from imsg_console.widgets.notices import toast

IS_STILL = "window.scrollY < 60 && !document.querySelector('.data-table:hover, .data-table :focus-visible')"
"""Whether nobody's eye or hand is on a row: only then may rows move."""

BY = ("request", "recipient")
"""What a row may be."""

OPENED = 10
"""Recipients shown below a request; a link leads to all."""

NAMES = 20
"""Usernames offered while one is typed."""

TO_RESEND = ("failed", "expired", "uncertain")

AT_FIRST = """
document.querySelector('.filters-status[aria-pressed=true]')?.scrollIntoView({block: 'nearest', inline: 'center'});
document.addEventListener('visibilitychange', () => emitEvent('messages_seen', !document.hidden));
"""


class MessagePanel:
    """Draws the listing for an administrator (`everybody`), or of one's own messages."""

    def __init__(self, view: View, *, everybody: bool, base: str = "/messages") -> None:
        self._view = view
        self._t = view.t
        self._everybody = everybody
        self._moments = TimeFormat(view.timezone, english=view.t.language == "en")
        self._held: dict[str, str] = {}
        self._rows = Rows(view.t, self._moments, base)
        self._filters = Filters.of(view.query)
        self._asked: dict[str, str] | None = None
        """The filters as the API takes them; None where one can't be read."""
        self._listing = Listing(view.api, {})
        self._part = Part(1, None, (), None)
        self._messages: list[Mapping[str, Any]] = []
        self._gone: frozenset[str] = frozenset()
        self._pace = Pace()
        self._paused = False
        self._busy = asyncio.Lock()
        self._chosen: Sequence[str] = ()
        self._opened: dict[str, Sequence[Mapping[str, Any]]] = {}
        """Requests whose recipients are shown, with them."""
        asked = view.query.get("by", "")
        self._by = asked if asked in BY else ""

    @property
    def _is_by_request(self) -> bool:
        """Whether a row is a request: unless something is asked of single messages, or somebody wants them."""
        return self._by == "request" if self._by else not self._filters.means_recipients

    async def show(self) -> None:
        """Draw it, with what it shows first."""
        style_sheet("messages")
        self._bar = FilterBar(
            self._t,
            self._filters,
            self._moments.zone,
            everybody=self._everybody,
            on_change=self._refilter,
            find_names=self._find_names,
        )
        self._draw_tools()
        self._news = button("", self._show_newest, symbol="arrow_upward").classes("messages-news")
        self._news.set_visibility(False)
        self._place = element("div", "messages-place")
        self._draw_table()
        self._empty = element("div", "empty")
        self._pager = Pager(self._t, self._go)
        self._timer = ui.timer(self._pace.wait_s, self._look, immediate=False)
        ui.on("messages_seen", lambda event: self._set_visible(seen=bool(event.args)))
        ui.context.client.on_connect(lambda: ui.run_javascript(AT_FIRST))
        if self._listen():
            number, cursor = read_page(self._view.query.get("page", "")), self._view.query.get("cursor", "")
            if cursor:
                self._listing.knows(number, cursor)
            await self._load(number)

    async def _find_names(self, part: str) -> list[str]:
        answer = await self._view.api.get("/api/v2/users", search=part, limit=NAMES)
        return [str(user["username"]) for user in answer["users"]]

    def _draw_table(self) -> None:
        """Draw the table of what a row is now."""
        self._drawn_by_request = self._is_by_request
        self._opened = {}
        self._choose(())
        draw = draw_requests if self._is_by_request else draw_messages
        self._place.classes(
            add="" if self._is_by_request else "messages-of-recipients",
            remove="messages-of-recipients" if self._is_by_request else "",
        )
        self._place.clear()
        with self._place:
            self._table = draw(self._t, everybody=self._everybody, on_choice=self._choose)
        self._table.hear("open", self._open)
        self._grain.set_value("request" if self._is_by_request else "recipient")

    async def _turn(self) -> None:
        """Show requests, or single recipients."""
        by = str(self._grain.value)
        if (by == "request") == self._is_by_request:
            return
        self._by = by
        if self._listen():
            await self._load(1)

    async def _open(self, given: object) -> None:
        """Show a request's recipients below it, or hide them."""
        request = read_word(given)
        if self._opened.pop(request, None) is None:
            asked = {**(self._asked or {}), "id": request, "limit": OPENED}
            self._opened[request] = (await self._view.api.get("/api/v2/messages", **asked))["messages"]
        self._table.change(self._as_rows())

    def _draw_tools(self) -> None:
        with element("div", "line messages-tools"):
            self._live = attrs(
                button(self._t("messages.live"), self._pause, kind="quiet", symbol="pause").classes("messages-live"),
                aria_pressed="true",
                title=self._t("messages.live_pause"),
            )
            kinds = {name: self._t(f"messages.by_{name}") for name in BY}
            self._grain = (
                ui.toggle(kinds, on_change=self._turn)
                .props("no-caps unelevated toggle-color=none toggle-text-color=none")
                .classes("messages-grain")
            )
            self._away = attrs(element("span", "messages-away"), role="status")
            element("span", "space")
            self._again = Again(self._view, on_sent=self._show_newest)
            self._resend_chosen = button(
                self._t("messages.resend_chosen"), self._resend_those, kind="main", symbol="replay"
            )
            self._resend_chosen.set_visibility(False)
            button(self._t("messages.resend_all"), self._resend_all, symbol="replay")
            download_button(self._t, self._t("messages.export"), self._export)

    def _listen(self) -> bool:
        """Take the filters in force; False, and said, where one of them can't be read."""
        self._asked = None
        try:
            self._asked = self._filters.as_parameters(self._moments.zone)
            if not self._everybody:
                self._asked["username"] = self._view.session.username  # an administrator's listing is everybody's
        except NotATimeError:
            self._bar.complain(self._t("messages.not_a_time"))
            return False
        except NotAnIdError:
            self._bar.complain(self._t("messages.not_an_id"))
            return False
        self._listing = Listing(self._view.api, self._asked, what="requests" if self._is_by_request else "messages")
        return True

    async def _refilter(self, filters: Filters) -> None:
        self._filters = filters
        self._bar.show(filters)
        if self._listen():
            await self._load(1)

    async def _go(self, number: int) -> None:
        await self._load(number)
        ui.run_javascript("window.scrollTo({top: 0})")

    async def _show_newest(self) -> None:
        await self._load(1)

    async def _load(self, number: int) -> None:
        async with self._busy:
            try:
                part = await self._listing.load(number, lambda at: self._pager.show_walk(at, number))
            except ApiError as error:
                self._bar.complain(error.detail or self._t("layout.unreachable"))
                return
            await self._look_at_channels(part.messages)
            self._show(part)
        self._pace = Pace()
        self._timer.interval = self._pace.wait_s

    def _show(self, part: Part) -> None:
        if self._drawn_by_request != self._is_by_request:
            self._draw_table()
        self._part = part
        self._opened = {}
        self._messages = list(part.messages)
        self._gone = frozenset()
        self._news.set_visibility(False)
        self._away.clear()
        self._table.show(self._as_rows())
        self._pager.show(part)
        self._draw_empty()
        place = {"page": str(part.number), "cursor": part.cursor or ""} if part.number > 1 else {}
        query = self._filters.url(**place, by=self._by)
        ui.navigate.history.replace(f"{self._view.path}?{query}" if query else self._view.path)

    async def _look_at_channels(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Learn which channels stand still, where something waits for them."""
        waits = any(is_waiting(message) for message in messages)
        self._held = await find_held(self._view) if waits else {}

    def _as_rows(self) -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        if self._is_by_request:
            return [self._as_request(one, now) for one in self._messages]
        return [self._rows.row(one, now, gone=one["id"] in self._gone, held=self._held) for one in self._messages]

    def _as_request(self, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        row = self._rows.request(request, now, held=self._held)
        opened = self._opened.get(request["id"])
        return {**row, "opened": [self._rows.row(one, now, held=self._held) for one in opened] if opened else None}

    def _draw_empty(self) -> None:
        is_empty = not self._messages
        self._table.hide(hidden=is_empty)
        self._empty.set_visibility(is_empty)
        self._empty.clear()
        if not is_empty:
            return
        with self._empty:
            icon("filter_alt_off" if self._filters.set else "outbox", "empty-symbol")
            if self._filters.set:
                heading(2, self._t("messages.empty_filtered_title"))
                element("p", "", self._t("messages.empty_filtered", timezone=self._view.timezone))
                button(self._t("messages.clear"), lambda: self._refilter(Filters()), symbol="filter_alt_off")
            else:
                heading(2, self._t("messages.empty_title"))
                element("p", "", self._t("messages.empty"))
                button(self._t("messages.empty_step"), lambda: ui.navigate.to("/send"), kind="main", symbol="send")

    async def _look(self) -> None:
        """Look whether anything has changed, unless somebody is turning pages just now."""
        if self._paused or self._busy.locked():
            return
        async with self._busy:
            try:
                fresh = await self._listing.again(self._part)
            except ApiError:
                self._timer.interval = self._pace.slow_down()
                self._say_away(self._t("messages.live_away"))
                return
            self._say_away("")
            news = compare(self._messages, fresh.messages, ended=fresh.next is None)
            self._timer.interval = self._pace.after(changed=news.changed, waiting=news.waiting)
            before = self._held
            await self._look_at_channels(fresh.messages)
            if news.changed or self._held != before:
                await self._take_in(news, fresh)

    async def _take_in(self, news: News, fresh: Part) -> None:
        if news.arrived and not self._chosen and (not self._messages or await self._is_still()):
            self._show(fresh)
            return
        self._messages, self._gone = list(news.messages), self._gone | news.gone
        self._table.change(self._as_rows())
        if news.arrived:
            key = "messages.arrived_many" if news.arrived >= PAGE else "messages.arrived"
            self._news.set_text(self._t(key, n=news.arrived))
            self._news.set_visibility(True)

    async def _is_still(self) -> bool:
        try:
            return bool(await ui.run_javascript(IS_STILL, timeout=3))
        except TimeoutError:
            return False

    def _say_away(self, sentence: str) -> None:
        self._away.clear()
        if sentence:
            with self._away:
                ui.label(sentence)

    def _pause(self) -> None:
        self._paused = not self._paused
        self._live.set_text(self._t("messages.live_paused" if self._paused else "messages.live"))
        self._live.props(f"icon={'play_arrow' if self._paused else 'pause'}")
        attrs(
            self._live,
            aria_pressed="false" if self._paused else "true",
            title=self._t("messages.live_resume" if self._paused else "messages.live_pause"),
        ).update()
        if not self._paused:
            self._timer.interval = 0.2

    def _set_visible(self, *, seen: bool) -> None:
        """Rest while nobody sees the page."""
        self._timer.active = seen

    def _choose(self, ids: Sequence[str]) -> None:
        self._chosen = ids
        self._resend_chosen.set_text(f"{self._t('messages.resend_chosen')} ({len(ids)})")
        self._resend_chosen.set_visibility(bool(ids))

    async def _resend_those(self) -> None:
        await self._again.ask(await self._read_chosen())
        self._table.untick()

    async def _read_chosen(self) -> list[Mapping[str, Any]]:
        """Return the messages that are ticked, or those of the requests that are."""
        ids = set(self._chosen)
        if not self._is_by_request:
            return [one for one in self._messages if one["id"] in ids]
        api, found = self._view.api, list[Mapping[str, Any]]()
        for one in ids:
            async for page in api.pages("/api/v2/messages", "messages", id=one, status=",".join(TO_RESEND)):
                found += page
        return found

    async def _resend_all(self) -> None:
        if self._asked is not None:
            await self._again.ask_all(self._filters, self._asked)

    def _export(self, kind: str) -> None:
        if self._asked is not None:
            export(self._view, self._asked, self._moments, kind)
            toast(self._t("messages.export_begun"))
