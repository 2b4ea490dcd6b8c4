"""The attachments of a mail: dropped or chosen, listed with their sizes, within what a mail may carry."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from nicegui import ui

from imsg_channels.file_names import drop_invisible
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, icon, live_text, redraw
from imsg_console.widgets.facts import write_size
from imsg_console.widgets.notices import toast
from imsg_console.widgets.uploads import drop_zone

MAX_BYTES = 10 * 1024 * 1024
"""What the API takes of all attachments unless the settings say otherwise; the API decides."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file."""

    name: str
    content: bytes


class Attachments:
    """The field and its files."""

    def __init__(self, view: View, on_change: Callable[[], None]) -> None:
        self._t, self._on_change = view.t, on_change
        self.files: list[Attachment] = []
        t = view.t
        with ui.column().classes("tight") as self.place:
            element("div", "field-label", t("send.attachments"))
            drop_zone(t, t("send.drop"), self._add, most_bytes=MAX_BYTES, multiple=True).classes("upload-attachments")
            self._used = attrs(live_text("muted"), role="status")
            self._list = element("ul", "line")
        self._show()

    async def encode(self) -> list[dict[str, str]]:
        """Return the files in the API's form."""
        return await asyncio.to_thread(_encode, list(self.files))

    def _add(self, name: str, content: bytes) -> None:
        if sum(len(file.content) for file in self.files) + len(content) > MAX_BYTES:
            toast(self._t("send.attachments_too_large", most=write_size(MAX_BYTES)), good=False)
            return
        self.files.append(Attachment(drop_invisible(name), content))
        self._show()
        self._on_change()

    def _remove(self, file: Attachment) -> None:
        self.files = [kept for kept in self.files if kept is not file]
        self._show()
        self._on_change()

    def _show(self) -> None:
        t, used = self._t, sum(len(file.content) for file in self.files)
        self._used.text = t("send.attachments_used", used=write_size(used), most=write_size(MAX_BYTES))
        with redraw(self._list):
            for file in self.files:
                with element("li", "line attachment"):
                    icon("description")
                    element("span", "attachment-name", line(file.name, 120))
                    element("span", "muted", write_size(len(file.content)))
                    remove = button("", partial(self._remove, file), kind="quiet", symbol="close")
                    attrs(remove, aria_label=t("send.remove", name=line(file.name, 80)))


def _encode(files: list[Attachment]) -> list[dict[str, str]]:
    return [{"filename": file.name, "file": base64.b64encode(file.content).decode()} for file in files]
