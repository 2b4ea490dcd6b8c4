"""Resending: its confirmation, and its work, which continues when the page is left."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.explanations import explain
from imsg_console.message.filters import Filters
from imsg_console.message.resend import Progress, find_failed, send_again
from imsg_console.message.resend_plan import Plan, find_bodies, segments
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog, draw_choice, reading_dialog, remove
from imsg_console.widgets.elements import element, redraw
from imsg_console.widgets.notices import toast
from imsg_console.widgets.work import Work, draw_work, start

SHOWN = 5
"""How many of the messages that are left out are named."""


class ResendDialog:
    """Asks, then sends again; `on_sent` is called once the requests were made."""

    def __init__(
        self,
        view: View,
        on_sent: Callable[[], Awaitable[None]] | None = None,
        on_request: Callable[[str, int], object] | None = None,
    ) -> None:
        """`on_request` gets the id of the new request and its number of messages, where there is one request only."""
        self._view = view
        self._t = view.t
        self._on_sent = on_sent
        self._on_request = on_request

    async def ask(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Show which messages are sent again and which are left out, ask, and send. Return whether it has begun."""
        t, plan = self._t, Plan.of(messages)
        if not plan.failed and not plan.uncertain:
            toast(self._why_not(plan), good=False)
            return False
        with dialog(t("messages.resend_ask", n=len(plan.failed) or len(plan.uncertain))) as opened:
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
            draw_choice(self._view, opened, t("messages.resend"), lambda: opened.submit("yes"), kind="main")
        agreed = await opened
        also_uncertain = also is not None and bool(also.value)
        remove(opened)
        count = len(plan.failed) + (len(plan.uncertain) if also_uncertain else 0)
        if not agreed or not count:
            return False
        self._begin(await find_bodies(self._view.api, plan, uncertain=also_uncertain), count)
        return True

    async def ask_all(self, filters: Filters, parameters: Mapping[str, str]) -> bool:
        """Confirm, and resend everything that failed within the filters; return whether it was sent."""
        messages = await find_failed(self._view.api, filters, parameters)
        if not messages:
            toast(self._t("messages.resend_none_failed"))
            return False
        return await self.ask(messages)

    def _count(self, messages: Sequence[Mapping[str, Any]]) -> str:
        """Return the number of recipients, and of SMS."""
        t, sms = self._t, segments(messages)
        recipients = t("messages.resend_count", n=len(messages))
        return f"{recipients}{t('messages.resend_sms', n=sms)}" if sms else recipients

    def _draw_left_out(self, plan: Plan) -> None:
        t = self._t
        if plan.resent:
            element("p", "muted", t("messages.resend_left_resent", n=len(plan.resent)))
        if plan.hopeless:
            element("p", "muted", t("messages.resend_left_hopeless", n=len(plan.hopeless)))
            with element("ul", "muted"):
                for message in plan.hopeless[:SHOWN]:
                    explained = explain(t, message["method"], message["status"], (message["error"] or {}).get("code"))
                    element(
                        "li",
                        "",
                        f"{line(message['to'], 60)}{t('messages.colon')}{explained.meaning if explained else ''}",
                    )
                if len(plan.hopeless) > SHOWN:
                    element("li", "", "…")

    def _why_not(self, plan: Plan) -> str:
        t = self._t
        if plan.hopeless:
            return t("messages.resend_only_hopeless")
        return t("messages.resend_only_resent" if plan.resent else "messages.resend_nothing")

    def _begin(self, requests: Sequence[Mapping[str, Any]], count: int) -> None:
        created: list[tuple[str, int]] = []
        view, t, key = self._view, self._t, f"console-{secrets.token_hex(12)}"

        async def resend_all(work: Work) -> None:
            def show(progress: Progress) -> None:
                work.done, work.failed = progress.done, progress.failures
                work.notes[:] = [t("messages.resend_refused", id=message, why=why) for message, why in progress.refused]

            progress = await send_again(view.api, requests, key, on_progress=show)
            if len(progress.requests) == 1:
                work.link, work.link_text = f"{list_path(view)}?id={progress.requests[0]}", t("messages.resend_see")
                created.append((progress.requests[0], progress.messages))

        work = start(view, t("messages.resend_work"), resend_all, len(requests))
        if len(requests) > 1:
            self._watch(work)
        else:
            self._report(work, count, created)

    def _report(self, work: Work, count: int, created: Sequence[tuple[str, int]]) -> None:
        """Show the result of a single request at once."""
        t = self._t

        async def refresh() -> None:
            if work.runs:
                return
            timer.deactivate()
            problem = work.why or "\n".join(work.notes)
            toast(problem or t("messages.resend_done", n=count), good=not problem)
            if not problem:
                await self._report_sent()
            if created and self._on_request is not None:
                self._on_request(*created[0])

        timer = ui.timer(0.2, refresh)

    def _watch(self, work: Work) -> None:
        """Show how far the work is; the dialog may be closed, and the page be left."""
        t = self._t
        with reading_dialog(self._view, t("messages.resend_work")) as opened:
            draw_work(self._view, work)
            notes = element("div")
            element("p", "muted", t("layout.work_leave"))

        async def refresh() -> None:
            if len(notes.default_slot.children) != len(work.notes):
                with redraw(notes):
                    for note in work.notes:
                        element("p", "bad-text", note)
            if not work.runs:
                timer.deactivate()
                await self._report_sent()

        with opened:
            timer = ui.timer(0.4, refresh)

    async def _report_sent(self) -> None:
        if self._on_sent is not None:
            await self._on_sent()


def list_path(view: View) -> str:
    """Return the page that lists messages: of all users for an administrator, else the user's own."""
    return "/messages" if view.session.sees_all else "/mine"
