"""A request after it was sent: its progress, what failed, and what can still be done."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, make_url, path
from imsg_console.explanations import explain
from imsg_console.features.send.sent_code import SentCode
from imsg_console.features.send.steps import Steps
from imsg_console.message.blocks import explain_block
from imsg_console.message.cancelling import cancel, confirm_and_cancel
from imsg_console.message.filters import RESENDABLE, STATUSES, UNSETTLED, Filters
from imsg_console.message.pace import Pace
from imsg_console.message.resend_dialog import ResendDialog
from imsg_console.message.simulated import is_simulated
from imsg_console.message.summary import is_template
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import chips
from imsg_console.widgets.bars import bar
from imsg_console.widgets.elements import attrs, button, element, heading, link_to, live_text, mark_count, redraw
from imsg_console.widgets.facts import card, draw_facts
from imsg_console.widgets.forms import Field, Form, ask_form
from imsg_console.widgets.notices import empty, notice

SEARCH_S = 0.7

GIVE_UP = 15
"""Searches after which a request that was not sent just now counts as unknown."""

SHOWN_FAILURES = 5

LATE = 90
"""Searches after which the page says that a new request takes long: history is behind, or away."""


class Sent:
    """The page of one request."""

    def __init__(self, view: View, identity: str, count: int = 0) -> None:
        """`count` is the number of recipients, where the request was sent just now."""
        self._view, self._t, self._identity = view, view.t, identity
        self._count = count
        self._pace = Pace()
        self._refreshing = asyncio.Lock()
        """Keeps what was loaded before a click from being drawn after what came of it."""
        self._block = ""
        """Why its channel sends nothing now."""

    async def show(self) -> None:
        """Draw the page. Raises ApiError, SessionOver."""
        heading(1, self._t("sent.title"))
        Steps(self._t, "progress")
        self._place = element("div")
        request = await self._load()
        with self._place:
            if request is not None:
                await self._draw(request)
                return
            self._draw_waiting()
        self._searches = 0
        self._search_timer = ui.timer(SEARCH_S, self._search, immediate=False)

    async def _load(self) -> Mapping[str, Any] | None:
        """Load the request; None while history does not know it."""
        requests = (await self._view.api.get("/api/v2/requests", id=self._identity, limit=1))["requests"]
        return requests[0] if requests else None

    def _draw_waiting(self) -> None:
        """Draw that history is waited for: a request is accepted before history knows it."""
        t, is_new = self._t, self._count > 0
        with attrs(element("div", "empty sent-waiting"), role="status"):
            ui.spinner(size="2.5rem").props('aria-hidden="true"')
            heading(2, t("sent.accepted", n=self._count) if is_new else t("sent.seeking"), "empty-title")
            self._hint = live_text("muted", t("sent.accepted_what" if is_new else "sent.seeking_what"))
            draw_facts([(t("sent.number"), self._identity)])

    async def _search(self) -> None:
        self._searches += 1
        try:
            request = await self._load()
        except ApiError:
            return  # the next search may succeed
        if request is None:
            if self._searches == LATE:
                self._hint.text = self._t("sent.waiting_long")
            if self._count or self._searches < GIVE_UP:
                return
        self._search_timer.deactivate()
        with redraw(self._place):
            if request is None:
                empty(self._t("sent.none"), self._t("sent.none_what"), "search_off")
            else:
                await self._draw(request)

    async def _draw(self, request: Mapping[str, Any]) -> None:
        t, self._in_sandbox = self._t, await is_simulated(self._view, request["method"])
        with element("div", "sent"):
            with element("section", "card stack"):
                self._draw_status(request)
            with card(t("sent.lines")):
                await SentCode(self._view, request).draw()
        await self._show(request)

    def _draw_status(self, request: Mapping[str, Any]) -> None:
        t = self._t
        with ui.row().classes("justify-between"):
            heading(2, t("sent.standing"))
            chips.method(self._view, request["method"])
            if request["test"]:
                chips.test(self._view)
        self._draw_undo()
        self._bar = bar(t("sent.standing"), 0.0)
        self._summary = attrs(live_text("sent-said"), role="status")
        self._counts = element("ul", "line sent-counts")
        self._failures = element("ul", "stack sent-failures")
        self._simulated = attrs(live_text("notice notice-info simulated", t("words.simulated_message")), role="status")
        self._hold = attrs(live_text("notice notice-warn held"), role="status")
        self._leave = element("p", "muted", t("sent.leave"))
        subject = [(t("send.subject"), line(request["subject"]))] if request["subject"] else []
        if is_template(request["content"]):
            subject = [(t("send.saved_template"), line(request["content"]["template"]))]
        key = [(t("words.key"), line(request["key"], 64))] if request["key"] else []
        draw_facts([*subject, *key, (t("sent.number"), self._identity)])
        self._actions = ui.row()
        self._shown: object = None
        self._timer = ui.timer(self._pace.wait_s, self._refresh, immediate=False)

    async def _refresh(self) -> None:
        async with self._refreshing:
            try:
                request = await self._load()
            except ApiError:
                self._timer.interval = self._pace.slow_down()
                return
            if request is not None:
                await self._show(request)

    async def _show(self, request: Mapping[str, Any]) -> None:
        t, total = self._t, max(int(request["recipients"]), self._count)
        counts = {status: int(request["counts"].get(status) or 0) for status in STATUSES}
        waiting = sum(counts[status] for status in UNSETTLED)
        settled = sum(counts.values()) - waiting
        is_settled = settled >= total
        self._block = await explain_block(self._view, request["method"]) if waiting else ""
        self._bar.value = settled / total if total else 0.0
        self._summary.text = t("sent.all_settled", n=total) if is_settled else t("sent.settled", done=settled, n=total)
        self._simulated.set_visibility(bool(request.get("simulated")))
        self._hold.text = self._block
        self._hold.set_visibility(bool(self._block))
        self._leave.set_visibility(not is_settled and total > 1)
        legs_of = await self._find_open_legs(request)
        shown = (counts, request["due_at"], legs_of)
        is_changed, self._shown = self._shown != shown, shown
        self._timer.interval = self._pace.after(changed=is_changed, waiting=not is_settled)
        if not is_changed:
            return
        with redraw(self._counts):
            for status in filter(counts.get, STATUSES):
                with element("li"), mark_count(link_to("", self._list_url(status)), counts[status]):
                    chips.status(self._view, status, simulated=bool(request.get("simulated")))
                    element("strong", "", f"{counts[status]}")
        await self._draw_failures(request["method"], sum(counts[status] for status in RESENDABLE))
        self._show_undo(request, waiting)
        cancellable = 0 if _is_due(request, waiting) else waiting  # what is due later has its button above
        self._draw_actions(sum(counts[status] for status in RESENDABLE), total, cancellable, legs_of)
        if is_settled and not counts["sent"] and not legs_of:  # a message that was sent may still be reported
            self._timer.deactivate()

    async def _draw_failures(self, method: str, failed: int) -> None:
        """Show the first recipients that were not reached, each with the reason."""
        t, messages = self._t, list[Mapping[str, Any]]()
        if failed:
            wanted = {"id": self._identity, "status": ",".join(sorted(RESENDABLE)), "limit": SHOWN_FAILURES}
            messages = (await self._view.api.get("/api/v2/messages", **wanted))["messages"]
        self._failures.clear()
        self._failures.set_visibility(bool(messages))
        with self._failures:
            for message in messages:
                why = explain(t, method, message["status"], (message["error"] or {}).get("code"))
                with element("li", "line"):
                    link_to(line(message["to"] or t("sent.erased"), 80), f"/messages/{message['id']}")
                    element("span", "muted", why.meaning if why else "")
            if failed > len(messages) > 0:
                element("li", "muted", t("sent.more_failed", n=failed - len(messages)))

    def _draw_undo(self) -> None:
        """Draw the buttons that release, move or cancel a message before it is sent: once, so that no click is lost."""
        t = self._t
        with element("div", "notice notice-info line justify-between") as self._undo:
            self._due = live_text()
            with ui.row():
                if self._view.may("POST /requests/{id}/release"):
                    button(t("sent.release"), self._release, symbol="send").classes("release-button")
                if self._view.may("PATCH /requests/{id}"):
                    button(t("sent.move"), self._move, symbol="schedule").classes("move-button")
                    button(t("sent.undo"), self._undo_send, kind="main", symbol="undo").classes("undo-button")
        self._undo.set_visibility(False)

    def _show_undo(self, request: Mapping[str, Any], waiting: int) -> None:
        is_due = _is_due(request, waiting)
        self._undo.set_visibility(is_due)
        if is_due:
            self._due_at = str(request["due_at"])
            self._due.text = self._t("sent.due", at=self._view.times.full(self._due_at))

    async def _release(self) -> None:
        await self._view.api.call("POST", f"/api/v2/requests/{self._identity}/release", {})
        await self._refresh()

    async def _move(self) -> None:
        t, times, due_at = self._t, self._view.times, self._due_at

        async def save(form: Form) -> str:
            send_at = times.read(str(form.read()["send_at"])).isoformat()
            await self._view.api.call("PATCH", f"/api/v2/requests/{self._identity}", {"send_at": send_at})
            return send_at

        def check(text: str) -> str:
            try:
                times.read(text)
            except ValueError:
                return t("sent.move_wrong", example=times.full(due_at))
            return ""

        field = Field("send_at", t("sent.move_to"), times.full(due_at), check=check, hint=t("sent.move_hint"))
        if await ask_form(self._view, t("sent.move"), [field], t("sent.move"), save):
            await self._refresh()

    async def _undo_send(self) -> None:
        if await cancel(self._view, f"requests/{self._identity}"):
            await self._refresh()

    async def _cancel(self, waiting: int) -> None:
        if await confirm_and_cancel(self._view, f"requests/{self._identity}", waiting):
            await self._refresh()

    async def _find_open_legs(self, request: Mapping[str, Any]) -> str:
        """Return the request of the first leg, where another channel may follow; else nothing."""
        if request["leg_of"] is None:
            return ""
        whole = await self._view.api.get(path("/api/v2/requests", request["leg_of"]))
        return str(request["leg_of"]) if whole["open"] else ""

    async def _stop_legs(self, request: str) -> None:
        if await cancel(self._view, f"requests/{request}"):
            await self._refresh()

    def _draw_actions(self, failed: int, total: int, waiting: int, legs_of: str) -> None:
        t = self._t
        with redraw(self._actions):
            if total == 1:
                link_to(t("sent.timeline"), f"/messages/{self._identity}-0", "timeline").classes("button")
            else:
                link_to(t("sent.listing"), self._list_url(""), "list").classes("button")
            if waiting and self._view.may("POST /requests/{id}/cancel"):
                stop = partial(self._cancel, waiting)
                button(t("sent.cancel", n=waiting), stop, kind="danger", symbol="cancel").classes("cancel-button")
            elif legs_of and self._view.may("POST /requests/{id}/cancel"):
                button(t("sent.stop"), partial(self._stop_legs, legs_of), kind="danger", symbol="cancel").classes(
                    "cancel-button"
                )
            if failed and self._view.may("POST /resend"):
                button(t("sent.resend", n=failed), self._resend, symbol="replay")
            if self._in_sandbox:
                link_to(t("sent.sandbox"), "/inbox", "science").classes("button")
            if self._view.may("POST /messages"):
                link_to(t("sent.alike"), f"/send?like={self._identity}", "content_copy").classes("button")
                link_to(t("sent.another"), "/send", "edit").classes("button button-main")
            if failed:
                notice(t("sent.some_failed", n=failed), "warn")

    def _list_url(self, status: str) -> str:
        return make_url("/mine", id=self._identity, status=status)

    async def _resend(self) -> None:
        """Ask, resend, and lead to the new request."""
        dialog = ResendDialog(self._view, on_request=_open_request)
        await dialog.ask_all(Filters(id=self._identity), {"id": self._identity})


def _is_due(request: Mapping[str, Any], waiting: int) -> bool:
    """Return whether all that waits is due later, so that it may be released, moved and taken back."""
    return bool(request["due_at"]) and 0 < waiting == (request["counts"].get("scheduled") or 0)


def _open_request(identity: str, count: int) -> None:
    ui.navigate.to(f"/sent/{identity}?n={count}")
