"""Attachments: dropped or chosen, listed with their sizes, held to what a mail may carry."""

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass

from nicegui import ui
from nicegui.events import UploadEventArguments

from imsg_channels.file_names import drop_unseen
from imsg_console.nicegui_internals import add_files
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.elements import attrs, button, element, icon, live_text
from imsg_console.widgets.notices import toast

MAX_BYTES = 10 * 1024 * 1024
"""What the API takes in all unless an installation says otherwise; the API has the last word."""

GUARD = """
for (const name of ['dragover', 'drop']) window.addEventListener(name, (e) => e.preventDefault());
"""
"""A file dropped beside the field would replace the page."""


@dataclass(frozen=True, slots=True)
class File:
    """One attachment."""

    name: str
    content: bytes


class Attachments:
    """The field and what it holds."""

    def __init__(self, view: View, on_change: Callable[[], None]) -> None:
        self._view, self._t, self._on_change = view, view.t, on_change
        self.files: list[File] = []
        t = view.t
        with element("div", "stack tight attachments") as self._place:
            element("div", "field-label", t("send.attachments"))
            self._engine = ui.upload(
                multiple=True,
                on_upload=self._take,
                on_rejected=lambda: toast(t("send.attachments_too_large", most=size(MAX_BYTES)), good=False),
                max_total_size=MAX_BYTES,
                auto_upload=True,
            ).classes("upload-engine upload-attachments")
            with element("div", "line drop") as drop:
                icon("attach_file")
                element("span", "", t("send.drop"))
                button(t("layout.choose_file"), lambda: self._engine.run_method("pickFiles")).classes("button-small")
                self._used = attrs(live_text("muted drop-used"), role="status")
            self._list = element("ul", "stack tight attachment-list")
        drop.on("dragover", js_handler="(e) => { e.preventDefault(); e.currentTarget.classList.add('drop-over'); }")
        drop.on("dragleave", js_handler="(e) => e.currentTarget.classList.remove('drop-over')")
        drop.on(
            "drop",
            js_handler=f"""(e) => {{
                e.preventDefault();
                e.currentTarget.classList.remove('drop-over');
                {add_files(self._engine, "e.dataTransfer.files")};
            }}""",
        )
        ui.context.client.on_connect(lambda: ui.run_javascript(GUARD))
        self._show()

    @property
    def total(self) -> int:
        """How many bytes they are."""
        return sum(len(file.content) for file in self.files)

    def set_visibility(self, *, visible: bool) -> None:
        """Show or hide the field."""
        self._place.set_visibility(visible)

    async def encode(self) -> list[dict[str, str]]:
        """Return them as the API takes them."""
        return await asyncio.to_thread(_encode, list(self.files))

    async def _take(self, event: UploadEventArguments) -> None:
        content = await event.file.read()
        self._engine.reset()
        if self.total + len(content) > MAX_BYTES:
            toast(self._t("send.attachments_too_large", most=size(MAX_BYTES)), good=False)
            return
        self.files.append(File(drop_unseen(event.file.name), content))
        self._show()
        self._on_change()

    def _show(self) -> None:
        t = self._t
        self._used.text = t("send.attachments_used", used=size(self.total), most=size(MAX_BYTES))
        self._list.clear()
        self._list.set_visibility(bool(self.files))
        with self._list:
            for file in self.files:
                with element("li", "attachment"):
                    icon("description")
                    element("span", "attachment-name", line(file.name, 120))
                    element("span", "muted", size(len(file.content)))
                    remove = attrs(element("button", "remover"), type="button")
                    attrs(remove, aria_label=t("send.remove", name=line(file.name, 80)))
                    remove.on("click", lambda file=file: self._remove(file), args=[])
                    with remove:
                        icon("close")

    def _remove(self, file: File) -> None:
        self.files = [one for one in self.files if one is not file]
        self._show()
        self._on_change()


def size(count: int) -> str:
    """Write a number of bytes."""
    if count < 1024:  # noqa: PLR2004
        return f"{count} B"
    return f"{count / 1024:.0f} KiB" if count < 1024 * 1024 else f"{count / 1024 / 1024:.1f} MiB"


def _encode(files: list[File]) -> list[dict[str, str]]:
    return [{"filename": file.name, "file": base64.b64encode(file.content).decode()} for file in files]
