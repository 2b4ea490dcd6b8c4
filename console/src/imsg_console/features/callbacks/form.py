"""The form of a callback, and its secret, which is shown once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from imsg_console.client import path
from imsg_console.features.callbacks.events import USUAL_EVENTS, name_event
from imsg_console.view import View
from imsg_console.widgets.dialogs import reading_dialog
from imsg_console.widgets.elements import element
from imsg_console.widgets.facts import code_block
from imsg_console.widgets.forms import FieldMaker, Form, ask_form
from imsg_contract.event_types import ADMINISTRATOR_EVENTS, USER_EVENTS

Refresh = Callable[[], Awaitable[None]]


async def create(view: View, refresh: Refresh) -> None:
    """Show the form of a new callback, save it, and show its secret."""

    async def save(values: Mapping[str, Any]) -> Any:  # noqa: ANN401  any JSON
        return await view.api.post("/api/v2/callbacks", values)

    empty = {"url": "", "description": "", "events": USUAL_EVENTS}
    if (created := await _ask(view, view.t("callbacks.add"), empty, save)) is not None:
        await refresh()
        show_secret(view, created["secret"])


async def change(view: View, callback: Mapping[str, Any], refresh: Refresh) -> None:
    """Show the form of a callback, and save its changes."""

    async def save(values: Mapping[str, Any]) -> Any:  # noqa: ANN401  any JSON
        return await view.api.patch(path("/api/v2/callbacks", callback["id"]), values)

    if await _ask(view, view.t("callbacks.edit"), callback, save) is not None:
        await refresh()


def show_secret(view: View, secret: str) -> None:
    """Show a secret, this once."""
    t = view.t
    with reading_dialog(view, t("callbacks.secret_title"), close=t("callbacks.secret_kept")) as opened:
        element("p", "", t("callbacks.secret_what"))
        code_block(secret, t("callbacks.secret_title"))
    opened.props("persistent")


async def _ask(
    view: View, title: str, values: Mapping[str, Any], save: Callable[[Mapping[str, Any]], Awaitable[Any]]
) -> Any:  # noqa: ANN401  any JSON
    t = view.t

    async def save_form(form: Form) -> Any:  # noqa: ANN401  any JSON
        return await save(form.read())

    names: tuple[str, ...] = (*USER_EVENTS, *(ADMINISTRATOR_EVENTS if view.session.is_admin else ()))
    make = FieldMaker(t, "callbacks.", values)
    fields = [
        make("url", max_length=2_000, placeholder="https://example.com/imsg"),
        make("description", max_length=200),
        make("events", "choices", options={name: name_event(t, name) for name in names}),
    ]
    return await ask_form(view, title, fields, t("callbacks.save"), save_form)
