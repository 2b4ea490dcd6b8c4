"""Resending from a listing: the question before it, and the work that goes on whichever page is open."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.explanations import explain
from imsg_console.message.filters import Filters
from imsg_console.message.resend import Tally, find_failed, send_again
from imsg_console.message.resend_plan import Plan, bodies, segments
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import button, element
from imsg_console.widgets.notices import toast
from imsg_console.widgets.work import Work, progress, start

SHOWN = 5
"""Of those that are left out: how many are named."""


class Again:
    """Asks, then sends again; `on_sent` is told once what was asked for is under way."""

    def __init__(
        self,
        view: View,
        on_sent: Callable[[], Awaitable[None]] | None = None,
        on_request: Callable[[str, int], object] | None = None,
    ) -> None:
        """`on_request` is told the new request's id and how many messages it has, where all is one request."""
        self._view = view
        self._t = view.t
        self._on_sent = on_sent
        self._on_request = on_request

    async def ask(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Say what of these is sent again and what is left out, ask, and do it. Returns whether it was begun."""
        t, plan = self._t, Plan.of(messages)
        if not plan.failed and not plan.uncertain:
            toast(self._why_not(plan), good=False)
            return False
        with dialog(t("messages.resend_ask", n=len(plan.failed) or len(plan.uncertain))) as asked:
            if plan.failed:
                element("p", "", self._count(plan.failed))
            element("p", "", t("messages.resend_how"))
            if len(messages) == 1:
                element("p", "muted", f"{line(messages[0]['to'], 80)} · {line(messages[0]['id'], 60)}")
            self._draw_left_out(plan)
            also = None
            if plan.uncertain:
                also = ui.checkbox(f"{t('messages.resend_uncertain')} · {self._count(plan.uncertain)}")
                also.value = not plan.failed
            self._foot(asked)
        agreed = await asked
        also_uncertain = also is not None and bool(also.value)
        asked.delete()
        chosen = plan.failed + (plan.uncertain if also_uncertain else [])
        if not agreed or not chosen:
            return False
        self._begin(chosen, uncertain=also_uncertain)
        return True

    async def ask_all(self, filters: Filters, asked_of_api: Mapping[str, str]) -> bool:
        """Ask whether everything that failed within some filters is to be sent again, and do it."""
        found = await find_failed(self._view.api, filters, asked_of_api)
        if not found:
            toast(self._t("messages.resend_none_failed"))
            return False
        return await self.ask(found)

    def _count(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Say how many recipients, and how many SMS that makes."""
        t, sms = self._t, segments(messages)
        said = t("messages.resend_count", n=len(messages))
        return f"{said}{t('messages.resend_sms', n=sms)}" if sms else said

    def _draw_left_out(self, plan: Plan) -> None:
        t = self._t
        if plan.resent:
            element("p", "muted", t("messages.resend_left_resent", n=len(plan.resent)))
        if plan.hopeless:
            element("p", "muted", t("messages.resend_left_hopeless", n=len(plan.hopeless)))
            with element("ul", "muted"):
                for one in plan.hopeless[:SHOWN]:
                    said = explain(t, one["method"], one["status"], (one["error"] or {}).get("code"))
                    element("li", "", f"{line(one['to'], 60)}{t('messages.colon')}{said.meaning if said else ''}")
                if len(plan.hopeless) > SHOWN:
                    element("li", "", "…")

    def _why_not(self, plan: Plan) -> str:
        t = self._t
        if plan.hopeless:
            return t("messages.resend_only_hopeless")
        return t("messages.resend_only_resent" if plan.resent else "messages.resend_nothing")

    def _foot(self, asked: ui.dialog) -> None:
        with element("div", "actions dialog-foot"):
            button(self._t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
            button(self._t("messages.resend"), lambda: asked.submit("yes"), kind="main", symbol="replay")

    def _begin(self, messages: Sequence[Mapping[str, Any]], *, uncertain: bool) -> None:
        asked = bodies(messages, uncertain=uncertain)
        made: list[tuple[str, int]] = []
        view, t, key = self._view, self._t, f"console-{secrets.token_hex(12)}"

        async def resend_all(work: Work) -> None:
            def count(tally: Tally) -> None:
                work.done, work.failed = tally.done, tally.failures
                work.notes[:] = [t("messages.resend_refused", id=one, why=why) for one, why in tally.refused]

            tally = await send_again(view.api, asked, key, progress=count)
            if len(tally.requests) == 1:
                work.link, work.link_text = f"{base(view)}?id={tally.requests[0]}", t("messages.resend_see")
                made.append((tally.requests[0], tally.messages))

        work = start(view, t("messages.resend_work"), resend_all, len(asked))
        if len(asked) > 1:
            self._watch(work)
        else:
            self._tell(work, len(messages), made)

    def _tell(self, work: Work, count: int, made: Sequence[tuple[str, int]]) -> None:
        """Say at once what became of a single request."""
        t = self._t

        async def look() -> None:
            if work.runs:
                return
            timer.deactivate()
            said = work.why or "\n".join(work.notes)
            toast(said or t("messages.resend_done", n=count), good=not said)
            if not said:
                await self._tell_sent()
            if made and self._on_request is not None:
                self._on_request(*made[0])

        timer = ui.timer(0.2, look)

    def _watch(self, work: Work) -> None:
        """Show how far it is; the dialog may be closed, and the page be left."""
        t = self._t
        with dialog(t("messages.resend_work")) as watched:
            progress(self._view, work)
            notes = element("div", "work-notes")
            element("p", "muted", t("layout.work_leave"))
            with element("div", "actions dialog-foot"):
                button(t("layout.close"), watched.close, kind="quiet")

        async def look() -> None:
            if len(notes.default_slot.children) != len(work.notes):
                notes.clear()
                with notes:
                    for note in work.notes:
                        element("p", "bad-text", note)
            if not work.runs:
                timer.deactivate()
                await self._tell_sent()

        with watched:
            timer = ui.timer(0.4, look)
        watched.on("hide", watched.delete)
        watched.open()

    async def _tell_sent(self) -> None:
        if self._on_sent is not None:
            await self._on_sent()


def base(view: View) -> str:
    """Return where a person's listing stands: everybody's for an administrator, else one's own."""
    return "/messages" if view.session.is_admin else "/mine"
