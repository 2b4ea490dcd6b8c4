"""The forms that make, change and rotate a key, and the key itself, which is shown once."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from imsg_channels import BY_NAME, METHODS
from imsg_console.client import path
from imsg_console.message import snippets
from imsg_console.message.code_tabs import draw_code, read_base_url
from imsg_console.message.snippets import SentRequest
from imsg_console.sanitize import line
from imsg_console.texts import Texts
from imsg_console.view import View
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.copying import copy_button
from imsg_console.widgets.dialogs import reading_dialog
from imsg_console.widgets.elements import element, heading
from imsg_console.widgets.facts import code_block
from imsg_console.widgets.forms import Field, FieldMaker, Form, ask_form
from imsg_contract.api_keys import SCOPES, SEND
from imsg_contract.roles import find_forbidden_scopes

UNUSED_SCOPES = frozenset({"groups"})
"""What no route asks for yet."""

Refresh = Callable[[], Awaitable[None]]

OVERLAPS_S = (0, 3_600, 86_400)
"""How long an old key may stay valid: a day at most."""


async def create(view: View, refresh: Refresh) -> None:
    """Show the form of a new key, create it, and show it."""
    t = view.t
    empty = {"name": "", "scopes": [SEND + METHODS[0], "query"], "networks": [], "expires_at": None}

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        values = _read(view, form)
        created = await view.api.post("/api/v2/keys", {name: value for name, value in values.items() if value})
        return created["key"], values["scopes"]

    fields = _make_fields(view, empty)
    kinds = {kind: t(f"keys.kind_{kind}") for kind in ("live", "test")}
    make = FieldMaker(t, "keys.", {"kind": "live"})
    fields.insert(1, make("kind", "choice", options=kinds))
    if view.session.is_admin:
        fields.insert(1, make("username", max_length=64))
    if (created := await ask_form(view, t("keys.new"), fields, t("keys.make"), save, wide=True)) is not None:
        await refresh()
        show_key(view, *created)


async def change(view: View, key: Mapping[str, Any], refresh: Refresh) -> None:
    """Show the form of a key, and save its changes."""
    t = view.t

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        values = _read(view, form)
        if find_last_day(view, key) == form.read()["expires_at"]:
            del values["expires_at"]  # it may end at any second of that day
        return await view.api.patch(path("/api/v2/keys", key["id"]), values)

    title = t("keys.edit_of", name=line(key["name"], 64))
    if await ask_form(view, title, _make_fields(view, key), t("keys.save"), save, wide=True) is not None:
        await refresh()


async def rotate(view: View, key: Mapping[str, Any], refresh: Refresh) -> None:
    """Ask how long the old key stays valid, and show the new one."""
    t = view.t
    options = {str(seconds): t(f"keys.overlap_{seconds}") for seconds in OVERLAPS_S}
    overlap = Field("old_valid_s", t("keys.overlap"), str(OVERLAPS_S[-1]), "choice", options=options)

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        overlap_s = int(form.read()["old_valid_s"])
        return await view.api.post(f"{path('/api/v2/keys', key['id'])}/rotate", {"old_valid_s": overlap_s})

    title = t("keys.rotate_of", name=line(key["name"], 64))
    if (made := await ask_form(view, title, [overlap], t("keys.rotate"), save, text=t("keys.rotate_text"))) is not None:
        await refresh()
        show_key(view, made["key"], key["scopes"])


def show_key(view: View, key: str, scopes: Sequence[str]) -> None:
    """Show a key, this once, and the code that uses it."""
    t, url = view.t, read_base_url()
    methods = [scope.removeprefix(SEND) for scope in scopes if scope.startswith(SEND)]
    with reading_dialog(view, t("keys.made"), wide=True, close=t("keys.kept")) as opened:
        element("p", "", t("keys.made_text"))
        code_block(key, t("keys.made"))
        copy_button(view, key, t("keys.copy"))
        heading(3, t("keys.use"))
        if methods:
            example = BY_NAME[methods[0]].example
            to = [example["to"]] if isinstance(example["to"], str) else example["to"]
            request = SentRequest(url, methods[0], to, example["content"], can_query="query" in scopes)
            draw_code(view, request, key)
        else:
            code_block(snippets.curl_me(url, key), "curl")
    opened.props("persistent")


def name_scope(t: Texts, scope: str) -> str:
    """Return the title of a scope."""
    if scope.startswith(SEND):
        return t("keys.scope_send", method=method_name(t, scope.removeprefix(SEND)))
    return t.get(f"keys.scope_{scope}", scope)


def _make_fields(view: View, key: Mapping[str, Any]) -> list[Field]:
    t = view.t
    scopes = [*(SEND + method for method in METHODS), *SCOPES]
    beyond = UNUSED_SCOPES | find_forbidden_scopes(view.session.role, frozenset(scopes))
    offered = [scope for scope in scopes if scope not in beyond]
    options = {scope: name_scope(t, scope) for scope in dict.fromkeys([*offered, *key["scopes"]])}

    shown = {**key, "networks": "\n".join(key["networks"]), "expires_at": find_last_day(view, key)}
    make = FieldMaker(t, "keys.", shown)
    return [
        make("name", max_length=64),
        make("networks", "lines"),
        make("expires_at", "date"),
        make("scopes", "choices", options=options),
    ]


def _read(view: View, form: Form) -> dict[str, Any]:
    """Return the fields in the API's form."""
    values = form.read()
    last_day = values["expires_at"]
    return {
        **values,
        "networks": values["networks"].split() or None,
        "expires_at": _end_day(date.fromisoformat(last_day), view.times.zone) if last_day else None,
    }


def find_last_day(view: View, key: Mapping[str, Any]) -> str:
    """Return the last day on which a key works; empty where it does not end."""
    if key["expires_at"] is None:
        return ""
    last = datetime.fromisoformat(key["expires_at"]) - timedelta(microseconds=1)
    return str(last.astimezone(view.times.zone).date())


def _end_day(day: date, zone: ZoneInfo) -> str:
    """Return the first moment after a day."""
    return datetime.combine(day + timedelta(days=1), time(), zone).isoformat()
