"""What was sent: how far it is, where to look, and the lines that send it again."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError
from imsg_console.features.send import snippets
from imsg_console.features.send.snippets import Sending
from imsg_console.features.send.status import FAILED, OPEN, Status
from imsg_console.features.send.steps import Steps
from imsg_console.layout import sentence
from imsg_console.message.filters import Filters
from imsg_console.message.hold import explain_hold
from imsg_console.message.resend_dialog import Again
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, live_text, mark_count
from imsg_console.widgets.notices import empty, notice, toast

EVERY_S = 1.5

WAIT_S = 0.7

PATIENCE = 15
"""Looks after which a request that nobody has just sent counts as unknown."""

LONG = 90
"""Looks after which it is said that one just sent takes long: history is behind, or away."""

COPY = "(e) => navigator.clipboard?.writeText(e.currentTarget.parentElement.querySelector('code').textContent)"
"""The clipboard is written in the click itself, or browsers refuse: what is copied is what is shown."""

WORDS = ("queued", "retrying", "sent", "delivered", "uncertain", "failed", "expired")
"""Statuses in the order in which they are told."""


class Sent:
    """The page of one request."""

    def __init__(self, view: View, request: str, base_url: str, count: int = 0) -> None:
        self._view, self._t, self._request = view, view.t, request
        self._base_url = base_url
        self._count = count
        """How many messages there are, as far as sending has told."""
        self._progress = Status(view.api, request)
        self._held = ""
        """Why its channel sends nothing now."""

    async def show(self) -> None:
        """Draw it. Raises ApiError, SessionOver."""
        heading(1, self._t("sent.title"))
        Steps(self._t, "progress")
        self._place = element("div", "sent-place")
        is_there = await self._progress.begin()
        with self._place:
            if is_there:
                await self._draw()
                return
            self._wait()
        self._looks = 0
        self._waiting = ui.timer(WAIT_S, self._seek, immediate=False)

    def _wait(self) -> None:
        """Say that history is waited for: what was sent is there before history knows of it."""
        t = self._t
        with attrs(element("div", "empty sent-waiting"), role="status"):
            ui.spinner(size="2.5rem").props('aria-hidden="true"')
            if self._count:
                heading(2, t("sent.accepted", n=self._count), "empty-title")
                self._hint = live_text("muted", t("sent.accepted_what"))
            else:
                heading(2, t("sent.seeking"), "empty-title")
                self._hint = live_text("muted", t("sent.seeking_what"))
            with element("dl", "facts"):
                _fact(t("sent.number"), self._request)

    async def _seek(self) -> None:
        """Look again: a moment after it was sent it is there."""
        self._looks += 1
        try:
            is_there = await self._progress.begin()
        except ApiError:
            is_there = False  # the next look may find it
        else:
            if not is_there and not self._count and self._looks >= PATIENCE:
                self._waiting.deactivate()
                self._place.clear()
                with self._place:
                    empty(self._t("sent.none"), self._t("sent.none_what"), "search_off")
                return
        if not is_there and self._looks == LONG:
            self._hint.text = self._t("sent.waiting_long")
        if is_there:
            self._waiting.deactivate()
            self._place.clear()
            with self._place:
                await self._draw()

    async def _draw(self) -> None:
        assert self._progress.first is not None  # noqa: S101  begin() has said that there is one
        await self._progress.advance()
        self._held = await explain_hold(self._view, self._progress.first["method"])
        with element("div", "sent"):
            with element("section", "card stack sent-status"):
                self._draw_status(self._progress.first)
            with element("section", "card stack"):
                await self._draw_lines(self._progress.first)

    def _draw_status(self, first: Mapping[str, Any]) -> None:
        t = self._t
        with element("div", "spread card-head"):
            heading(2, t("sent.standing"))
            chips.method(self._view, first["method"])
        with attrs(element("div", "bar bar-large"), role="progressbar", aria_label=t("sent.standing")) as self._bar:
            self._fill = element("div", "bar-fill")
        self._said = attrs(live_text("sent-said"), role="status")
        self._counts = element("ul", "line sent-counts")
        self._hold = attrs(live_text("notice notice-warn held"), role="status")
        self._leave = element("p", "muted", t("sent.leave"))
        with element("dl", "facts"):
            if first["subject"]:
                _fact(t("send.subject"), line(first["subject"]))
            _fact(t("sent.number"), self._request)
        self._actions = element("div", "actions")
        self._drawn: tuple[object, ...] = ()
        self._show_standing()
        self._timer = ui.timer(EVERY_S, self._look, immediate=False)

    async def _look(self) -> None:
        try:
            await self._progress.advance()
        except ApiError:
            return  # the next look may find it again
        if self._progress.first is not None and any(self._progress.counts[status] for status in OPEN):
            self._held = await explain_hold(self._view, self._progress.first["method"])
        self._show_standing()

    def _show_standing(self) -> None:
        t, progress = self._t, self._progress
        counts, settled = progress.counts, progress.settled
        total = progress.total if progress.is_counted else max(progress.total, self._count)
        share = round(100 * settled / total) if total else 0
        self._fill.style(f"width: {share:d}%")
        attrs(self._bar, aria_valuenow=share)
        if progress.is_settled:
            self._said.text = t("sent.all_settled", n=total)
        else:
            self._said.text = t(
                "sent.settled", done=settled, n=total, more="" if progress.is_counted or self._count else "+"
            )
        self._hold.text = self._held if counts["queued"] or counts["retrying"] else ""
        self._hold.set_visibility(bool(self._hold.text))
        self._leave.set_visibility(not progress.is_settled and total > 1)
        shown = (tuple(sorted(counts.items())), progress.is_settled)
        if shown == self._drawn:
            return
        self._drawn = shown
        self._counts.clear()
        with self._counts:
            for status in WORDS:
                if counts[status]:
                    with element("li", ""), mark_count(link_to("", self._list_url(status)), counts[status]):
                        chips.status(self._view, status)
                        element("strong", "", f"{counts[status]}")
        self._draw_actions(sum(counts[status] for status in FAILED), total)
        is_final = progress.is_settled and not counts["sent"]
        if is_final:
            self._timer_off()

    def _timer_off(self) -> None:
        if hasattr(self, "_timer"):
            self._timer.deactivate()

    def _draw_actions(self, failed: int, total: int) -> None:
        t = self._t
        self._actions.clear()
        with self._actions:
            if total == 1:
                link_to(t("sent.timeline"), f"/messages/{self._request}-0", "timeline").classes("button")
            else:
                link_to(t("sent.listing"), self._list_url(""), "list").classes("button")
            if failed:
                button(t("sent.resend", n=failed), self._resend, symbol="replay")
            if self._view.has_sandbox and self._view.session.is_admin:
                link_to(t("sent.sandbox"), "/inbox", "science").classes("button")
            link_to(t("sent.alike"), f"/send?like={self._request}", "content_copy").classes("button")
            link_to(t("sent.another"), "/send", "edit").classes("button button-main")
        if failed:
            with self._actions:
                notice(t("sent.some_failed", n=failed), "warn")

    def _list_url(self, status: str) -> str:
        return f"/mine?id={self._request}" + (f"&status={status}" if status else "")

    async def _resend(self) -> None:
        """Say what is sent again and what is left out, ask, and lead to the new request."""
        try:
            await Again(self._view, on_request=_lead).ask_all(Filters(id=self._request), {"id": self._request})
        except ApiError as error:
            toast(sentence(self._t, error), good=False)

    async def _draw_lines(self, first: Mapping[str, Any]) -> None:
        """Draw what a program would say to send the same."""
        t = self._t
        heading(2, t("sent.lines"))
        element("p", "muted", t("sent.lines_what"))
        some = await self._view.api.get("/api/v2/messages", id=self._request, limit=snippets.LONG_LIST + 1)
        to = [str(message["to"]) for message in some["messages"] if message["to"] is not None]  # else erased since
        sending = Sending(
            self._base_url,
            self._view.session.username,
            first["method"],
            to,
            first["content"],
            [str(one["filename"]) for one in first["attachments"]],
            category=str(first.get("category") or "notice"),
        )
        if first["content"] is None:
            notice(t("sent.content_gone"), "info")
            return
        if sending.is_long:
            with element("div", "actions"):
                button(t("sent.list_file", name=snippets.LIST_FILE), self._download, symbol="download")
                element("span", "muted", t("sent.list_file_what"))
        if sending.files:
            element("p", "muted", t("sent.files_what"))
        password = snippets.password_here(t.language)
        with ui.tabs().props("no-caps align=left").classes("languages") as tabs:
            for name in ("curl", "Python", "Java"):
                ui.tab(name)
        attrs(tabs, aria_label=t("sent.lines"))
        with ui.tab_panels(tabs, value="curl").classes("lines"):
            for name, text in (
                ("curl", snippets.curl(sending, password)),
                ("Python", snippets.python(sending, password)),
                ("Java", snippets.java(sending, password)),
            ):
                with ui.tab_panel(name):
                    self._lines(name, text)

    def _lines(self, name: str, text: str) -> None:
        t = self._t
        with element("div", "stack tight lines-one"):
            copy = button(t("layout.copy"), lambda: self._say_copied(text), symbol="content_copy").classes(
                "button-small"
            )
            attrs(copy, aria_label=t("sent.copy", name=name))
            copy.on(
                "click",
                js_handler=COPY,
            )
            with attrs(element("pre", "code-block code"), tabindex=0, role="region", aria_label=name):
                element("code", "", text)

    def _say_copied(self, text: str) -> None:
        del text
        toast(self._t("layout.copied"))

    def _download(self) -> None:
        address = self._view.files.offer(
            self._view.session.key, snippets.LIST_FILE, "text/plain; charset=utf-8", self._write
        )
        ui.navigate.to(address)

    async def _write(self) -> AsyncIterator[bytes]:
        async for page in self._view.api.pages("/api/v2/messages", "messages", id=self._request):
            yield "".join(f"{message['to']}\n" for message in page).encode()


def _fact(name: str, value: str) -> None:
    with element("div", "fact"):
        element("dt", "", name)
        element("dd", "wrap-anywhere", value)


__all__ = ["OPEN", "Sent"]


def _lead(request: str, count: int) -> None:
    ui.navigate.to(f"/sent/{request}?n={count}")
