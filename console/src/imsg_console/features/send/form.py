"""The send form: recipients, content, preview and quotas; and the sending itself."""

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from nicegui import ui
from pydantic import TypeAdapter, ValidationError

from imsg_channels.smtp import SMTP
from imsg_console.client import ApiError, make_url
from imsg_console.features.send.confirm import SHOWN, Checked, Confirmation, join_checks
from imsg_console.features.send.content import Content
from imsg_console.features.send.content_form import Problem
from imsg_console.features.send.draft import Draft, KeptDraft
from imsg_console.features.send.groups import MAX_AT_ONCE, GroupChoice
from imsg_console.features.send.preview import Preview
from imsg_console.features.send.recipient_field import RecipientField
from imsg_console.features.send.recipients import Kind, Recipients
from imsg_console.features.send.steps import Steps
from imsg_console.layout import sentence
from imsg_console.message.blocks import explain_block
from imsg_console.quota import describe_reset, draw_quota, read_quotas
from imsg_console.recipients.recipient_reader import FoundRecipient, IgnoredText, Reading
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import METHODS, method_name
from imsg_console.widgets.elements import attrs, button, element, live_text
from imsg_console.widgets.facts import card
from imsg_console.widgets.fields import text_field
from imsg_console.widgets.notices import error_notice, notice
from imsg_console.widgets.work import Work, draw_work, start

MANY = 100
"""Recipients from which on the check has a page of its own. Fewer are all in view beside the form."""

UNDO = timedelta(seconds=30)
"""How long a message to more than MANY waits, so that it can be taken back; messages by the API wait for nothing."""

PREVIEWED = 3
"""Recipients whose messages the check shows, where they differ."""

CHECKED = ("to", "groups", "method", "content", "template", "params", "language", "category", "sender", "send_at")
"""What the check takes of a message."""

Row = TypeVar("Row")

FOUND = TypeAdapter(tuple[str, str, dict[str, str], str | None, int])
IGNORED = TypeAdapter(tuple[str, str])
"""What a draft keeps of recipients, and of what is none."""

RECIPIENTS_WRONG = 10011
NOT_SURE = 10012

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
        self._method = method if method in METHODS else SMTP.name
        self._recipients = Recipients(self._method)
        self._key = ("", "")
        """The digest of the body that was sent, and its Idempotency-Key: the same body is sent under the same key."""
        self._confirmed = ""
        """The key of the body that a person has confirmed."""
        self._undo = ("", "")
        """The key of the last message to many, and until when it can be taken back."""
        self._is_drawn = self._is_sending = False
        self._problems: Sequence[Problem] = ()
        self._draft: Draft | None = None

    def draw(self) -> None:
        """Draw the form."""
        t = self._t
        self._steps = Steps(t, "who")
        self._confirming = element("div", "send-confirming stack")
        self._confirming.set_visibility(False)
        with element("div", "send") as self._whole:
            with element("div", "send-form stack"):
                self._draw_methods()
                with card(t("send.step_who")):
                    self._groups = GroupChoice(self._view, self._known, self._update_people)
                    self._field = RecipientField(self._view, self._recipients, self._update_people)
                with card(t("send.step_what")):
                    may_send_codes = bool(self._me.get("may_send_codes"))
                    self._content = Content(
                        self._view,
                        self._templates,
                        self._update,
                        channels=self._channels,
                        may_send_codes=may_send_codes,
                    )
                    self._template = self._content.template
                with card(t("send.step_when")):
                    self._when = text_field(t("send.when"), hint=t("send.when_hint"), kind="datetime-local")
                    self._when.props("stack-label clearable").on_value_change(self._update)
            with attrs(element("section", "send-side stack"), aria_label=t("send.step_check")):
                with card(t("send.preview")):
                    self._preview = Preview(self._view)
                with card(t("send.left")):
                    self._draw_quotas()
                self._error = element("div", "send-trouble")
                self._send = button("", self._submit, kind="main", symbol="send").classes("send-button")
                element("p", "muted", t("send.counts_once"))
                self._kept = live_text("muted", t("send.draft_kept"))
        self._is_drawn = True
        self._show_method()

    def keep(self, on_found: Callable[[KeptDraft], Awaitable[object]]) -> None:
        """Keep a draft from now on; `on_found` gets the one that was kept."""

        def show_full() -> None:
            self._kept.text = self._t("send.draft_too_large")

        self._draft = Draft(self._view, lambda: self.draft, on_found, show_full)

    def forget(self) -> None:
        """Forget the draft."""
        if self._draft is not None:
            self._draft.forget()

    @property
    def draft(self) -> dict[str, Any]:
        """What has been written, as `restore` takes it; of attachments their names."""
        reading = self._recipients.reading
        return {
            "method": self._method,
            "to": [
                [recipient.text, recipient.label, recipient.params, recipient.language, recipient.row]
                for recipient in reading.found
            ],
            "groups": self._groups.names,
            "when": self._when.value,
            "ignored": [[ignored.text, ignored.why] for ignored in reading.ignored],
            **self._content.draft,
        }

    async def restore(self, kept: KeptDraft) -> None:
        """Fill in a draft; whatever of it cannot be read is left out."""
        draft = kept.draft
        method = str(draft.get("method"))
        self._set_method(method if method in METHODS else self._method)
        ignored = (IgnoredText(*row) for row in _read_rows(IGNORED, draft.get("ignored")) if self._t.get(row[1], ""))
        found = (FoundRecipient(*row) for row in _read_rows(FOUND, draft.get("to")))
        when = draft.get("when")
        self._when.set_value(when if isinstance(when, str) else "")
        groups = draft.get("groups")
        self._groups.choose([name for name in groups if isinstance(name, str)] if isinstance(groups, list) else [])
        await self._field.add(Reading(tuple(found), tuple(ignored)))
        await self._content.restore(draft, kept.typed)

    def choose_group(self, name: str) -> None:
        """Choose a group."""
        self._groups.choose([name])

    async def choose_template(self, name: str) -> None:
        """Choose a template, by the first method that it has words for."""
        methods = self._template.find_methods(name)
        if methods and self._method not in methods:
            self._set_method(methods[0])
        await self._template.restore({"template": name})

    async def fill(self, request: Mapping[str, Any]) -> bool:
        """Fill in the content of a request that was sent; return whether its template is still there."""
        self._set_method(request["method"])
        return await self._content.fill(request["content"], request["category"])

    async def add_recipients(self, to: Sequence[str]) -> None:
        """Add recipients."""
        await self._field.add(Reading(tuple(map(FoundRecipient, to))))

    def _draw_methods(self) -> None:
        with ui.tabs(on_change=self._change_method).props("no-caps inline-label align=left") as self._tabs:
            for method, symbol in METHODS.items():
                ui.tab(method, method_name(self._t, method), icon=symbol)
        self._tabs.set_value(self._method)
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
        if self._is_drawn and method != self._method:
            self._method = method
            self._show_method()
            await self._field.change_method(method)
            self._update()

    def _set_method(self, method: str) -> None:
        self._method = self._recipients.method = method
        self._tabs.set_value(method)
        self._show_method()
        self._field.show()

    def _show_method(self) -> None:
        self._content.show_method(self._method)
        self._error.clear()
        self._update()

    def _update_people(self) -> None:
        """Show what follows from a change of the recipients: their columns may fill the params of a template."""
        if self._is_drawn:
            self._template.offer(self._people)
            self._update()

    @property
    def _people(self) -> Sequence[FoundRecipient]:
        """The recipients; of groups a few."""
        if self._groups.names:
            return self._groups.read_sample(self._method)
        return [recipient.found for recipient in self._recipients.fine]

    @property
    def _is_short(self) -> bool:
        """Whether all of it is in view beside the form."""
        return not (self._groups.names or self._template.is_personal or len(self._recipients) >= MANY)

    def _update(self) -> None:
        """Show what follows from a change of any field."""
        if not self._is_drawn:
            return
        if self._draft is not None:
            self._draft.change()
        for made, _ in self._problems:
            made.error = None
        self._problems = ()
        self._content.show_fields()
        self._steps.show(self._find_step())
        self._draw_preview(self._preview)
        self._field.place.set_visibility(not self._groups.names)
        fine = [] if self._groups.names else self._recipients.fine
        count = len(fine) or self._groups.total
        self._send.text = self._t("send.submit", n=count) if count else self._t("send.submit_none")
        segments = self._content.count_segments([recipient.key for recipient in fine if recipient.kind is Kind.ADDRESS])
        if segments is not None and fine:
            self._send.text = self._t("send.submit_sms", n=len(fine), sms=segments * len(fine))

    async def _submit(self) -> None:
        if self._is_sending:
            return
        self._is_sending = True
        self._send.props("loading")
        try:
            await self._field.finish()
            if self._is_valid():
                await self._send_or_ask()
        finally:
            self._is_sending = False
            self._send.props(remove="loading")

    async def _send_or_ask(self) -> None:
        try:
            body = await self._make_body()
            if self._confirmed != self._make_key(body) and await self._ask_confirmation(body):
                return
            if self._groups.total > MAX_AT_ONCE:
                self._send_in_parts(body)
                return
            key = self._make_key(body)
            if "send_at" not in body and max(len(self._recipients), self._groups.total) > MANY:
                body["send_at"] = self._find_undo_end(key)
            answer = await self._view.api.post("/api/v2/messages", body, idempotency_key=key)
        except ApiError as error:
            self._leave_confirmation()
            self._show_error(error)
        else:
            self.forget()
            ui.navigate.to(f"/sent/{answer['id']}?n={answer['count']}")

    async def _ask_confirmation(self, body: Mapping[str, Any]) -> bool:
        """Show the check of a message; return False where a short list has nothing to confirm. Raises ApiError."""
        check, block = await self._check(body), await explain_block(self._view, self._method)
        if self._is_short and not (block or check["suppressed"] or check["held_until"]):
            return False
        previews = await self._preview_first()

        async def send() -> None:
            self._confirmed = self._make_key(body)
            await self._submit()

        self._steps.show("check")
        self._whole.set_visibility(False)
        self._confirming.clear()
        self._confirming.set_visibility(True)
        with self._confirming:
            confirmation = Confirmation(self._view, send, self._leave_confirmation, self._leave_out)
            listed = self._groups.texts or [recipient.text for recipient in self._recipients.fine]
            ignored = 0 if self._groups.names else self._recipients.counts.ignored
            confirmation.draw(
                Checked(self._method, listed, check, ignored, block, str(body.get("send_at") or "")),
                partial(self._draw_previews, previews) if previews else self._draw_preview,
            )
        ui.run_javascript("window.scrollTo(0, 0); document.querySelector('.confirm-title')?.focus()")
        return True

    async def _check(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a send would meet, of all requests that it becomes. Raises ApiError."""
        plain = {name: body[name] for name in CHECKED if name in body}
        if (
            "attachment" in body
            and "content" in body
            and not str(body["content"].get("text") or body["content"].get("html") or "")
        ):
            plain["content"] = {**body["content"], "text": " "}  # a text may be empty only beside an attachment
        if self._groups.total <= MAX_AT_ONCE:
            return await self._view.api.post("/api/v2/messages/check", plain)
        del plain["groups"]
        checks = [
            await self._view.api.post("/api/v2/messages/check", {**plain, "to": self._read_entries(batch)})
            async for batch in self._groups.read_batches(self._method)
        ]
        return {**join_checks(checks), "without_address": self._groups.without_address}

    async def _leave_out(self, texts: Collection[str]) -> None:
        """Leave recipients out, and check the others again; of groups the other members become recipients."""
        if self._groups.names:
            batches = [batch async for batch in self._groups.read_batches(self._method)]
            self._groups.choose([])
            self._recipients.clear()
            await self._field.add(Reading(tuple(recipient for batch in batches for recipient in batch)))
        for recipient in [recipient for recipient in self._recipients if recipient.text in texts]:
            self._recipients.remove(recipient.key)
        self._field.show()
        self._leave_confirmation()
        await self._submit()

    def _send_in_parts(self, body: Mapping[str, Any]) -> None:
        """Send to groups of more people than a request takes, as work: several requests of one reference."""
        t, key, groups = self._t, self._make_key(body), self._groups
        rest = {name: value for name, value in body.items() if name != "groups"} | {"reference": f"groups-{key}"}

        async def send(work: Work) -> None:
            async for batch in groups.read_batches(str(body["method"])):
                send_at = (datetime.now(UTC) + UNDO).isoformat(timespec="milliseconds")
                part = {"send_at": send_at, **rest, "to": self._read_entries(batch)}
                await self._view.api.post("/api/v2/messages", part, idempotency_key=f"{key}-{work.done}")
                work.done += len(batch)
            work.link, work.link_text = make_url("/mine", reference=rest["reference"]), t("sent.listing")

        work = start(self._view, t("send.work", names=", ".join(groups.names)), send, groups.total)
        self.forget()
        self._confirming.clear()
        self._steps.show("progress")
        with self._confirming, element("section", "card stack"):
            draw_work(self._view, work)
            element("p", "muted", t("layout.work_leave"))

    def _leave_confirmation(self) -> None:
        self._steps.show(self._find_step())
        self._confirming.set_visibility(False)
        self._whole.set_visibility(True)

    def _draw_preview(self, preview: Preview) -> None:
        """Show the message as it arrives."""
        self._content.show(preview, self._groups.texts or [recipient.text for recipient in self._recipients.fine])

    async def _preview_first(self) -> Sequence[tuple[str, Mapping[str, Any]]]:
        """Return what the first recipients of a template would get. Raises ApiError."""
        if not self._template.name:
            return []
        return [(person.text, await self._template.preview(person)) for person in self._people[:PREVIEWED]]

    def _draw_previews(self, previews: Sequence[tuple[str, Mapping[str, Any]]], preview: Preview) -> None:
        """Show the message as it arrives at the first recipients."""
        for number, (to, answer) in enumerate(previews):
            place = Preview(self._view) if number else preview
            self._content.show_template(place, answer, [to])

    def _read_entries(self, people: Sequence[FoundRecipient]) -> list[str | dict[str, Any]]:
        """Return `to` of the API."""
        return [self._template.read_entry(person) for person in people]

    async def _make_body(self) -> dict[str, Any]:
        whom: dict[str, Any] = {"groups": self._groups.names}
        if not self._groups.names:
            whom = {"to": self._read_entries([recipient.found for recipient in self._recipients])}
        elif self._groups.total <= MAX_AT_ONCE and not self._template.is_by_name:
            batches = [batch async for batch in self._groups.read_batches(self._method)]
            whom = {"to": self._read_entries([recipient for batch in batches for recipient in batch])}
        body: dict[str, Any] = {**whom, "method": self._method, **await self._content.read()}
        if (when := self._read_when()) is not None:
            body["send_at"] = when
        return body

    def _make_key(self, body: Mapping[str, Any]) -> str:
        digest = hashlib.sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()
        if digest != self._key[0]:
            self._key = (digest, secrets.token_hex(16))
        return self._key[1]

    def _read_when(self) -> str | None:
        """Return when it is to be sent, as the API takes it; None: at once."""
        try:
            at = datetime.fromisoformat(str(self._when.value or ""))
        except ValueError:
            return None
        return at.replace(tzinfo=self._view.times.zone).isoformat()

    def _find_undo_end(self, key: str) -> str:
        """Return until when a message to many can be taken back: a repeat under one key names the same time."""
        if key != self._undo[0]:
            self._undo = (key, (datetime.now(UTC) + UNDO).isoformat(timespec="milliseconds"))
        return self._undo[1]

    def _find_step(self) -> str:
        """Return the current step: a short list is checked beside the form, where all of it is in view."""
        if self._groups.names:
            return "what"
        if not self._recipients.fine:
            return "who"
        is_written = not self._recipients.wrong and not self._content.find_problems()
        return "check" if is_written and self._is_short else "what"

    def _is_valid(self) -> bool:
        """Check the form; show what is wrong beside each field, and put the cursor into the first."""
        t, groups = self._t, self._groups
        wrong = [] if groups.names else self._recipients.wrong
        self._error.clear()
        problem_text = ""
        if groups.names:
            problem_text = "" if groups.total else t("send.groups_empty")
        elif wrong:
            problem_text = t("send.wrong_first", n=len(wrong))
        elif not self._recipients.texts:
            problem_text = t("send.to_missing")
        elif self._content.category == "code" and len(self._recipients) > 1:
            problem_text = t("send.code_to_one")
        if problem_text:
            self._field.focus()
        else:
            self._problems = self._content.find_problems()
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

    def _draw_missing(self) -> bool:
        """Name the recipients whose columns lack what the template needs; return whether there are any."""
        t, missing = self._t, self._template.find_missing(self._people)
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
                leave_out = partial(self._leave_out, {person.text for person, _ in missing})
                button(t("send.missing_leave_out"), leave_out)
        return bool(missing)

    def _show_error(self, error: ApiError) -> None:
        t, is_unknown = self._t, error.code == NOT_SURE or error.reason == "unreachable"
        if not is_unknown:
            self._key = ("", "")
        if error.code == RECIPIENTS_WRONG and (named := dict(_NAMED.findall(error.detail))):
            self._field.mark(named)
        with self._error:
            if is_unknown:
                text = t.join(sentence(t, error), t("send.not_sure"))
                error_notice(t("send.not_sure_title"), text, t("layout.retry"), self._submit)
            else:
                error_notice(t("send.refused_title"), sentence(t, error))
        ui.run_javascript("document.querySelector('.send-trouble')?.scrollIntoView({block: 'center'})")


def _read_rows(kind: "TypeAdapter[Row]", value: object) -> Iterator[Row]:
    """Read what a browser kept of a list; what is none of its kind is left out."""
    for row in value if isinstance(value, list) else ():
        try:
            yield kind.validate_python(row)
        except ValidationError:
            continue
