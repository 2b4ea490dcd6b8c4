"""Resending from a listing: the question before it, and the work that goes on whichever page is open."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.messages.filters import RESENDABLE, Filters
from imsg_console.messages.resend import Tally, meant, send_again
from imsg_console.plain import line
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import button, classed
from imsg_console.widgets.notices import toast
from imsg_console.widgets.work import Work, progress, start

UNCERTAIN = "uncertain"


class Again:
    """Asks, then sends again; `on_sent` is told once what was asked for is under way."""

    def __init__(self, view: View, on_sent: Callable[[], Awaitable[None]] | None = None) -> None:
        self._view = view
        self._t = view.t
        self._on_sent = on_sent

    async def ask(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Ask whether these are to be sent again, and do it. Returns whether it was begun."""
        t = self._t
        failed = [one["id"] for one in messages if one["status"] in RESENDABLE]
        doubtful = [one["id"] for one in messages if one["status"] == UNCERTAIN]
        if not failed and not doubtful:
            toast(t("messages.resend_nothing"), good=False)
            return False
        title = t("messages.resend_ask", n=len(failed) or len(doubtful))
        with dialog(title) as asked:
            classed("p", "", t("messages.resend_how"))
            if len(messages) == 1:
                classed("p", "muted", f"{line(messages[0]['to'], 80)} · {line(messages[0]['id'], 60)}")
            also = None
            if doubtful:
                also = ui.checkbox(t("messages.resend_uncertain"), value=not failed)
            self._foot(asked)
        agreed = await asked
        also_doubtful = also is not None and bool(also.value)
        asked.delete()
        ids = failed + (doubtful if also_doubtful else [])
        if not agreed or not ids:
            return False
        self._begin(ids, uncertain=also_doubtful)
        return True

    async def ask_all(self, filters: Filters, asked_of_api: Mapping[str, str]) -> bool:
        """Ask whether everything that failed within some filters is to be sent again, and do it."""
        t = self._t
        if filters.status and filters.status not in (*RESENDABLE, UNCERTAIN):
            filters = filters.without("status")
        uncertain = filters.status == UNCERTAIN
        ids = await meant(self._view.api, filters, asked_of_api)
        if not ids:
            toast(t("messages.resend_none_failed"))
            return False
        with dialog(t("messages.resend_ask_all")) as asked:
            classed("p", "", t("messages.resend_how_all", n=len(ids)))
            if uncertain:
                classed("p", "", t("messages.resend_uncertain"))
            self._foot(asked)
        agreed = await asked
        asked.delete()
        if agreed:
            self._begin(ids, uncertain=uncertain)
        return bool(agreed)

    def _foot(self, asked: ui.dialog) -> None:
        with classed("div", "dialog-foot"):
            button(self._t("frame.cancel"), lambda: asked.submit(None), kind="quiet")
            button(self._t("messages.resend"), lambda: asked.submit("yes"), kind="main", symbol="replay")

    def _begin(self, ids: Sequence[str], *, uncertain: bool) -> None:
        view, t, key = self._view, self._t, f"console-{secrets.token_hex(12)}"

        async def doing(work: Work) -> None:
            def count(tally: Tally) -> None:
                work.done, work.failed = tally.done, tally.failures
                work.notes[:] = [t("messages.resend_refused", id=one, why=why) for one, why in tally.refused]

            tally = await send_again(view.api, ids, key, uncertain=uncertain, progress=count)
            if len(tally.requests) == 1:
                work.link, work.link_text = f"{base(view)}?id={tally.requests[0]}", t("messages.resend_see")

        work = start(view, t("messages.resend_work"), doing, len(ids))
        if len(ids) > 1:
            self._watch(work)
        else:
            self._tell(work)

    def _tell(self, work: Work) -> None:
        """Say at once what became of a single one."""
        t = self._t

        async def look() -> None:
            if work.runs:
                return
            timer.deactivate()
            said = work.why or "\n".join(work.notes)
            toast(said or t("messages.resend_done", n=1), good=not said)
            if not said:
                await self._sent()

        timer = ui.timer(0.2, look)

    def _watch(self, work: Work) -> None:
        """Show how far it is; the dialog may be closed, and the page be left."""
        t = self._t
        with dialog(t("messages.resend_work")) as watched:
            progress(self._view, work)
            notes = classed("div", "work-notes")
            classed("p", "muted", t("frame.work_leave"))
            with classed("div", "dialog-foot"):
                button(t("frame.close"), watched.close, kind="quiet")

        async def look() -> None:
            if len(notes.default_slot.children) != len(work.notes):
                notes.clear()
                with notes:
                    for note in work.notes:
                        classed("p", "bad-text", note)
            if not work.runs:
                timer.deactivate()
                await self._sent()

        with watched:
            timer = ui.timer(0.4, look)
        watched.on("hide", watched.delete)
        watched.open()

    async def _sent(self) -> None:
        if self._on_sent is not None:
            await self._on_sent()


def base(view: View) -> str:
    """Return where a person's listing stands: everybody's for an administrator, else one's own."""
    return "/messages" if view.session.is_admin else "/mine"
