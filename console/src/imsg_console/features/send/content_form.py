"""The fields of what is sent: a mail's subject, text and HTML; an SMS's or WeChat message's words, by its template."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_channels import BY_NAME
from imsg_console.features.send.segments import measure
from imsg_console.features.send.templates import Template, complaints
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, element, live_text

MAX_SUBJECT = 255

DEBOUNCE = "debounce=250"

FREE = ""
"""The choice of free text among the templates."""

MARKDOWN = "{markdown}"
"""The choice of Markdown beside plain text; no template is called so."""

FREELY = (FREE, MARKDOWN)

Changed = Callable[[], None]


def field(made: ui.input | ui.textarea, name: str) -> None:
    """Give a field its looks, and a name that tests and password managers find it by."""
    made.props(f"outlined stack-label {DEBOUNCE}").classes(f"field field-{name}")


class Mail:
    """The fields of a mail."""

    def __init__(self, view: View, on_change: Changed) -> None:
        t = view.t
        self._t = t
        with element("div", "stack") as self.place:
            self.subject = ui.input(t("send.subject"), on_change=on_change).props(f"counter maxlength={MAX_SUBJECT}")
            field(self.subject, "subject")
            self.text = ui.textarea(t("send.text"), on_change=on_change).props("autogrow")
            field(self.text, "text")
            self._switch = ui.switch(t("send.with_html"), on_change=self._turn)
            self.html = ui.textarea(t("send.html"), on_change=on_change).props('spellcheck="false"')
            field(self.html, "html")
            self.html.set_visibility(False)
        self._on_change = on_change

    def _turn(self) -> None:
        self.html.set_visibility(bool(self._switch.value))
        self._on_change()

    def fill(self, content: Mapping[str, Any]) -> None:
        """Put in what was sent once."""
        self.subject.value = str(content.get("subject") or "")
        self.text.value = str(content.get("text") or "")
        self.html.value = str(content.get("html") or "")
        self._switch.value = bool(content.get("html"))
        self._turn()

    @property
    def content(self) -> dict[str, str]:
        """What to send."""
        html = sound(self.html.value) if self._switch.value else ""
        content = {"subject": sound(self.subject.value), "text": sound(self.text.value)}
        return {**content, "html": html} if html else content

    def complaints(self, *, has_files: bool) -> list[tuple[ui.input | ui.textarea, str]]:
        """Say what is missing, and where."""
        content = self.content
        found: list[tuple[ui.input | ui.textarea, str]] = []
        if not content["subject"].strip():
            found.append((self.subject, self._t("send.subject_missing")))
        if not content["text"] and "html" not in content and not has_files:
            found.append((self.text, self._t("send.text_missing")))
        return found


class Words:
    """The fields of a message that is no mail: free text, Markdown where the channel takes it, or a template's."""

    def __init__(self, view: View, method: str, templates: Sequence[Template], on_change: Changed) -> None:
        self._t, self.method, self._on_change = view.t, method, on_change
        self._templates = {one.name: one for one in templates}
        self._default = next((one for one in templates if one.takes_text), None)
        self._params: dict[str, ui.input | ui.textarea] = {}
        has_markdown = BY_NAME[method].has_markdown
        free = view.t("send.plain_text" if has_markdown else "send.free_text")
        choices = {FREE: free} if self._default or not templates else {}
        choices |= {MARKDOWN: "Markdown"} if has_markdown else {}
        choices |= {one.name: self._name_template(one) for one in templates if one is not self._default}
        label = view.t("send.format" if has_markdown else "send.template")
        with element("div", "stack") as self.place:
            self._choice = ui.select(choices, label=label, value=next(iter(choices)))
            self._choice.props("outlined stack-label").classes("field field-template")
            self._choice.on_value_change(self._draw)
            self._choice.set_visibility(len(choices) > 1)
            self._fields = element("div", "stack")
            self.count = attrs(live_text("field-hint"), role="status")
        self._draw()

    @property
    def template(self) -> Template | None:
        """The template in use, if it is known."""
        return self._templates.get(self._choice.value) or (self._default if self._choice.value == FREE else None)

    @property
    def params(self) -> dict[str, str]:
        """What goes into its variables."""
        return {name: sound(one.value) for name, one in self._params.items()}

    @property
    def content(self) -> str | dict[str, Any]:
        """What to send."""
        if self._choice.value in FREELY:
            text = next(iter(self.params.values()), "")
            return {"markdown": text} if self._choice.value == MARKDOWN else text
        return {"template": self._choice.value, "params": self.params}

    def fill(self, content: object) -> None:
        """Put in what was sent once."""
        if isinstance(content, dict) and content.get("template") in self._templates:
            self._choice.value = content["template"]
            for name, value in (content.get("params") or {}).items():
                if name in self._params:
                    self._params[name].value = str(value)
        elif isinstance(content, dict) and MARKDOWN in self._choice.options and "markdown" in content:
            self._choice.value = MARKDOWN
            next(iter(self._params.values())).value = str(content["markdown"])
        elif isinstance(content, str) and self._params:
            next(iter(self._params.values())).value = content

    def complaints(self) -> list[tuple[ui.input | ui.textarea, str]]:
        """Say what the API would refuse, and where."""
        if not self._params:
            return []  # a template without variables
        first = next(iter(self._params.values()))
        for made in self._params.values():
            if not made.value or not made.value.strip():
                return [(made, self._t("send.text_missing"))]
        wrong = complaints(self.template, self.params, is_sms=BY_NAME[self.method].segments is not None)
        return [(first, self._t(key, **fields)) for key, fields in wrong]

    def count_segments(self, numbers: list[str]) -> int:
        """Count the segments to these numbers, and say so."""
        template = self.template
        whole = template.fill(self.params) if template else "".join(self.params.values())
        length = measure(whole, numbers)
        wrong = complaints(template, self.params, is_sms=True)
        if wrong and any(self.params.values()):
            key, fields = wrong[0]
            self.count.text = self._t(key, **fields)
            self.count.classes("bad-text")
            return length.segments
        self.count.classes(remove="bad-text")
        self.count.text = self._t(
            "send.segments", letters=length.letters, n=length.segments, room=length.room, alphabet=length.alphabet
        )
        return length.segments

    def _name_template(self, template: Template) -> str:
        words = template.text.replace("${", "〔").replace("}", "〕")
        return f"{template.name} · {words}" if words else template.name

    def _draw(self) -> None:
        written = next(iter(self.params.values()), "") if MARKDOWN in self._choice.options else ""
        self._fields.clear()
        self._params = {}
        template = self.template
        with self._fields:
            if self._choice.value in FREELY:
                name = next(iter(template.variables)) if template else "content"
                self._params[name] = self._wide(self._t("send.words"))
                self._params[name].value = written
            else:
                for name in template.variables if template else ():
                    self._params[name] = self._narrow(name, template.variables[name] if template else None)
        self._on_change()

    def _wide(self, label: str) -> ui.textarea:
        made = ui.textarea(label, on_change=self._on_change).props("autogrow")
        field(made, "words")
        return made

    def _narrow(self, name: str, longest: int | None) -> ui.input:
        made = ui.input(name, on_change=self._on_change)
        field(made, "param")
        if longest is not None:
            made.props(f"counter maxlength={longest:d}")
        return made


def sound(text: object) -> str:
    """Take a text from a browser: half a surrogate pair is no character anywhere else."""
    return str(text or "").encode("utf-8", "replace").decode()
