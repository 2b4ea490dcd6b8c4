"""The send form: recipients, content and time, with the preview and the quotas beside them."""

import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from nicegui import ui

from imsg_channels.smtp import SMTP
from imsg_console.client import ApiError
from imsg_console.features.send.confirm import SHOWN
from imsg_console.features.send.content import Content
from imsg_console.features.send.content_form import Problem
from imsg_console.features.send.draft import Draft, KeptDraft, read_recipients, write_recipients
from imsg_console.features.send.groups import MAX_AT_ONCE, GroupChoice
from imsg_console.features.send.preview import Preview
from imsg_console.features.send.recipient_field import RecipientField
from imsg_console.features.send.recipients import Kind, Recipients
from imsg_console.layout import describe_error
from imsg_console.quota import describe_reset, draw_quota, read_quotas
from imsg_console.recipients.recipient_reader import FoundRecipient, Reading
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import METHODS, method_name
from imsg_console.widgets.elements import attrs, button, element, live_text
from imsg_console.widgets.facts import card
from imsg_console.widgets.fields import text_field
from imsg_console.widgets.notices import error_notice, notice

MANY = 100
"""Recipients from which on the check has a page of its own. Fewer are all in view beside the form."""

RECIPIENTS_WRONG = 10011

_NAMED = re.compile(r"“([^“”]{1,64})”\s*[（(]([^（）()]*)[）)]")
"""How the API names wrong recipients: “zhang”（没有这个用户）."""


class SendForm:
    """The form of the page."""

    def __init__(
        self,
        view: View,
        me: Mapping[str, Any],
        templates: Sequence[Mapping[str, Any]],
        groups: Sequence[Mapping[str, Any]],
        channels: Sequence[Mapping[str, Any]],
    ) -> None:
        """`me` is GET /api/v2/me; the others are all of GET /api/v2/templates, /api/v2/groups and /api/v2/channels."""
        self._channels = channels
        self._view, self._t, self._me, self._templates, self._known = view, view.t, me, templates, groups
        method = view.query.get("method", "")
        self.method = method if method in METHODS else SMTP.name
        self._recipients = Recipients(self.method)
        self._is_drawn = False
        self._problems: Sequence[Problem] = ()
        self._draft: Draft | None = None

    def draw(self, on_change: Callable[[], None], on_submit: Callable[[], Awaitable[None]]) -> None:
        """Draw the form; `on_change` is called after any change, `on_submit` sends it."""
        t, self._on_change, self._on_submit = self._t, on_change, on_submit
        with element("div", "send") as self.place:
            with ui.column().classes("send-form"):
                self._draw_methods()
                with card(t("send.step_who")):
                    self.groups = GroupChoice(self._view, self._known, self._update_people)
                    self._field = RecipientField(self._view, self._recipients, self._update_people)
                with card(t("send.step_what")):
                    may_send_codes = bool(self._me.get("may_send_codes"))
                    self.content = Content(
                        self._view,
                        self._templates,
                        self._update,
                        channels=self._channels,
                        may_send_codes=may_send_codes,
                    )
                    self.template = self.content.template
                with card(t("send.step_when")):
                    self._when = text_field(t("send.when"), hint=t("send.when_hint"), kind="datetime-local")
                    self._when.props("stack-label clearable").on_value_change(self._update)
            with attrs(element("section", "send-side stack"), aria_label=t("send.step_check")):
                with card(t("send.preview")):
                    self._preview = Preview(self._view)
                with card(t("send.left")):
                    self._draw_quotas()
                self._error = element("div", "send-trouble")
                self._send = button("", on_submit, kind="main", symbol="send").classes("send-button")
                element("p", "muted", t("send.counts_once"))
                self._kept = live_text("muted", t("send.draft_kept"))
        self._is_drawn = True
        self._show_method()

    def start_saving(self, on_found: Callable[[KeptDraft], Awaitable[object]]) -> None:
        """Save a draft from now on; `on_found` is called with the one saved before."""

        def show_full() -> None:
            self._kept.text = self._t("send.draft_too_large")

        self._draft = Draft(self._view, lambda: self.draft, on_found, show_full)

    def forget(self) -> None:
        """Delete the draft."""
        if self._draft is not None:
            self._draft.forget()

    @property
    def draft(self) -> dict[str, Any]:
        """What has been written, as `restore` takes it; of attachments their names."""
        return {
            "method": self.method,
            "groups": self.groups.names,
            "when": self._when.value,
            **write_recipients(self._recipients.reading),
            **self.content.draft,
        }

    async def restore(self, kept: KeptDraft) -> None:
        """Fill in a draft; whatever of it cannot be read is left out."""
        draft = kept.draft
        method = str(draft.get("method"))
        self._set_method(method if method in METHODS else self.method)
        when = draft.get("when")
        self._when.set_value(when if isinstance(when, str) else "")
        groups = draft.get("groups")
        self.groups.choose([name for name in groups if isinstance(name, str)] if isinstance(groups, list) else [])
        await self._field.add(read_recipients(self._t, draft))
        await self.content.restore(draft, kept.typed)

    def choose_group(self, name: str) -> None:
        """Choose a group."""
        self.groups.choose([name])

    async def choose_template(self, name: str) -> None:
        """Choose a template, by the first method that it has words for."""
        methods = self.template.find_methods(name)
        if methods and self.method not in methods:
            self._set_method(methods[0])
        await self.template.restore({"template": name})

    async def fill(self, request: Mapping[str, Any]) -> bool:
        """Fill in the content of a request that was sent; return whether its template is still there."""
        self._set_method(request["method"])
        return await self.content.fill(request["content"], request["category"])

    async def add_recipients(self, to: Sequence[str]) -> None:
        """Add recipients."""
        await self._field.add(Reading(tuple(map(FoundRecipient, to))))

    @property
    def step(self) -> str:
        """The current step: a short list is checked beside the form, where all of it is in view."""
        if self.groups.names:
            return "what"
        if not self._recipients.fine:
            return "who"
        is_written = not self._recipients.wrong and not self.content.find_problems()
        return "check" if is_written and self.is_short else "what"

    @property
    def people(self) -> Sequence[FoundRecipient]:
        """The recipients; of groups a few."""
        if self.groups.names:
            return self.groups.read_sample(self.method)
        return [recipient.found for recipient in self._recipients.fine]

    @property
    def listed(self) -> Sequence[str]:
        """The recipients as they are shown, or the groups with their sizes."""
        return self.groups.texts or [recipient.text for recipient in self._recipients.fine]

    @property
    def count(self) -> int:
        """The number of people that receive it."""
        return max(len(self._recipients), self.groups.total)

    @property
    def ignored(self) -> int:
        """The texts that were read, and are no recipients."""
        return 0 if self.groups.names else self._recipients.counts.ignored

    @property
    def is_short(self) -> bool:
        """Whether all of it is in view beside the form."""
        return not (self.groups.names or self.template.is_personal or len(self._recipients) >= MANY)

    def draw_preview(self, preview: Preview) -> None:
        """Show the message as it arrives."""
        self.content.show(preview, self.listed)

    def read_entries(self, people: Sequence[FoundRecipient]) -> list[str | dict[str, Any]]:
        """Return `to` of the API."""
        return [self.template.read_entry(person) for person in people]

    async def make_body(self) -> dict[str, Any]:
        """Return the body of the request. Raises ApiError."""
        whom: dict[str, Any] = {"groups": self.groups.names}
        if not self.groups.names:
            whom = {"to": self.read_entries([recipient.found for recipient in self._recipients])}
        elif self.groups.total <= MAX_AT_ONCE and not self.template.is_by_name:
            batches = [batch async for batch in self.groups.read_batches(self.method)]
            whom = {"to": self.read_entries([recipient for batch in batches for recipient in batch])}
        body: dict[str, Any] = {**whom, "method": self.method, **await self.content.read()}
        if (when := self._read_when()) is not None:
            body["send_at"] = when
        return body

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Show that the message is being sent for as long as the context lasts."""
        self._send.props("loading")
        try:
            yield
        finally:
            self._send.props(remove="loading")

    async def check(self) -> bool:
        """Return whether the form may be sent, once all that was typed is read.

        What is wrong is shown beside each field, and the cursor is put into the first.
        """
        await self._field.finish()
        t, groups = self._t, self.groups
        wrong = [] if groups.names else self._recipients.wrong
        self._error.clear()
        problem_text = ""
        if groups.names:
            problem_text = "" if groups.total else t("send.groups_empty")
        elif wrong:
            problem_text = t("send.wrong_first", n=len(wrong))
        elif not self._recipients.texts:
            problem_text = t("send.to_missing")
        elif self.content.category == "code" and len(self._recipients) > 1:
            problem_text = t("send.code_to_one")
        if problem_text:
            self._field.focus()
        else:
            self._problems = self.content.find_problems()
            for made, problem in self._problems:
                made.error = problem
            if self._problems:
                first, problem_text = self._problems[0]
                first.run_method("focus")
            if not problem_text and not groups.names:
                return not self._draw_missing()
        if problem_text:
            with self._error:
                notice(problem_text, "bad")
        return not problem_text

    async def leave_out(self, texts: Collection[str]) -> None:
        """Remove recipients; of groups the other members become recipients."""
        if self.groups.names:
            batches = [batch async for batch in self.groups.read_batches(self.method)]
            self.groups.choose([])
            self._recipients.clear()
            await self._field.add(Reading(tuple(recipient for batch in batches for recipient in batch)))
        for recipient in [recipient for recipient in self._recipients if recipient.text in texts]:
            self._recipients.remove(recipient.key)
        self._field.show()

    def show_error(self, error: ApiError, *, is_unknown: bool) -> None:
        """Show why a message was refused, or that its answer is not known."""
        t = self._t
        if error.code == RECIPIENTS_WRONG and (named := dict(_NAMED.findall(error.detail))):
            self._field.mark(named)
        with self._error:
            if is_unknown:
                text = t.join(describe_error(t, error), t("send.not_sure"))
                error_notice(t("send.not_sure_title"), text, t("layout.retry"), self._on_submit)
            else:
                error_notice(t("send.refused_title"), describe_error(t, error))
        ui.run_javascript("document.querySelector('.send-trouble')?.scrollIntoView({block: 'center'})")

    def _draw_methods(self) -> None:
        with ui.tabs(on_change=self._change_method).props("no-caps inline-label align=left") as self._tabs:
            for method, symbol in METHODS.items():
                ui.tab(method, method_name(self._t, method), icon=symbol)
        self._tabs.set_value(self.method)
        attrs(self._tabs.classes("methods"), aria_label=self._t("send.method"))

    def _draw_quotas(self) -> None:
        if not self._me["available"]:
            notice(self._t("send.not_available"), "bad")
        for quota in read_quotas(self._me, self._view.timezone):
            draw_quota(self._t, quota)
            if quota.left == 0:
                notice(self._t("send.used_up", opens=describe_reset(self._t, quota)), "warn")

    async def _change_method(self) -> None:
        method = str(self._tabs.value)
        if self._is_drawn and method != self.method:
            self.method = method
            self._show_method()
            await self._field.change_method(method)
            self._update()

    def _set_method(self, method: str) -> None:
        self.method = self._recipients.method = method
        self._tabs.set_value(method)
        self._show_method()
        self._field.show()

    def _show_method(self) -> None:
        self.content.show_method(self.method)
        self._error.clear()
        self._update()

    def _update_people(self) -> None:
        """Show what follows from a change of the recipients: their columns may fill the params of a template."""
        if self._is_drawn:
            self.template.offer(self.people)
            self._update()

    def _update(self) -> None:
        """Show what follows from a change of any field."""
        if not self._is_drawn:
            return
        if self._draft is not None:
            self._draft.change()
        for made, _ in self._problems:
            made.error = None
        self._problems = ()
        self.content.show_fields()
        self._on_change()
        self.draw_preview(self._preview)
        self._field.place.set_visibility(not self.groups.names)
        fine = [] if self.groups.names else self._recipients.fine
        count = len(fine) or self.groups.total
        self._send.text = self._t("send.submit", n=count) if count else self._t("send.submit_none")
        segments = self.content.count_segments([recipient.key for recipient in fine if recipient.kind is Kind.ADDRESS])
        if segments is not None and fine:
            self._send.text = self._t("send.submit_sms", n=len(fine), sms=segments * len(fine))

    async def _send_without(self, texts: Collection[str]) -> None:
        await self.leave_out(texts)
        self._on_change()
        await self._on_submit()

    def _read_when(self) -> str | None:
        """Return when it is to be sent, in the API's form; None: at once."""
        try:
            at = datetime.fromisoformat(str(self._when.value or ""))
        except ValueError:
            return None
        return at.replace(tzinfo=self._view.times.zone).isoformat()

    def _draw_missing(self) -> bool:
        """Show the recipients whose columns lack what the template needs; return whether there are any."""
        t, missing = self._t, self.template.find_missing(self.people)
        if missing:
            with self._error:
                notice(t("send.missing", n=len(missing)), "bad")
                with element("ul"):
                    for person, names in missing[:SHOWN]:
                        row = t("send.row", n=person.row) if person.row else ""
                        listed = t.join_names(line(name, 64) for name in names)
                        text = t("send.missing_of", row=row, to=line(person.text, 80), names=listed)
                        element("li", "wrap-anywhere", text.strip())
                    if len(missing) > SHOWN:
                        element("li", "muted", t("send.and_more", n=len(missing) - SHOWN))
                texts = {person.text for person, _ in missing}
                button(t("send.missing_leave_out"), partial(self._send_without, texts))
        return bool(missing)
