"""The send form: whom, what, how it will look, what is left of the limits; and the sending itself."""

import hashlib
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from nicegui import ui

from imsg_channels import BY_NAME
from imsg_channels.smtp import SMTP
from imsg_channels.spec import ChannelSpec
from imsg_console import quota
from imsg_console.client import ApiError
from imsg_console.features.send import templates
from imsg_console.features.send.attachments import Attachments
from imsg_console.features.send.confirm import Confirmation
from imsg_console.features.send.content_form import Mail, Words
from imsg_console.features.send.draft import Draft, Kept
from imsg_console.features.send.pasting import Found, Ignored, Reading
from imsg_console.features.send.preview import Preview
from imsg_console.features.send.recipient_field import Box
from imsg_console.features.send.recipients import Kind, Recipients
from imsg_console.features.send.steps import Steps
from imsg_console.layout import sentence
from imsg_console.view import View
from imsg_console.widgets.chips import METHODS, method_name
from imsg_console.widgets.elements import attrs, button, element, heading, live_text
from imsg_console.widgets.fields import choice_field
from imsg_console.widgets.notices import error_notice, notice

MANY = 100
"""Recipients from which on the check is a page of its own: fewer are checked beside the form, where all of them, the
preview and the limits are in view, and a page more would show the same again."""

RECIPIENTS_WRONG = 10011
NOT_SURE = 10012

_NAMED = re.compile(r"“([^“”]{1,64})”\s*[（(]([^（）()]*)[）)]")
"""How the API names recipients that can't be: “zhang”（没有这个用户）."""


class Form:
    """The page's form."""

    def __init__(self, view: View, me: Mapping[str, Any], published: Mapping[str, Any]) -> None:
        self._view, self._t, self._me = view, view.t, me
        self._published = published
        self._method = view.query.get("method", SMTP.name)
        if self._method not in METHODS:
            self._method = SMTP.name
        self._people = Recipients(self._method)
        self._key = ("", "")
        """The body that was sent, hashed, and its Idempotency-Key: sending it once more sends nothing twice."""
        self._agreed_to = ""
        """The key of what somebody has looked at and agreed to."""
        self._is_drawn = False
        self._is_sending = False
        self._complained: list[ui.input | ui.textarea] = []
        self._draft: Draft | None = None

    @property
    def _channel(self) -> ChannelSpec:
        return BY_NAME[self._method]

    def draw(self) -> None:
        """Draw it."""
        self._steps = Steps(self._t, "who")
        self._confirming = element("div", "send-confirming stack")
        self._confirming.set_visibility(False)
        with element("div", "send") as self._whole:
            with element("div", "send-form stack"):
                self._draw_methods()
                with element("section", "card stack"):
                    self._box = Box(self._view, self._people, self._follow)
                with element("section", "card stack"):
                    heading(2, self._t("send.step_what"))
                    self._draw_category()
                    self._mail = Mail(self._view, self._follow)
                    self._words = {
                        method: Words(self._view, method, templates.of(method, self._published), self._follow)
                        for method in METHODS
                        if method != SMTP.name
                    }
                    self._attachments = Attachments(self._view, self._follow)
            with attrs(element("section", "send-side stack"), aria_label=self._t("send.step_check")):
                with element("section", "card stack"):
                    heading(2, self._t("send.preview"))
                    self._preview = Preview(self._view)
                with element("section", "card stack"):
                    heading(2, self._t("send.left"))
                    self._draw_limits()
                self._trouble = element("div", "send-trouble")
                self._send = button("", self._submit, kind="main", symbol="send").classes("send-button")
                element("p", "muted send-note", self._t("send.counts_once"))
                self._kept = live_text("muted send-note", self._t("send.draft_kept"))
        self._is_drawn = True
        self._turn()

    def keep(self, on_found: Callable[[Kept], Awaitable[object]]) -> None:
        """Keep a draft from now on; `on_found` is told of one that was there."""
        too_large = partial(self._kept.set_text, self._t("send.draft_too_large"))
        self._draft = Draft(self._view, lambda: self.draft, on_found, too_large)

    def forget(self) -> None:
        """Forget the draft."""
        if self._draft is not None:
            self._draft.forget()

    @property
    def draft(self) -> dict[str, Any]:
        """What has been written, as `restore` takes it: everything but the attachments, of which the names are kept."""
        reading = self._people.reading
        return {
            "method": self._method,
            "category": self._category.value,
            "to": [[one.text, one.label] for one in reading.found],
            "ignored": [[one.text, one.why] for one in reading.ignored],
            "mail": self._mail.content,
            "words": {method: words.content for method, words in self._words.items()},
            "files": [file.name for file in self._attachments.files],
        }

    async def restore(self, kept: Kept) -> None:
        """Put in what a browser kept; whatever of it can't be read is left out."""
        draft, typed = kept.draft, kept.typed
        words = draft.get("words")
        for method, content in words.items() if isinstance(words, dict) else ():
            if method in self._words:
                self._words[method].fill(content)
        mail = draft.get("mail")
        self._mail.fill({**(mail if isinstance(mail, dict) else {}), **typed})
        if draft.get("category") in self._categories:
            self._category.set_value(draft["category"])
        method = str(draft.get("method"))
        self._method = method if method in METHODS else self._method
        self._people.method = self._method
        self._tabs.set_value(self._method)
        if "words" in typed and self._method in self._words:
            self._words[self._method].fill(typed["words"])
        self._turn()
        known = [one for one in _pairs(draft.get("ignored")) if self._t.get(one[1], "")]
        found = (Found(text, label) for text, label in _pairs(draft.get("to")))
        await self._box.add(Reading(tuple(found), tuple(Ignored(*one) for one in known)))

    def fill(self, method: str, content: object) -> None:
        """Put in what was sent once."""
        self._method = method
        self._people.method = method
        self._tabs.set_value(method)
        if method == SMTP.name and isinstance(content, dict):
            self._mail.fill(content)
        elif method in self._words:
            self._words[method].fill(content)
        self._turn()

    async def address(self, to: list[str]) -> None:
        """Put in recipients."""
        await self._box.add(Reading(tuple(map(Found, to))))

    def _draw_category(self) -> None:
        """Offer what a message may be for: codes to whoever may send them."""
        may = ("notice", "marketing", *(("code",) if self._me.get("may_send_codes") else ()))
        self._categories = {name: self._t(f"send.category_{name}") for name in may}
        self._category = choice_field(self._t("send.category"), self._categories, "notice")
        self._category.on_value_change(self._follow)
        if "code" in self._categories:
            attrs(self._category, hint=self._t("send.category_hint"))

    def _draw_methods(self) -> None:
        with ui.tabs(on_change=self._choose).props("no-caps inline-label") as self._tabs:
            for method, symbol in METHODS.items():
                ui.tab(method, method_name(self._t, method), icon=symbol)
        self._tabs.set_value(self._method)
        attrs(self._tabs.classes("methods"), aria_label=self._t("send.method"))

    async def _choose(self) -> None:
        if not self._is_drawn or self._tabs.value == self._method:
            return
        self._method = str(self._tabs.value)
        self._turn()
        await self._box.turn(self._method)
        self._follow()

    def _turn(self) -> None:
        self._mail.place.set_visibility(self._method == SMTP.name)
        self._attachments.set_visibility(visible=self._channel.has_attachments)
        for method, words in self._words.items():
            words.place.set_visibility(self._method == method)
        self._trouble.clear()
        self._follow()

    def _follow(self) -> None:
        """Follow whatever has been typed, chosen or dropped."""
        if not self._is_drawn:
            return
        if self._draft is not None:
            self._draft.change()
        for made in self._complained:
            made.error = None
        self._complained = []
        fine = self._people.fine
        self._steps.show(self._find_step())
        self._draw_preview(self._preview)
        if self._method == SMTP.name:
            self._send.text = self._t("send.submit", n=len(fine)) if fine else self._t("send.submit_none")
            return
        words = self._words[self._method]
        if self._channel.segments is None:
            self._send.text = self._t("send.submit", n=len(fine)) if fine else self._t("send.submit_none")
            return
        numbers = [one.key for one in fine if one.kind is Kind.ADDRESS]
        segments = words.count_segments(numbers) * len(fine)
        self._send.text = self._t("send.submit_sms", n=len(fine), sms=segments) if fine else self._t("send.submit_none")

    def _draw_limits(self) -> None:
        if not self._me["available"]:
            notice(self._t("send.not_available"), "bad")
        for window in quota.windows(self._me, self._view.timezone):
            quota.bar(self._t, window)
            if window.left == 0:
                notice(self._t("send.used_up", opens=quota.opens(self._t, window)), "warn")

    async def _submit(self) -> None:
        if self._is_sending or not self._is_right():
            return
        self._is_sending = True
        self._send.props("loading")
        try:
            body = await self._body()
            if len(self._people.texts) >= MANY and self._agreed_to != self._key_of(body):
                await self._ask(body)
                return
            answer = await self._view.api.post("/api/v2/messages", body, idempotency_key=self._key_of(body))
        except ApiError as error:
            self._leave_confirming()
            self._show_refusal(error)
        else:
            self.forget()
            ui.navigate.to(f"/sent/{answer['id']}?n={answer['count']}")
        finally:
            self._is_sending = False
            self._send.props(remove="loading")

    async def _ask(self, body: Mapping[str, Any]) -> None:
        """Show who is written to, and what, before many are. Raises ApiError."""
        plain = {name: body[name] for name in ("to", "method", "content", "category") if name in body}
        if "attachment" in body and not str(body["content"].get("text") or body["content"].get("html") or ""):
            plain["content"] = {**body["content"], "text": " "}  # empty only beside an attachment, which stays here
        found = await self._view.api.post("/api/v2/messages/check", plain)

        async def send() -> None:
            self._agreed_to = self._key_of(body)
            await self._submit()

        self._steps.show("check")
        self._whole.set_visibility(False)
        self._confirming.clear()
        self._confirming.set_visibility(True)
        with self._confirming:
            confirmation = Confirmation(self._view, send, self._leave_confirming)
            confirmation.draw(self._method, self._people.fine, found, self._draw_preview)
        ui.run_javascript("window.scrollTo(0, 0); document.querySelector('.confirm-title')?.focus()")

    def _leave_confirming(self) -> None:
        self._steps.show(self._find_step())
        self._confirming.set_visibility(False)
        self._whole.set_visibility(True)

    def _draw_preview(self, preview: Preview) -> None:
        """Show the message as it arrives."""
        if self._method == SMTP.name:
            preview.mail(self._mail.content, [one.text for one in self._people.fine], self._attachments.files)
            return
        words = self._words[self._method]
        (preview.wechat if self._channel.has_accounts else preview.sms)(words.template, words.params)

    async def _body(self) -> dict[str, Any]:
        content: object = self._mail.content if self._method == SMTP.name else self._words[self._method].content
        body: dict[str, Any] = {"to": self._people.texts, "method": self._method, "content": content}
        if self._category.value != "notice":
            body["category"] = self._category.value
        if self._channel.has_attachments and self._attachments.files:
            body["attachment"] = await self._attachments.encode()
        return body

    def _key_of(self, body: Mapping[str, Any]) -> str:
        digest = hashlib.sha256(json.dumps(body, ensure_ascii=False).encode()).hexdigest()
        if digest != self._key[0]:
            self._key = (digest, secrets.token_hex(16))
        return self._key[1]

    def _find_step(self) -> str:
        """Say where on the path this is: all that is written stands beside what is left to check."""
        if not self._people.fine:
            return "who"
        is_written = not self._people.wrong and not self._complaints()
        return "check" if is_written and len(self._people.texts) < MANY else "what"

    def _complaints(self) -> Sequence[tuple[ui.input | ui.textarea, str]]:
        """List what the content lacks, and where."""
        if self._method == SMTP.name:
            return self._mail.complaints(has_files=bool(self._attachments.files))
        return self._words[self._method].complaints()

    def _is_right(self) -> bool:
        """Tell whether it can be sent; where not, say so beside each field and go to the first."""
        self._trouble.clear()
        wrong = self._people.wrong
        if not self._people.texts or wrong:
            text = self._t("send.wrong_first", n=len(wrong)) if wrong else self._t("send.to_missing")
            with self._trouble:
                notice(text, "bad")
            self._box.focus()
            return False
        if self._category.value == "code" and len(self._people.texts) > 1:
            with self._trouble:
                notice(self._t("send.code_to_one"), "bad")
            self._box.focus()
            return False
        complaints = self._complaints()
        for made, text in complaints:
            made.error = text
        self._complained = [made for made, _ in complaints]
        if complaints:
            complaints[0][0].run_method("focus")
            with self._trouble:
                notice(complaints[0][1], "bad")
        return not complaints

    def _show_refusal(self, error: ApiError) -> None:
        t = self._t
        if error.code != NOT_SURE and error.reason != "unreachable":
            self._key = ("", "")
        with self._trouble:
            if error.code == RECIPIENTS_WRONG and (named := dict(_NAMED.findall(error.detail))):
                self._box.mark(named)
            if error.code == NOT_SURE or error.reason == "unreachable":
                error_notice(
                    t("send.not_sure_title"),
                    f"{sentence(t, error)} {t('send.not_sure')}",
                    t("layout.retry"),
                    self._submit,
                )
            else:
                error_notice(t("send.refused_title"), sentence(t, error))
        ui.run_javascript("document.querySelector('.send-trouble')?.scrollIntoView({block: 'center'})")


def _pairs(said: object) -> list[tuple[str, str]]:
    """Read pairs of texts; whatever is none is left out."""
    rows = said if isinstance(said, list) else []
    return [(one[0], one[1]) for one in rows if isinstance(one, list) and len(one) == 2 and {*map(type, one)} == {str}]  # noqa: PLR2004
