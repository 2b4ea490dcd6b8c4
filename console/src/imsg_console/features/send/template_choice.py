"""A template of the API in place of words: the choice of it, its language, and its params."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_console.client import ApiError, path
from imsg_console.features.send.content_form import Problem, clean, style_field
from imsg_console.layout import sentence
from imsg_console.recipients.recipient_reader import FoundRecipient
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, element, live_text
from imsg_console.widgets.fields import choice_field

PATH = "/api/v2/templates"

OWN_WORDS = ""
"""The choice of no template."""


class TemplateChoice:
    """The fields; nothing of them shows where there is no published template of the method."""

    def __init__(self, view: View, templates: Sequence[Mapping[str, Any]], on_change: Callable[[], None]) -> None:
        """`templates` are all of GET /api/v2/templates."""
        self._view, self._t, self._on_change = view, view.t, on_change
        self._templates = [one for one in templates if one["from"] != "settings" and one["published"] is not None]
        self._method = ""
        self._known: Mapping[str, Any] | None = None
        self._inputs: dict[str, ui.input] = {}
        self._asked = 0
        self.shown: Mapping[str, Any] | None = None
        """The answer of POST …/preview to what is filled in; None where there is none."""
        t = self._t
        with element("div", "stack") as self._place:
            self._choice = choice_field(t("send.saved_template"), {OWN_WORDS: t("send.own_words")}, OWN_WORDS)
            self._choice.on_value_change(self._choose)
            self._language = choice_field(t("send.language"), {"": ""}, "").on_value_change(self._change)
            self._fields = element("div", "stack")
            self._hint = attrs(live_text("field-hint"), role="status")
        self._language.set_visibility(False)

    @property
    def name(self) -> str:
        """The chosen template; empty where a message has words of its own."""
        return str(self._choice.value or OWN_WORDS)

    @property
    def takes(self) -> Sequence[str] | None:
        """The params that it takes; None where a message has words of its own."""
        return None if not self.name else [str(one["name"]) for one in (self._known or {}).get("params", ())]

    @property
    def fields(self) -> dict[str, Any]:
        """What a send has of it."""
        language = {"language": self._language.value} if self._language.value else {}
        return {"template": self.name, "params": self._params, **language}

    @property
    def _params(self) -> dict[str, str]:
        return {name: text for name, made in self._inputs.items() if (text := clean(made.value))}

    def show_method(self, method: str) -> None:
        """Offer the templates of a method."""
        if method == self._method:
            return
        self._method = method
        found = [one["name"] for one in self._templates if any(method in has for has in one["languages"].values())]
        options = {OWN_WORDS: self._t("send.own_words")} | {name: line(name, 64) for name in found}
        self._choice.set_options(options, value=self.name if self.name in options else OWN_WORDS)
        self._place.set_visibility(bool(found))

    def find_problems(self, *, has_columns: bool) -> Sequence[Problem]:
        """Return the params that are missing; where recipients bring columns of their own, the API names the rows."""
        needed = [one["name"] for one in (self._known or {}).get("params", ()) if one["required"]]
        missing = [name for name in needed if name not in self._params]
        return [] if has_columns else [(self._inputs[name], self._t("send.param_missing")) for name in missing]

    async def preview(self, recipient: FoundRecipient) -> Mapping[str, Any]:
        """Return what a recipient would get. Raises ApiError."""
        own = {name: text for name, text in recipient.params.items() if name in (self.takes or ())}
        body = {"method": self._method, "params": self._params | own, "version": (self._known or {}).get("version")}
        if language := recipient.language or self._language.value:
            body["language"] = language
        answer: Mapping[str, Any] = await self._view.api.post(path(PATH, self.name, "preview"), body)
        return answer

    async def restore(self, kept: object) -> None:
        """Choose what `fields` were of a draft; whatever does not fit is left out."""
        fields = kept if isinstance(kept, dict) else {}
        name, params = fields.get("template"), fields.get("params")
        if name not in self._choice.options or not name:
            return
        self._choice.set_value(name)
        await self._choose()
        for param, text in params.items() if isinstance(params, dict) else ():
            if param in self._inputs:
                self._inputs[param].set_value(str(text))
        if fields.get("language") in self._language.options:
            self._language.set_value(fields["language"])

    async def _choose(self) -> None:
        name = self.name
        if self._known is not None and self._known["name"] == name:
            return
        published = next((one["published"] for one in self._templates if one["name"] == name), None)
        known = await self._view.api.get(path(PATH, name), version=published) if name else None
        if name != self.name:
            return  # another was chosen meanwhile
        self._known, self._inputs = known, {}
        self._fields.clear()
        languages = [has for has, methods in (known or {}).get("languages", {}).items() if self._method in methods]
        default = known["default_language"] if known else ""
        self._language.set_options(languages, value=default if default in languages else next(iter(languages), None))
        self._language.set_visibility(len(languages) > 1)
        with self._fields:
            for one in (known or {}).get("params", ()):
                made = ui.input(line(one["name"], 64), on_change=self._change)
                style_field(made, "param")
                attrs(made, placeholder=line(one["example"] or "", 64))
                if one["max"]:
                    made.props(f"counter maxlength={one['max']:d}")
                self._inputs[one["name"]] = made
        await self._change()

    async def _change(self) -> None:
        """Preview what is filled in; the answer to what was filled in last counts."""
        self._asked += 1
        asked, problem = self._asked, ""
        answer = None
        if self.name:
            try:
                answer = await self.preview(FoundRecipient(""))
            except ApiError as error:
                problem = sentence(self._t, error)
        if asked != self._asked:
            return
        self.shown = answer
        hint = self._t("send.params_hint") if self._inputs else ""
        self._hint.text = problem or hint
        self._hint.classes(add="bad-text" if problem else "", remove="" if problem else "bad-text")
        self._on_change()
