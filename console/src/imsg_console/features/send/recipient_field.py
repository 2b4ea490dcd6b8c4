"""The field of recipients: typed, pasted or read from a file, and classified at once."""

import asyncio
from collections.abc import Callable
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments

from imsg_channels import BY_NAME
from imsg_console.client import ApiError, path
from imsg_console.features.send.file_dialog import RecipientFile
from imsg_console.features.send.problem_list import Problem, draw_problems
from imsg_console.features.send.recipients import Kind, Recipient, Recipients, classify
from imsg_console.readers import UnreadableError
from imsg_console.recipients.recipient_files import join, read_pasted
from imsg_console.recipients.recipient_reader import IgnoredText, Reading, read
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, live_text, redraw
from imsg_console.widgets.notices import toast
from imsg_console.widgets.reading import run_reader

SHOWN = 10
"""Recipients that are drawn; the others are found by the field that searches."""

MAX_TYPED_CHARACTERS = 400
"""The length of a text that is classified while it is typed. The script cuts it too, but a socket can send any text."""

LOOKED_UP = 20
"""Usernames that are looked up for an administrator; the API checks the rest when the message is sent."""

SPLIT = r"""
const isList = (v) => /[,;，；、\n\t]/.test(v) && (v.match(/"/g) || []).length % 2 === 0;
const take = (field, text) => {
  clearTimeout(field.waiting);
  field.value = '';
  emit(new Blob([text]).size > 3500000 ? {large: true} : {text: text});
};
"""
"""The scripts run in a textarea of HTML, not in NiceGUI's: a list of ten thousand must not become the value of a field,
which both sides would keep, and no letter that is typed meanwhile may get lost."""

TYPED = f"""(e) => {{ {SPLIT}
  if (e.isComposing) return;
  const field = e.target;
  if (isList(field.value)) return take(field, field.value);
  clearTimeout(field.waiting);
  field.waiting = setTimeout(() => emit({{draft: field.value.slice(0, {MAX_TYPED_CHARACTERS})}}), 250);
}}"""

PASTED = f"""(e) => {{ {SPLIT}
  const text = e.clipboardData.getData('text/plain');
  if (e.target.value && !/\\s|[,;，；、]/.test(text.trim())) return;
  e.preventDefault();
  take(e.target, e.target.value ? e.target.value + '\\n' + text : text);
}}"""

LEFT = f"""(e) => {{ {SPLIT}
  if (e.target.value.trim()) take(e.target, e.target.value);
}}"""


class RecipientField:
    """The field, what is wrong or ignored, and the recipients."""

    def __init__(self, view: View, recipients: Recipients, on_change: Callable[[], None]) -> None:
        self._view, self._t, self._recipients, self._on_change = view, view.t, recipients, on_change
        self._reading = asyncio.Lock()
        self._looked_up: dict[tuple[str, str], str] = {}
        """(method, username) → the key of what is wrong with it; empty where nothing is."""
        t = view.t
        with ui.column().classes("tight") as self.place:
            with ui.row().classes("justify-between"):
                label = element("label", "field-label", t("send.to_label"))
                RecipientFile(view, lambda: self._recipients.method, self.add)
            self._field = attrs(element("textarea", "recipients-field"), rows=2, spellcheck="false", autocomplete="off")
            attrs(self._field, autocapitalize="off", aria_describedby="recipients-hint")
            attrs(label, for_=self._field.html_id)
            for event, script in (("input", TYPED), ("compositionend", TYPED), ("paste", PASTED), ("blur", LEFT)):
                self._field.on(event, self._add_typed, js_handler=script)
            self._hint = attrs(live_text("field-hint"), id="recipients-hint", aria_live="polite")
            self._summary = attrs(ui.row().classes("recipients-summary"), role="status")
            self._wrong = element("div", "recipients-wrong")
            self._ignored = element("div", "recipients-ignored")
            self._search = ui.input(t("send.find"), on_change=self._show_recipients).props("dense outlined")
            self._chips = attrs(ui.row(), role="group", aria_label=t("send.to"))
        self.show()

    async def change_method(self, method: str) -> None:
        """Classify everything for another method."""
        await self._recipients.change_method(method)
        self.show()
        await self._check_names()

    async def add(self, reading: Reading) -> None:
        """Add what was read."""
        await self._recipients.add(reading)
        self._show_change()
        await self._check_names()

    async def finish(self) -> None:
        """Wait until what was typed or pasted is read: a click on Send may follow it at once."""
        async with self._reading:
            return

    def mark(self, reasons: dict[str, str]) -> None:
        """Show which recipients the API refuses: text → why."""
        self._apply(self._recipients.mark, reasons)

    def focus(self) -> None:
        """Focus the field."""
        self._field.run_method("focus")

    def show(self) -> None:
        """Draw what is in it."""
        t, method = self._t, self._recipients.method
        channel, is_zh = BY_NAME[method], self._t.language == "zh"
        self._hint.text = t.get(f"send.to_hint_{method}", channel.to.zh if is_zh else channel.to.en)
        to = channel.example["to"]
        example = t("send.to_example", to=to if isinstance(to, str) else ", ".join(to))
        attrs(self._field, placeholder=t.get(f"send.to_example_{method}", example))
        self._show_summary()
        self._show_wrong()
        self._show_ignored()
        self._show_recipients()

    def _show_change(self) -> None:
        self.show()
        self._on_change()

    async def _add_typed(self, event: GenericEventArguments) -> None:
        typed = event.args if isinstance(event.args, dict) else {}
        if typed.get("large"):
            self._hint.text = self._t("send.paste_too_large")
        elif "text" in typed:
            async with self._reading:
                self.show()
                if (reading := await self._read(_clean(typed["text"]))) is not None:
                    await self.add(reading)
        elif "draft" in typed:
            self._describe_draft(_clean(typed["draft"])[:MAX_TYPED_CHARACTERS])

    async def _read(self, text: str) -> Reading | None:
        """Read a text; None, and shown, where it cannot be read."""
        self._hint.text = self._t("send.reading")
        try:
            pieces = await run_reader(self._view, read_pasted, text.encode(), self._recipients.method)
        except UnreadableError as error:
            toast(self._t(error.why, name=self._t("files.pasted")), good=False)
            self.show()
            return None
        return await asyncio.to_thread(join, pieces)

    def _describe_draft(self, text: str) -> None:
        """Describe a recipient that is being typed."""
        texts = read(text, self._recipients.method).texts
        if len(texts) != 1:
            self.show()
            return
        recipient = classify(texts[0], self._recipients.method)
        self._hint.text = {
            Kind.ADDRESS: self._t("send.draft_good"),
            Kind.NAME: self._t("send.draft_name", name=line(recipient.text, 40)),
            Kind.WRONG: self._explain(recipient),
        }[recipient.kind]

    async def _check_names(self) -> None:
        """Mark the usernames that can't be sent to, where the person is an administrator."""
        if not self._view.session.is_admin:
            return
        method = self._recipients.method
        names = [recipient.text for recipient in self._recipients if recipient.kind is Kind.NAME]
        for name in [name for name in names if (method, name) not in self._looked_up][:LOOKED_UP]:
            self._looked_up[method, name] = await self._find_problem(name)
        if reasons := {name: why for name in names if (why := self._looked_up.get((method, name), ""))}:
            self.mark(reasons)

    async def _find_problem(self, name: str) -> str:
        try:
            user = await self._view.api.get(path("/api/v2/users", name))
        except ApiError as error:
            return "send.no_such_user" if error.reason == "no_such_user" else ""
        return "" if user.get(BY_NAME[self._recipients.method].contact or "") else "send.no_contact"

    def _show_summary(self) -> None:
        t, counts, wrong = self._t, self._recipients.counts, len(self._recipients.wrong)
        self._summary.clear()
        if not counts.read:
            return
        with self._summary:
            element("strong", "", t("send.count", n=counts.adopted))
            numbers = t("send.counts", read=counts.read, adopted=counts.adopted, ignored=counts.ignored)
            element("span", "recipients-counts", numbers)
            if wrong:
                element("span", "bad-text", t("send.count_wrong", n=wrong))
            button(t("send.clear"), partial(self._apply, self._recipients.clear), kind="quiet")
            if (named := next((recipient for recipient in self._recipients if recipient.label), None)) is not None:
                element("p", "field-hint", t("send.labelled", label=line(named.label, 40), to=line(named.text, 60)))

    def _show_wrong(self) -> None:
        """Show the recipients that the API would refuse: they hold the message up."""
        t, wrong = self._t, self._recipients.wrong
        problems = [
            Problem(
                recipient.text,
                recipient.label,
                self._explain(recipient),
                partial(self._correct, recipient),
                partial(self._apply, self._recipients.remove, recipient.key),
            )
            for recipient in wrong
        ]
        draw_problems(self._view, self._wrong, "error", t("send.wrong_title", n=len(wrong)), problems)
        if wrong:
            with self._wrong:
                button(t("send.remove_wrong"), partial(self._apply, self._recipients.remove_wrong), kind="quiet")

    def _show_ignored(self) -> None:
        """Show what holds nothing up: headings, rows without an address, duplicates."""
        t, ignored = self._t, self._recipients.ignored
        problems = [
            Problem(piece.text, "", t(piece.why), None if piece.why == "send.doubled" else partial(self._use, piece))
            for piece in ignored
        ]
        draw_problems(self._view, self._ignored, "info", t("send.ignored_title", n=len(ignored)), problems)
        if ignored:
            with self._ignored:
                button(t("send.forget_ignored"), partial(self._apply, self._recipients.forget_ignored), kind="quiet")

    async def _correct(self, recipient: Recipient, text: str) -> None:
        if (reading := await self._read(text)) is not None:
            self._recipients.remove(recipient.key)
            await self.add(reading)

    async def _use(self, ignored: IgnoredText, text: str) -> None:
        if (reading := await self._read(text)) is not None:
            self._recipients.forget(ignored)
            await self.add(reading)

    def _show_recipients(self) -> None:
        t, fine, wanted = self._t, self._recipients.fine, str(self._search.value or "").lower()
        recipients = (
            [recipient for recipient in fine if wanted in f"{recipient.text} {recipient.label}".lower()]
            if wanted
            else fine
        )
        self._search.set_visibility(len(fine) > SHOWN)
        with redraw(self._chips):
            for recipient in recipients[:SHOWN]:
                symbol = "person" if recipient.kind is Kind.NAME else None
                remove = partial(self._apply, self._recipients.remove, recipient.key)
                with ui.chip(icon=symbol, color=None, removable=True, on_value_change=remove) as chip:
                    element("span", "recipient-text", line(recipient.text, 80))
                    if recipient.kind is Kind.NAME:
                        element("span", "unseen", t("send.is_name"))
                    if recipient.label:
                        element("span", "recipient-label", line(recipient.label, 24))
                attrs(chip.classes("recipient"), remove_aria_label=t("send.remove", name=line(recipient.text, 80)))
            if len(recipients) > SHOWN:
                element("span", "muted", t("send.and_more", n=len(recipients) - SHOWN))

    def _apply(self, change: Callable[..., object], *arguments: object) -> None:
        """Change the recipients, and show them."""
        change(*arguments)
        self._show_change()

    def _explain(self, recipient: Recipient) -> str:
        return self._t(recipient.why) if recipient.why.startswith("send.") else line(recipient.why)


def _clean(text: object) -> str:
    """Return a text of a browser without half surrogate pairs and U+0000, which are characters nowhere else."""
    return str(text).encode("utf-8", "replace").decode().replace("\0", "")
