"""Dialogs: to read something, to confirm what cannot be undone, and the frame of any other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nicegui import ui

from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, heading
from imsg_console.widgets.notices import toast


@contextmanager
def dialog(title: str, *, wide: bool = False) -> Iterator[ui.dialog]:
    """Make a dialog to fill. Await it for what it is submitted with; None on Escape."""
    with ui.dialog() as made, element("div", "dialog dialog-wide" if wide else "dialog") as card:
        name = heading(2, title)
        attrs(card, role="document")
        attrs(made, aria_labelledby=name.html_id, role="dialog")
        yield made


def remove(made: ui.dialog) -> None:
    """Remove a dialog that was awaited, unless it went with its page: leaving that ends the wait too."""
    if not made.is_deleted:
        made.delete()


@contextmanager
def reading_dialog(view: View, title: str, *, wide: bool = False, close: str = "") -> Iterator[ui.dialog]:
    """Open a dialog that is only read; it is removed when it closes."""
    with dialog(title, wide=wide) as opened:
        yield opened
        with foot():
            button(close or view.t("layout.close"), opened.close, kind="main" if close else "quiet")
    opened.on("hide", opened.delete)
    opened.open()


@contextmanager
def foot() -> Iterator[None]:
    """Draw the place of a dialog's buttons."""
    with ui.row():
        yield


def draw_choice(view: View, opened: ui.dialog, action: str, on_agree: Callable[[], object], *, kind: str) -> None:
    """Draw the buttons of a dialog that asks: cancel, and the action by its name."""
    with foot():
        button(view.t("layout.cancel"), lambda: opened.submit(None), kind="quiet")
        button(action, on_agree, kind=kind)


async def confirm(view: View, title: str, text: str, action: str, *, danger: bool = True) -> bool:
    """Return whether the person confirms. The text says what happens; the button says what it does, never OK."""
    with dialog(title) as opened:
        element("p", "", text)
        draw_choice(view, opened, action, lambda: opened.submit("yes"), kind="danger" if danger else "main")
    agreed = await opened
    remove(opened)
    return bool(agreed)


async def ask_to_delete(view: View, url: str, texts: str, **fields: object) -> bool:
    """Confirm, delete what is at a URL of the API, and report it; return whether it is gone.

    The sentences are `TEXTS_title`, `TEXTS_text`, `TEXTS_action` and `TEXTS_done`, which take the fields. Raises
    ApiError, SessionOver.
    """
    title, text, action, done = (view.t(f"{texts}_{name}", **fields) for name in ("title", "text", "action", "done"))
    if not await confirm(view, title, text, action):
        return False
    await view.api.delete(url)
    toast(done)
    return True
