"""The fields of the content: of a mail its subject, text and HTML; else a text, or the variables of a template."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nicegui import ui

from imsg_channels import BY_NAME
from imsg_console.features.send.attachments import Attachment
from imsg_console.features.send.preview import Preview
from imsg_console.features.send.segments import measure
from imsg_console.features.send.templates import Template, find_problems
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, live_text

MAX_SUBJECT = 255

FREE = ""
"""The choice of free text among the templates."""

MARKDOWN = "{markdown}"
"""The choice of Markdown; no template has this name."""

FREE_CHOICES = (FREE, MARKDOWN)

OnChange = Callable[[], None]

Problem = tuple[ui.input | ui.textarea, str]
"""A field, and what is wrong with it."""


def style_field(made: ui.input | ui.textarea, name: str) -> None:
    """Style a field, and give it the class by which the script of drafts finds it."""
    made.props("outlined stack-label debounce=250").classes(f"field field-{name}")


class MailForm:
    """The fields of a mail."""

    def __init__(self, view: View, on_change: OnChange) -> None:
        self._t, self._on_change = view.t, on_change
        t = view.t
        with ui.column() as self.place:
            self._subject = ui.input(t("send.subject"), on_change=on_change).props(f"counter maxlength={MAX_SUBJECT}")
            self._text = ui.textarea(t("send.text"), on_change=on_change).props("autogrow")
            self._switch = ui.switch(t("send.with_html"), on_change=self._show_html)
            self._html = ui.textarea(t("send.html"), on_change=on_change).props('spellcheck="false"')
        for made, name in ((self._subject, "subject"), (self._text, "text"), (self._html, "html")):
            style_field(made, name)
        self._html.set_visibility(False)

    def _show_html(self) -> None:
        self._html.set_visibility(bool(self._switch.value))
        self._on_change()

    def fill(self, content: object) -> None:
        """Fill in a content; whatever does not fit is left out."""
        if not isinstance(content, dict):
            return
        self._subject.value = str(content.get("subject") or "")
        self._text.value = str(content.get("text") or "")
        self._html.value = str(content.get("html") or "")
        self._switch.value = bool(content.get("html"))
        self._show_html()

    @property
    def content(self) -> dict[str, str]:
        """The content in the API's form."""
        content = {"subject": clean(self._subject.value), "text": clean(self._text.value)}
        html = clean(self._html.value) if self._switch.value else ""
        return {**content, "html": html} if html else content

    def find_problems(self, *, has_files: bool) -> list[Problem]:
        """Return what is missing, and where."""
        content = self.content
        problems: list[Problem] = []
        if not content["subject"].strip():
            problems.append((self._subject, self._t("send.subject_missing")))
        if not content["text"] and "html" not in content and not has_files:
            problems.append((self._text, self._t("send.text_missing")))
        return problems

    def show(self, preview: Preview, to: Sequence[str], files: Sequence[Attachment]) -> None:
        """Show the mail as it arrives."""
        preview.show_mail(self.content, to, files)


class TextForm:
    """The fields of other channels: free text, Markdown where the channel supports it, or a template's variables."""

    def __init__(self, view: View, method: str, templates: Sequence[Template], on_change: OnChange) -> None:
        self._t, self._on_change, self._channel = view.t, on_change, BY_NAME[method]
        self._templates = {template.name: template for template in templates}
        self._default = next((template for template in templates if template.takes_text), None)
        self._inputs: dict[str, ui.input | ui.textarea] = {}
        self.signature = ""
        """Of the sender that is chosen; empty: the account's own."""
        t, has_markdown = view.t, self._channel.has_markdown
        choices = {}
        if self._default or not templates:
            choices[FREE] = t("send.plain_text" if has_markdown else "send.free_text")
        if has_markdown:
            choices[MARKDOWN] = "Markdown"
        choices |= {template.name: _name_template(template) for template in templates if template is not self._default}
        label = t("send.format" if has_markdown else "send.template")
        with ui.column() as self.place:
            self._choice = ui.select(choices, label=label, value=next(iter(choices)), on_change=self._draw)
            self._choice.props("outlined stack-label").classes("field field-template").set_visibility(len(choices) > 1)
            self._fields = ui.column()
            self._length = attrs(live_text("field-hint"), role="status")
        self._draw()

    @property
    def template(self) -> Template | None:
        """The template in use, if it is known, with the signature of the sender."""
        template = self._templates.get(self._choice.value) or (self._default if self._choice.value == FREE else None)
        return (
            replace(template, signature=f"【{self.signature}】")
            if template is not None and self.signature
            else template
        )

    @property
    def params(self) -> dict[str, str]:
        """The values of the template's variables."""
        return {name: clean(made.value) for name, made in self._inputs.items()}

    @property
    def content(self) -> str | dict[str, Any]:
        """The content in the API's form."""
        if self._choice.value in FREE_CHOICES:
            text = next(iter(self.params.values()), "")
            return {"markdown": text} if self._choice.value == MARKDOWN else text
        return {"template": self._choice.value, "params": self.params}

    def fill(self, content: object) -> None:
        """Fill in a content; whatever does not fit is left out."""
        if isinstance(content, dict) and content.get("template") in self._templates:
            self._choice.value = content["template"]
            for name, value in (content.get("params") or {}).items():
                if name in self._inputs:
                    self._inputs[name].value = str(value)
        elif isinstance(content, dict) and MARKDOWN in self._choice.options and "markdown" in content:
            self._choice.value = MARKDOWN
            next(iter(self._inputs.values())).value = str(content["markdown"])
        elif self._inputs and isinstance(words := content.get("text") if isinstance(content, dict) else content, str):
            next(iter(self._inputs.values())).value = words

    def find_problems(self, *, has_files: bool) -> list[Problem]:  # noqa: ARG002  as a mail
        """Return what the API would refuse, and where."""
        for made in self._inputs.values():
            if not made.value or not made.value.strip():
                return [(made, self._t("send.text_missing"))]
        if not self._inputs:
            return []  # a template without variables
        first = next(iter(self._inputs.values()))
        problems = find_problems(self.template, self.params, is_sms=self._channel.segments is not None)
        return [(first, self._t(key, **fields)) for key, fields in problems]

    def show(self, preview: Preview, to: Sequence[str], files: Sequence[Attachment]) -> None:  # noqa: ARG002  as a mail
        """Show the message as it arrives."""
        (preview.show_wechat if self._channel.has_accounts else preview.show_sms)(self.template, self.params)

    def count_segments(self, numbers: list[str]) -> int:
        """Count the segments to these numbers, and show them."""
        template = self.template
        length = measure(template.fill(self.params) if template else "".join(self.params.values()), numbers)
        problems = find_problems(template, self.params, is_sms=True) if any(self.params.values()) else []
        self._length.classes(add="bad-text" if problems else "", remove="" if problems else "bad-text")
        if problems:
            key, fields = problems[0]
            self._length.text = self._t(key, **fields)
        else:
            counts = {"letters": length.letters, "n": length.segments, "room": length.room}
            self._length.text = self._t("send.segments", **counts, alphabet=length.alphabet)
        return length.segments

    def _draw(self) -> None:
        """Draw the fields of what is chosen; a text stays when its format changes."""
        text = next(iter(self.params.values()), "") if MARKDOWN in self._choice.options else ""
        self._fields.clear()
        self._inputs = {}
        template = self.template
        with self._fields:
            if self._choice.value in FREE_CHOICES:
                made = ui.textarea(self._t("send.words"), value=text, on_change=self._on_change).props("autogrow")
                style_field(made, "words")
                self._inputs[next(iter(template.variables)) if template else "content"] = made
            elif template:
                for name, longest in template.variables.items():
                    self._inputs[name] = self._draw_variable(name, longest)
        self._on_change()

    def _draw_variable(self, name: str, longest: int | None) -> ui.input:
        made = ui.input(name, on_change=self._on_change)
        style_field(made, "param")
        return made if longest is None else made.props(f"counter maxlength={longest:d}")


def _name_template(template: Template) -> str:
    text = template.text.replace("${", "〔").replace("}", "〕")
    return f"{template.name} · {text}" if text else template.name


def clean(text: object) -> str:
    """Return a text of a browser without half surrogate pairs, which are no character anywhere else."""
    return str(text or "").encode("utf-8", "replace").decode()
