"""A list of messages with all that belongs to it: filters, live changes, pages, resending, export."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.messages.columns import Columns
from imsg_console.features.messages.export import export
from imsg_console.features.messages.filter_bar import FilterBar
from imsg_console.features.messages.live import News, compare, is_waiting
from imsg_console.message.blocks import find_blocked
from imsg_console.message.filters import Filters, NotAnIdError, NotATimeError
from imsg_console.message.pace import Pace
from imsg_console.message.resend_dialog import ResendDialog
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, live_text, redraw, style_sheet
from imsg_console.widgets.exports import download_button
from imsg_console.widgets.fields import toggle
from imsg_console.widgets.notices import empty, toast
from imsg_console.widgets.paging import Listing, ListPage, Loaded, Pager, Position, read_page
from imsg_console.widgets.tables import Table

PAGE = 50
STRIDE = 10
"""Pages that one call skips on the way to a page far away: 500 messages, the most that the API gives."""

SEEKS = 20
"""Calls for one page of a search by a part of a recipient: each call looks at thousands of messages."""

IS_STILL = "window.scrollY < 60 && !document.querySelector('.data-table:hover, .data-table :focus-visible')"
"""Whether no pointer and no focus is on a row: only then may rows move."""

KINDS = ("request", "recipient")
"""What a row is."""

OPENED = 10
"""Messages shown below a request; a link leads to all of them."""

NAMES = 20
"""Usernames offered while one is typed."""

TO_RESEND = ("failed", "expired", "uncertain")

ON_CONNECT = "document.addEventListener('visibilitychange', () => emitEvent('messages_seen', !document.hidden))"

Message = Mapping[str, Any]


class MessagePanel:
    """The list for an administrator (`everybody`), or of a user's own messages."""

    def __init__(self, view: View, *, everybody: bool) -> None:
        self._view, self._t = view, view.t
        self._everybody = everybody
        self._columns = Columns(view, everybody=everybody)
        self._filters = Filters.of(view.query)
        self._parameters: dict[str, str] | None = None
        """The filters in the API's form; None where one cannot be read."""
        self._listing = Listing(self._fetch, size=PAGE, stride=STRIDE, counts=True)
        self._page = ListPage(1, None, (), None)
        self._messages: list[Message] = []
        self._gone: frozenset[str] = frozenset()
        self._pace = Pace()
        self._is_paused = False
        self._lock = asyncio.Lock()
        kind = view.query.get("by", "")
        self._kind = kind if kind in KINDS else ""

    @property
    def _shows_requests(self) -> bool:
        """Whether a row is a request: unless the filters are about single messages, or a person has chosen."""
        return self._kind == "request" if self._kind else not self._filters.means_recipients

    async def show(self) -> None:
        """Draw the panel, and load the first page."""
        style_sheet("messages")
        zone, find_names = self._view.times.zone, self._find_names
        self._bar = FilterBar(
            self._t, self._filters, zone, everybody=self._everybody, on_change=self._refilter, find_names=find_names
        )
        self._draw_tools()
        self._news = button("", self._show_first, symbol="arrow_upward").classes("messages-news")
        self._news.set_visibility(False)
        self._place = element("div")
        self._draw_table()
        self._empty = element("div")
        self._pager = Pager(self._t, self._open_page)
        self._timer = ui.timer(self._pace.wait_s, self._refresh, immediate=False)
        ui.on("messages_seen", lambda event: self._set_visible(is_visible=bool(event.args)))
        ui.context.client.on_connect(lambda: ui.run_javascript(ON_CONNECT))
        if self._apply_filters():
            number = read_page(self._view.query.get("page", ""))
            if cursor := self._view.query.get("cursor", ""):
                self._listing.remember(number, cursor)
            await self._load(number)

    async def _fetch(self, position: Position) -> Loaded:
        name = "requests" if self._shows_requests else "messages"
        for _ in range(SEEKS):
            answer = await self._view.api.get(f"/api/v2/{name}", **(self._parameters or {}), **position)
            if answer[name] or not answer["next"]:
                break
            # None of the messages that this call looked at has the part.
            position = {**position, "cursor": answer["next"]}
        return Loaded.read(answer, name)

    async def _find_names(self, part: str) -> list[str]:
        answer = await self._view.api.get("/api/v2/users", search=part, limit=NAMES)
        return [str(user["username"]) for user in answer["users"]]

    def _draw_table(self) -> None:
        """Draw the table of what a row is now."""
        self._drawn_requests = self._shows_requests
        columns = self._columns.of_requests() if self._shows_requests else self._columns.of_messages()
        with redraw(self._place):
            self._table = Table(
                self._view,
                self._t("layout.messages"),
                columns,
                key="id",
                actions={"open": self._open},
                on_choose=self._show_choice,
                name=self._columns.name,
            )
        self._show_choice()
        self._toggle.set_value("request" if self._shows_requests else "recipient")

    async def _change_kind(self, kind: str) -> None:
        if (kind == "request") == self._shows_requests:
            return
        self._kind = kind
        if self._apply_filters():
            await self._load(1)

    async def _open(self, request: Message) -> None:
        """Show some of a request's messages below it, or hide them."""
        if self._table.is_open(request):
            self._table.open(request, None)
            return
        parameters = {**(self._parameters or {}), "id": request["id"], "limit": OPENED}
        messages = dict[str, Message]()
        for first in ({"status": ",".join(TO_RESEND)}, {}):  # those that need something come first
            answer = await self._view.api.get("/api/v2/messages", **(first | parameters))
            messages |= {message["id"]: message for message in answer["messages"] if message["id"] not in messages}
        self._table.open(request, self._columns.of_opened(request, list(messages.values())[:OPENED]))

    def _draw_tools(self) -> None:
        t = self._t
        with ui.row():
            self._live = button(t("messages.live"), self._pause, kind="quiet", symbol="pause")
            attrs(self._live, aria_pressed="true", title=t("messages.live_pause"))
            kinds = {name: t(f"messages.by_{name}") for name in KINDS}
            self._toggle = toggle(t("messages.column_message"), kinds, "request", self._change_kind)
            self._error = attrs(live_text(), role="status")
            ui.space()
            self._resend = ResendDialog(self._view, on_sent=self._show_first)
            chosen = button(t("messages.resend_chosen"), self._resend_chosen, kind="main", symbol="replay")
            self._resend_button = chosen
            if self._view.may("POST /resend"):
                button(t("messages.resend_all"), self._resend_all, symbol="replay")
            download_button(t, t("messages.export"), self._export)

    def _apply_filters(self) -> bool:
        """Read the filters; return False, and show why, where one of them cannot be read."""
        self._parameters = None
        try:
            self._parameters = self._filters.as_parameters(self._view.times.zone)
        except NotATimeError:
            self._bar.show_error(self._t("messages.not_a_time"))
            return False
        except NotAnIdError:
            self._bar.show_error(self._t("messages.not_an_id"))
            return False
        if not self._everybody:
            self._parameters["username"] = self._view.session.username
        self._listing = Listing(self._fetch, size=PAGE, stride=STRIDE, counts=True)
        return True

    async def _refilter(self, filters: Filters) -> None:
        self._filters = filters
        self._bar.show(filters)
        if self._apply_filters():
            self._table.choose_none()
            await self._load(1)

    async def _open_page(self, number: int) -> None:
        await self._load(number)
        ui.run_javascript("window.scrollTo({top: 0})")

    async def _show_first(self) -> None:
        await self._load(1)

    async def _load(self, number: int) -> None:
        async with self._lock:
            try:
                page = await self._listing.load(number, lambda at: self._pager.show_progress(at, number))
            except ApiError as error:
                self._bar.show_error(error.detail or self._t("layout.unreachable"))
                return
            await self._check_channels(page.rows)
            self._show(page)
        self._pace = Pace()
        self._timer.interval = self._pace.wait_s

    def _show(self, page: ListPage) -> None:
        if self._drawn_requests != self._shows_requests:
            self._draw_table()
        self._page, self._messages, self._gone = page, list(page.rows), frozenset()
        self._news.set_visibility(False)
        self._error.text = ""
        self._table.close_all()
        self._show_rows()
        self._pager.show(page)
        self._draw_empty()
        place = {"page": str(page.number), "cursor": page.cursor or ""} if page.number > 1 else {}
        self._view.replace_query(**self._filters.set, **place, by=self._kind)

    def _show_rows(self) -> None:
        gone = self._gone
        self._table.show(
            [{**message, "row_classes": "is-gone"} if message["id"] in gone else message for message in self._messages]
        )

    async def _check_channels(self, messages: Sequence[Message]) -> None:
        """Find the channels that send nothing, where a message waits for one."""
        is_needed = any(is_waiting(message) for message in messages)
        self._columns.blocked = await find_blocked(self._view) if is_needed else {}

    def _draw_empty(self) -> None:
        t, is_empty = self._t, not self._messages
        self._table.element.set_visibility(not is_empty)
        with redraw(self._empty):
            if is_empty and self._filters.set:
                text = t("messages.empty_filtered", timezone=self._view.timezone)
                with empty(t("messages.empty_filtered_title"), text, "filter_alt_off"):
                    button(t("messages.clear"), lambda: self._refilter(Filters()), symbol="filter_alt_off")
            elif is_empty:
                step = t("messages.empty_step") if self._view.may("POST /messages") else ""
                empty(t("messages.empty_title"), t("messages.empty"), "outbox", action=step, target="/send")

    async def _refresh(self) -> None:
        """Load the page again, and show what has changed; not while a person turns pages."""
        if self._is_paused or self._lock.locked():
            return
        async with self._lock:
            try:
                fresh = await self._listing.reload(self._page, counts=False)
            except ApiError:
                self._timer.interval = self._pace.slow_down()
                self._error.text = self._t("messages.live_away")
                return
            self._error.text = ""
            news = compare(self._messages, fresh.rows, ended=fresh.next is None)
            self._timer.interval = self._pace.after(changed=news.changed, waiting=news.waiting)
            before = self._columns.blocked
            await self._check_channels(fresh.rows)
            if news.changed or self._columns.blocked != before:
                await self._show_news(news)

    async def _show_news(self, news: News) -> None:
        if news.arrived and not self._table.chosen and (not self._messages or await self._is_still()):
            with suppress(ApiError):  # it is shown with the next refresh
                self._show(await self._listing.reload(self._page))
            return
        self._messages, self._gone = list(news.messages), self._gone | news.gone
        self._show_rows()
        if news.arrived:
            key = "messages.arrived_many" if news.arrived >= PAGE else "messages.arrived"
            self._news.set_text(self._t(key, n=news.arrived))
            self._news.set_visibility(True)

    async def _is_still(self) -> bool:
        try:
            return bool(await ui.run_javascript(IS_STILL, timeout=3))
        except TimeoutError:
            return False

    def _pause(self) -> None:
        t, is_paused = self._t, not self._is_paused
        self._is_paused = is_paused
        self._live.set_text(t("messages.live_paused" if is_paused else "messages.live"))
        self._live.props(f"icon={'play_arrow' if is_paused else 'pause'}")
        title = t("messages.live_resume" if is_paused else "messages.live_pause")
        attrs(self._live, aria_pressed="false" if is_paused else "true", title=title)
        if not is_paused:
            self._timer.interval = 0.2

    def _set_visible(self, *, is_visible: bool) -> None:
        """Stop refreshing while the browser shows another page."""
        self._timer.active = is_visible

    def _show_choice(self) -> None:
        count = len(self._table.chosen)
        self._resend_button.set_text(f"{self._t('messages.resend_chosen')} ({count})")
        self._resend_button.set_visibility(bool(count) and self._view.may("POST /resend"))

    async def _resend_chosen(self) -> None:
        await self._resend.ask(await self._read_chosen())
        self._table.choose_none()

    async def _read_chosen(self) -> list[Message]:
        """Return the chosen messages, or those of the chosen requests."""
        if not self._shows_requests:
            return list(self._table.chosen.values())
        messages = list[Message]()
        for request in self._table.chosen:
            pages = self._view.api.pages("/api/v2/messages", "messages", id=request, status=",".join(TO_RESEND))
            async for page in pages:
                messages += page
        return messages

    async def _resend_all(self) -> None:
        if self._parameters is not None:
            await self._resend.ask_all(self._filters, self._parameters)

    def _export(self, kind: str) -> None:
        if self._parameters is not None:
            export(self._view, self._parameters, kind)
            toast(self._t("messages.export_begun"))
