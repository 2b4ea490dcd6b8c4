"""The forms that set up and change a provider, as its kind describes them; each is checked before it is kept."""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

from nicegui import ui
from nicegui.element import Element

from imsg_console.client import path
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.elements import element
from imsg_console.widgets.facts import code_block
from imsg_console.widgets.forms import Field, Form, Part, ask_form
from imsg_console.widgets.notices import toast

Kind = Mapping[str, Any]
Refresh = Callable[[], Awaitable[None]]

PLACES = ("settings", "routes")
"""Where the API has a field, and names it by."""

LIST_SIGNS = re.compile("[,;，；、]")
"""The separators of a list, beside blanks and line breaks."""

SKIP = "skip_check"

UNKNOWN_HOST = "https://HOST"
"""What senders write where they know no public URL."""

ADDRESS = "IP"
"""The placeholder of the address from which iMSG calls the provider."""


async def load_kinds(view: View) -> Sequence[Kind]:
    """Return the kinds of providers that can be set up."""
    kinds: Sequence[Kind] = (await view.api.get("/api/v2/providers/kinds"))["kinds"]
    return kinds


async def add(view: View, refresh: Refresh) -> None:
    """Ask for the kind of provider, then show the form of its account."""
    t, kinds = view.t, await load_kinds(view)
    choices: dict[str, tuple[Kind, Mapping[str, Any] | None]] = {}
    options: dict[str, str] = {}
    for kind in kinds:
        for preset in (*kind["presets"], None):
            key = f"{kind['method']}/{kind['kind']}/{preset['name'] if preset else ''}"
            choices[key] = kind, preset
            title = preset["title"] if preset else kind["title"] if not kind["presets"] else t("providers.other")
            options[key] = f"{method_name(t, kind['method'])}：{title}" if t.language == "zh" else title
    if not options:
        toast(t("providers.none_to_add"), good=False)
        return
    chosen = Field("kind", t("providers.which"), next(iter(options)), "choice", options=options)
    text = t("providers.which_text")
    if (read := await ask_form(view, t("providers.add"), [chosen], t("layout.next_step"), text=text)) is None:
        return
    kind, preset = choices[read["kind"]]
    values = {**_draw_secrets(kind), **({} if preset is None else preset["settings"])}
    name = (preset or kind)["name" if preset else "kind"]
    named = Field("name", t("providers.name"), name, hint=t("providers.name_hint"), max_length=32)

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        read = form.read()
        given = {
            place: {field: value for field, value in fields.items() if value is not None}
            for place, fields in _read(kind, read).items()
        }
        body = {"method": kind["method"], "name": read["name"], "kind": kind["kind"], **given}
        if not await _is_sound(view, form, body):
            return None
        return await view.api.post("/api/v2/providers", body)

    title = t("providers.add_of", title=(preset or kind)["title"])
    fields = [named, *_make_fields(view, kind, values, is_new=True)]
    made = await ask_form(
        view,
        title,
        fields,
        t("providers.check_and_save"),
        save,
        text=preset["help"] if preset else "",
        wide=True,
        prepare=lambda form: _prepare(view, kind, form),
    )
    if made is not None:
        toast(t("providers.added", name=made["name"]))
        await refresh()


def _draw_secrets(kind: Kind) -> Mapping[str, str]:
    """Draw the secrets that a person would have to invent, for what is entered at the provider.

    WeChat's token is the narrowest: at most 32 letters and digits.
    """
    values = [step["value"] for step in kind["setup"]]
    named = [field["name"] for field in kind["fields"] if field["secret"]]
    return {name: secrets.token_hex(16) for name in named if any(f"{{{name}}}" in value for value in values)}


async def change(view: View, provider: Mapping[str, Any], refresh: Refresh) -> None:
    """Show the form of a provider, and save its changes."""
    t, kinds = view.t, await load_kinds(view)
    kind = next(
        (kind for kind in kinds if (kind["method"], kind["kind"]) == (provider["method"], provider["kind"])), None
    )
    if kind is None:
        toast(t("providers.none_to_add"), good=False)
        return
    url = path("/api/v2/providers", provider["method"], provider["name"])

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        given = _read(kind, form.read())
        body = {"method": provider["method"], "name": provider["name"], "kind": provider["kind"], **given}
        if not await _is_sound(view, form, body):
            return None
        return await view.api.patch(url, given)

    title = t("providers.of", action=t("providers.change"), name=line(provider["name"], 64))
    fields = _make_fields(view, kind, {**provider["settings"], **provider["routes"]}, is_new=False)
    saved = await ask_form(
        view,
        title,
        fields,
        t("providers.check_and_save"),
        save,
        wide=True,
        prepare=lambda form: _prepare(view, kind, form, provider),
    )
    if saved is not None:
        toast(t("providers.saved", name=line(provider["name"], 64)))
        await refresh()


def _prepare(view: View, kind: Kind, form: Form, provider: Mapping[str, Any] | None = None) -> None:
    """Show what the values of a form make necessary, and what to enter at the provider."""
    for field in kind["fields"]:
        _show_when(form, field["when"], form.input(_name(field)).set_visibility)
    SetUp(view, kind, form, provider).draw()


def _show_when(form: Form, when: Mapping[str, Sequence[str]], show: Callable[[bool], object]) -> None:
    """Call `show` with whether the fields have the values, now and whenever one of them changes."""
    if not when:
        return

    def judge() -> None:
        show(all(form.input(f"settings.{name}").value in values for name, values in when.items()))

    for name in when:
        form.input(f"settings.{name}").on_value_change(judge)
    judge()


class SetUp:
    """What to enter at the provider, with the name and the secret as they are typed; one that is kept is not shown."""

    def __init__(self, view: View, kind: Kind, form: Form, provider: Mapping[str, Any] | None = None) -> None:
        """Guide through a form; `provider` is the one that is changed, None: it is new."""
        self._view, self._t, self._kind, self._form, self._provider = view, view.t, kind, form, provider
        self._titles = {field["name"]: field["title"] for field in kind["fields"]}
        self._secrets = {field["name"] for field in kind["fields"] if field["secret"]}

    def draw(self) -> None:
        """Draw it, and follow what is typed."""
        for step in self._kind["setup"]:
            with element("fieldset", "stack tight") as part:
                element("legend", "", f"{self._t('providers.setup')}：{step['title']}")
                show = partial(self._show, ui.column().classes("tight"), step["title"], step["value"])
            show()
            _show_when(self._form, step["when"], part.set_visibility)
            if self._provider is None:
                self._form.input("name").on_value_change(show)
            for field in self._list_named(step["value"]):
                self._form.input(f"settings.{field}").on_value_change(show)

    def _list_named(self, value: str) -> Sequence[str]:
        return [name for name in self._titles if f"{{{name}}}" in value]

    def _show(self, place: Element, title: str, value: str) -> None:
        t, hints = self._t, []
        name = self._form.read()["name"] if self._provider is None else self._provider["name"]
        write = partial(quote, safe="") if "://" in value else str
        text = value.replace("{name}", write(name))
        for field in self._list_named(value):
            typed, label = self._form.input(f"settings.{field}").value or "", self._titles[field]
            is_kept = self._provider is not None and field in self._provider["settings"]
            if not typed and field in self._secrets:
                hints.append(t("providers.setup_kept" if is_kept else "providers.setup_missing", field=label))
            text = text.replace(f"{{{field}}}", write(typed) or f"<{label}>")
        if UNKNOWN_HOST in text:
            hints.append(t("providers.setup_host", host=UNKNOWN_HOST))
        place.clear()
        with place:
            if value == ADDRESS:
                element("p", "muted", t("providers.setup_address"))
                return
            code_block(line(text, 1_000), title)
            for hint in hints:
                element("p", "small muted", hint)
            if not hints:
                copy_button(self._view, text, name=t("providers.setup_copy", title=title))


async def _is_sound(view: View, form: Form, body: Mapping[str, Any]) -> bool:
    """Return whether a sender can log in at the provider, or the check is skipped; show problems. Raises ApiError."""
    if form.read()[SKIP]:
        return True
    answer = await view.api.post("/api/v2/providers/check", dict(body))
    if not answer["ok"]:
        form.show_sentence(view.t.join(answer["why"], answer["remedy"] or ""))
    return bool(answer["ok"])


def _make_fields(view: View, kind: Kind, values: Mapping[str, Any], *, is_new: bool) -> list[Field | Part]:
    t = view.t
    usual, rare, used_for = list[Field](), list[Field](), list[Field]()
    groups: dict[str, list[Field]] = {}
    for field in kind["fields"]:
        part = (
            groups.setdefault(field["group"], [])
            if field["group"]
            else used_for
            if field["route"]
            else rare
            if field["rare"]
            else usual
        )
        part.append(_make_field(view, _tell_apart(view, field, kind), values.get(field["name"]), is_new=is_new))
    skip = Field(SKIP, t("providers.skip"), value=False, kind="switch", hint=t("providers.skip_hint"))
    is_used = {field["group"] for field in kind["fields"] if values.get(field["name"]) is not None}
    more = [Part(title, fields, folded=title not in is_used) for title, fields in groups.items()]
    more += [Part(t("providers.rare"), rare)] if rare else []
    more += [Part(t("providers.routes"), used_for, t("providers.routes_hint"))] if used_for else []
    return [*usual, *more, Part(t("providers.check"), [skip])]


def _tell_apart(view: View, field: Mapping[str, Any], kind: Kind) -> Mapping[str, Any]:
    """Return a field of a group with the group in its title, where a field outside has the same title."""
    others = {other["title"] for other in kind["fields"] if not other["group"]}
    if not field["group"] or field["title"] not in others:
        return field
    return {**field, "title": view.t("providers.of_group", field=field["title"], group=field["group"])}


def _make_field(view: View, field: Mapping[str, Any], value: Any, *, is_new: bool) -> Field:  # noqa: ANN401  JSON
    t, name = view.t, _name(field)
    label, hint = field["title"], field["help"].replace("`", "")
    if field["secret"]:
        is_set = not is_new and value is not None
        drawn = value if is_new and value else ""
        return Field(name, label, drawn, "secret", hint=t("providers.secret_kept") if is_set else hint)
    default = field["default"] if value is None else value
    match field["type"]:
        case "choice":
            unset = {} if field["required"] or field["default"] is not None else {"": t("providers.automatic")}
            options = {**unset, **{choice: t.get(f"providers.choice_{choice}", choice) for choice in field["choices"]}}
            return Field(name, label, default or "", "choice", hint=hint, options=options)
        case "number":
            return Field(name, label, default, "whole", hint=hint, check=lambda text: _check_whole(view, text))
        case "boolean":
            return Field(name, label, bool(default), "switch", hint=hint)
        case "list":
            return Field(name, label, "\n".join(default or ()), "lines", hint=hint)
    check = (lambda text: "" if text.strip() else t("providers.missing", field=label)) if field["required"] else None
    return Field(name, label, default or "", hint=hint, check=check)


def _check_whole(view: View, text: str) -> str:
    return "" if not text.strip() or text.strip().isdecimal() else view.t("providers.no_number")


def _name(field: Mapping[str, Any]) -> str:
    """Return the name by which the API speaks of a field."""
    return f"{PLACES[field['route']]}.{field['name']}"


def _read(kind: Kind, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return settings and routes as the API takes them: null unsets a field, and one that is not shown.

    A secret that is empty stays.
    """
    read: dict[str, dict[str, Any]] = {place: {} for place in PLACES}
    for field in kind["fields"]:
        value = values.get(_name(field))
        if field["secret"] and not value and _name(field) in values:
            continue
        if field["type"] == "list":
            value = LIST_SIGNS.sub(" ", str(value or "")).split() or None
        read[PLACES[field["route"]]][field["name"]] = None if value == "" else value
    return read
