"""The field of recipients: typed, pasted or read from a file, judged at once; what is none is named, with its why."""

import asyncio
from collections.abc import Callable
from functools import partial

from nicegui import ui
from nicegui.events import GenericEventArguments

from imsg_channels import BY_NAME, CHANNELS
from imsg_console.client import ApiError, path
from imsg_console.features.send.list_file import ListFile
from imsg_console.features.send.lists import join, pasted
from imsg_console.features.send.pasting import Ignored, Reading, read
from imsg_console.features.send.recipients import Kind, Recipient, Recipients, judge
from imsg_console.readers import UnreadableError
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, icon, live_text
from imsg_console.widgets.notices import toast
from imsg_console.widgets.reading import run_reader

SHOWN = 40
"""Recipients drawn at once: more are found by looking for them."""

WRONG_SHOWN = 20

COPIED = 2_000
"""Lines that the clipboard is given at once."""

COPY = "(e) => navigator.clipboard?.writeText(e.currentTarget.dataset.text)"
"""Written in the click itself, or browsers refuse."""

CORRECTED = "(e) => emit(e.target.value)"

ENTERED = "(e) => e.target.blur()"

MAX_TYPED_CHARACTERS = 400
"""Of what is read while it is typed, on the loop; pages cut it as well, who speaks to the socket himself does not."""

CHECKED = 20
"""Usernames that an administrator has looked up while writing; the rest are looked up by sending."""

CONTACTS = {channel.name: channel.contact for channel in CHANNELS}
"""Method → which of a user's contacts it writes to; None: usernames are nobody there."""

PARTED = r"""
const parted = (v) => /[,;，；、\n\t]/.test(v) && (v.match(/"/g) || []).length % 2 === 0;
const take = (field, text) => {
  clearTimeout(field.waiting);
  field.value = '';
  emit(new Blob([text]).size > 3500000 ? {large: true} : {text: text});
};
"""
"""What follows runs in the browser: a list of ten thousand never becomes text in a field, and no letter gets lost."""

TYPED = f"""(e) => {{ {PARTED}
  if (e.isComposing) return;
  const field = e.target;
  if (parted(field.value)) return take(field, field.value);
  clearTimeout(field.waiting);
  field.waiting = setTimeout(() => emit({{draft: field.value.slice(0, {MAX_TYPED_CHARACTERS})}}), 250);
}}"""

PASTED = f"""(e) => {{ {PARTED}
  const text = e.clipboardData.getData('text/plain');
  if (e.target.value && !/\\s|[,;，；、]/.test(text.trim())) return;
  e.preventDefault();
  take(e.target, e.target.value ? e.target.value + '\\n' + text : text);
}}"""

LEFT = f"""(e) => {{ {PARTED}
  if (e.target.value.trim()) take(e.target, e.target.value);
}}"""


class Box:
    """The field and what it holds."""

    def __init__(self, view: View, people: Recipients, on_change: Callable[[], None]) -> None:
        self._view, self._t = view, view.t
        self.people = people
        self._on_change = on_change
        self._known: dict[tuple[str, str], str] = {}
        """(method, username) → what is wrong with it, as an administrator may know."""
        self._sought = ""
        self._draw()

    def _draw(self) -> None:
        t = self._t
        with element("div", "stack tight recipients"):
            with element("div", "spread field-head"):
                label = element("label", "field-label", t("send.to"))
                ListFile(self._view, lambda: self.people.method, self.add)
            self._field = attrs(element("textarea", "recipients-field"), rows=2, spellcheck="false", autocomplete="off")
            attrs(self._field, autocapitalize="off", aria_describedby="recipients-hint")
            attrs(label, for_=self._field.html_id)
            self._field.on("input", self._hear, js_handler=TYPED)
            self._field.on("compositionend", self._hear, js_handler=TYPED)
            self._field.on("paste", self._hear, js_handler=PASTED)
            self._field.on("blur", self._hear, js_handler=LEFT)
            self._hint = attrs(live_text("field-hint"), id="recipients-hint", aria_live="polite")
            self._summary = attrs(element("div", "line recipients-summary"), role="status")
            self._wrong = element("div", "recipients-wrong")
            self._ignored = element("div", "recipients-ignored")
            self._find = ui.input(t("send.find"), on_change=lambda event: self._seek(event.value)).props(
                "dense outlined"
            )
            self._find.classes("recipients-find")
            self._shown = element("ul", "line recipients-list")
            attrs(self._shown, aria_label=t("send.to"))
        self.show()

    async def turn(self, method: str) -> None:
        """Judge everybody by another method."""
        await self.people.turn(method)
        self.show()
        await self._look_up()

    async def add(self, reading: Reading) -> None:
        """Add what was read, and say what became of it."""
        await self.people.add(reading)
        self.show()
        self._on_change()
        await self._look_up()

    def mark(self, reasons: dict[str, str]) -> None:
        """Show which ones the API has refused, and why."""
        self.people.mark(reasons)
        self.show()
        self._on_change()

    def focus(self) -> None:
        """Put the cursor into the field."""
        self._field.run_method("focus")

    def show(self) -> None:
        """Draw what is in it."""
        self._hint.text = self._say_whom()
        attrs(self._field, placeholder=self._say_example())
        self._draw_summary()
        self._draw_wrong()
        self._draw_ignored()
        self._draw_shown()

    def _say_whom(self) -> str:
        method, to = self.people.method, BY_NAME[self.people.method].to
        return self._t.get(f"send.to_hint_{method}", to.zh if self._t.language == "zh" else to.en)

    def _say_example(self) -> str:
        method, to = self.people.method, BY_NAME[self.people.method].example["to"]
        example = to if isinstance(to, str) else ", ".join(to)
        return self._t.get(f"send.to_example_{method}", self._t("send.to_example", to=example))

    async def _hear(self, event: GenericEventArguments) -> None:
        said = event.args if isinstance(event.args, dict) else {}
        if said.get("large"):
            self._hint.text = self._t("send.paste_too_large")
        elif "text" in said:
            self.show()
            if (reading := await self._read(_sound(said["text"]))) is not None:
                await self.add(reading)
        elif "draft" in said:
            self._judge_draft(_sound(said["draft"]))

    async def _read(self, text: str) -> Reading | None:
        """Read what stands in a text; None where it can't be read, which is said."""
        self._hint.text = self._t("send.reading")
        try:
            pieces = await run_reader(self._view, pasted, text.encode(), self.people.method)
        except UnreadableError as error:
            toast(self._t(error.why, name=self._t("files.pasted")), good=False)
            self.show()
            return None
        return await asyncio.to_thread(join, pieces)

    def _judge_draft(self, text: str) -> None:
        found = read(text[:MAX_TYPED_CHARACTERS], self.people.method).texts
        if len(found) != 1:
            self._hint.text = self._say_whom()
            return
        one = judge(found[0], self.people.method)
        said = {
            Kind.ADDRESS: self._t("send.draft_good"),
            Kind.NAME: self._t("send.draft_name", name=line(one.text, 40)),
            Kind.WRONG: self._why(one),
        }
        self._hint.text = said[one.kind]

    async def _look_up(self) -> None:
        """Look usernames up where one may."""
        if not self._view.session.is_admin:
            return
        method = self.people.method
        names = [one for one in self.people if one.kind is Kind.NAME and (method, one.text) not in self._known]
        reasons = {}
        for one in names[:CHECKED]:
            why = await self._unknown(one.text)
            self._known[method, one.text] = why
        for one in self.people:
            if one.kind is Kind.NAME and (why := self._known.get((method, one.text), "")):
                reasons[one.text] = why
        if reasons:
            self.mark(reasons)

    async def _unknown(self, name: str) -> str:
        try:
            user = await self._view.api.get(path("/api/v2/users", name))
        except ApiError as error:
            return "send.no_such_user" if error.reason == "no_such_user" else ""
        return "" if user.get(CONTACTS[self.people.method] or "") else "send.no_contact"

    def _draw_summary(self) -> None:
        t = self._t
        self._summary.clear()
        counts, wrong = self.people.counts, len(self.people.wrong)
        if not counts.read:
            return
        with self._summary:
            element("strong", "", t("send.count", n=counts.adopted))
            said = t("send.counts", read=counts.read, adopted=counts.adopted, ignored=counts.ignored)
            element("span", "recipients-counts", said)
            if wrong:
                element("span", "bad-text", t("send.count_wrong", n=wrong))
            button(t("send.clear"), self._clear, kind="quiet").classes("button-small")
            named = next((one for one in self.people if one.label), None)
            if named is not None:
                element("p", "field-hint", t("send.labelled", label=line(named.label, 40), to=line(named.text, 60)))

    def _draw_wrong(self) -> None:
        t = self._t
        self._wrong.clear()
        wrong = self.people.wrong
        if not wrong:
            return
        with self._wrong:
            with element("div", "line wrong-head"):
                icon("error")
                element("strong", "", t("send.wrong_title", n=len(wrong)))
                self._draw_copy([(one.text, self._why(one)) for one in wrong])
                button(t("send.remove_wrong"), self._remove_wrong, kind="quiet").classes("button-small")
            with element("ul", "wrong-list"):
                for one in wrong[:WRONG_SHOWN]:
                    with element("li", "side-by-side wrong-one"):
                        self._draw_what(one.text, one.label, self._why(one), partial(self._correct, one))
                        self._remover(one)
            if len(wrong) > WRONG_SHOWN:
                element("p", "muted", t("send.and_more", n=len(wrong) - WRONG_SHOWN))

    def _draw_ignored(self) -> None:
        """Draw what holds nothing up: a heading, a row without an address, a duplicate."""
        t = self._t
        self._ignored.clear()
        ignored = self.people.ignored
        if not ignored:
            return
        with self._ignored:
            with element("div", "line wrong-head"):
                icon("info")
                element("strong", "", t("send.ignored_title", n=len(ignored)))
                self._draw_copy([(one.text, t(one.why)) for one in ignored])
                button(t("send.forget_ignored"), self._forget_ignored, kind="quiet").classes("button-small")
            with element("ul", "wrong-list"):
                for one in ignored[:WRONG_SHOWN]:
                    with element("li", "side-by-side wrong-one ignored-one"):
                        is_done = one.why == "send.doubled"
                        self._draw_what(one.text, "", t(one.why), None if is_done else partial(self._use, one))
            if len(ignored) > WRONG_SHOWN:
                element("p", "muted", t("send.and_more", n=len(ignored) - WRONG_SHOWN))

    def _draw_what(self, text: str, label: str, why: str, correct: Callable[[str], object] | None) -> None:
        """Draw one thing that is no recipient, with its why, and a way to correct it where it stands."""
        shown = line(text, 80)
        with element("span", "line wrong-what") as what:
            element("span", "wrong-text", shown)
            if label:
                element("span", "muted", line(label, 40))
            element("span", "wrong-why", why)
        if correct is None:
            return

        def edit() -> None:
            what.clear()
            pencil.set_visibility(False)
            with what:
                field = attrs(element("input", "wrong-input"), value=text, type="text", spellcheck="false")
                attrs(field, aria_label=self._t("send.correct", name=shown), autocapitalize="off", autocomplete="off")
                element("span", "wrong-why", why)
            field.on("keydown.enter", js_handler=ENTERED)
            field.on("blur", lambda event: correct(_sound(event.args)), js_handler=CORRECTED)
            field.run_method("focus")

        pencil = attrs(element("button", "remover"), type="button")
        attrs(pencil, aria_label=self._t("send.correct", name=shown))
        pencil.on("click", edit, args=[])
        with pencil:
            icon("edit")

    def _draw_copy(self, rows: list[tuple[str, str]]) -> None:
        text = "\n".join(f"{text}\t{why}" for text, why in rows[:COPIED])
        copy = button(self._t("layout.copy"), lambda: toast(self._t("layout.copied")), kind="quiet")
        attrs(copy.classes("button-small wrong-copy"), data_text=text)
        copy.on("click", js_handler=COPY)

    async def _correct(self, one: Recipient, text: str) -> None:
        if text.strip() != one.text and (reading := await self._read(text)) is not None:
            self.people.remove(one.key)
            await self.add(reading)
        else:
            self.show()

    async def _use(self, one: Ignored, text: str) -> None:
        """Take what was ignored for what it was corrected into; untouched, it stays ignored."""
        if text.strip() != one.text and (reading := await self._read(text)) is not None:
            self.people.forget(one)
            await self.add(reading)
        else:
            self.show()

    def _forget_ignored(self) -> None:
        self.people.forget_ignored()
        self.show()

    def _draw_shown(self) -> None:
        self._shown.clear()
        fine, wanted = self.people.fine, self._sought.lower()
        sought = [one for one in fine if wanted in f"{one.text} {one.label}".lower()] if wanted else fine
        self._find.set_visibility(len(fine) > SHOWN)
        self._shown.set_visibility(bool(fine))
        with self._shown:
            for one in sought[:SHOWN]:
                with element("li", "recipient"):
                    if one.kind is Kind.NAME:
                        icon("person")
                    element("span", "recipient-text", line(one.text, 80))
                    if one.kind is Kind.NAME:
                        element("span", "unseen", self._t("send.is_name"))
                    if one.label:
                        element("span", "recipient-label", line(one.label, 24))
                    self._remover(one)
            if len(sought) > SHOWN:
                element("li", "recipient-more", self._t("send.and_more", n=len(sought) - SHOWN))

    def _remover(self, one: Recipient) -> None:
        remove = attrs(element("button", "remover"), type="button")
        attrs(remove, aria_label=self._t("send.remove", name=line(one.text, 80)))
        remove.on("click", lambda: self._remove(one.key), args=[])
        with remove:
            icon("close")

    def _remove(self, key: str) -> None:
        self.people.remove(key)
        self.show()
        self._on_change()

    def _remove_wrong(self) -> None:
        self.people.remove_wrong()
        self.show()
        self._on_change()

    def _clear(self) -> None:
        self.people.clear()
        self.show()
        self._on_change()

    def _seek(self, text: str | None) -> None:
        self._sought = text or ""
        self._draw_shown()

    def _why(self, one: Recipient) -> str:
        return self._t(one.why) if one.why.startswith("send.") else line(one.why)


def _sound(text: object) -> str:
    """Take a text from a browser: half a surrogate pair is no character anywhere else, nor is U+0000 a part of any."""
    return str(text).encode("utf-8", "replace").decode().replace("\0", "")
