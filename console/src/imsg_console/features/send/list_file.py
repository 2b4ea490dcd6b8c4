"""Recipients from a file: chosen, its sheet, column and heading confirmed, then taken."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui
from nicegui.events import UploadEventArguments

from imsg_console.features.send.lists import Overview, join, overviews, recipients
from imsg_console.features.send.pasting import Reading
from imsg_console.readers import UnreadableError
from imsg_console.sanitize import line
from imsg_console.spreadsheets import ACCEPT
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, element
from imsg_console.widgets.notices import toast
from imsg_console.widgets.reading import run_reader
from imsg_console.widgets.uploads import tell_refused

MAX_FILE_BYTES = 5 * 1024 * 1024

EVERYTHING = -1
"""The column that stands for all of them."""

Take = Callable[[Reading], Awaitable[None]]

_Chosen = tuple[int, int | None, bool]
"""Which sheet, which of its columns (None: all), and whether it has a heading."""


class ListFile:
    """A button that reads a file of recipients and hands what it read to `take`."""

    def __init__(self, view: View, method: Callable[[], str], take: Take) -> None:
        self._view, self._t, self._method, self._take = view, view.t, method, take
        self._engine = ui.upload(
            on_upload=self._read,
            max_file_size=MAX_FILE_BYTES,
            auto_upload=True,
        )
        attrs(self._engine, accept=ACCEPT)
        tell_refused(self._engine, self._t, MAX_FILE_BYTES)
        self._engine.classes("upload-engine upload-list")
        button(self._t("send.from_file"), self._pick, kind="quiet", symbol="upload_file").classes("button-small")

    def _pick(self) -> None:
        self._engine.run_method("pickFiles")

    async def _read(self, event: UploadEventArguments) -> None:
        self._engine.reset()
        content, method = await event.file.read(), self._method()
        try:
            tables = [Overview(**one) for one in await run_reader(self._view, overviews, content, method)]
            if len(tables) == 1 and tables[0].width == 1 and not tables[0].has_heading:
                chosen: _Chosen | None = (0, 0, False)
            else:
                chosen = await self._ask(tables, event.file.name)
            if chosen is not None:
                pieces = await run_reader(self._view, recipients, content, method, *chosen)
                await self._take(await asyncio.to_thread(join, pieces))
        except UnreadableError as error:
            toast(self._t(error.why, name=line(event.file.name, 60)), good=False)

    async def _ask(self, tables: Sequence[Overview], name: str) -> "_Chosen | None":
        """Ask which of a file is wanted; None: nothing."""
        t = self._t
        with dialog(t("send.file_title", name=line(name, 60)), wide=True) as asked:
            sheet = ui.select(
                {number: line(one.name, 60) for number, one in enumerate(tables)}, label=t("files.sheet"), value=0
            ).props("outlined")
            sheet.set_visibility(len(tables) > 1)
            column = ui.select(self._columns(tables[0]), label=t("send.column"), value=_choose_column(tables[0]))
            column.props("outlined")
            heading = ui.checkbox(t("send.has_heading"), value=tables[0].has_heading)
            with attrs(element("div", "table-scroll"), tabindex=0, role="region", aria_label=t("send.preview")):
                rows = element("table", "table file-table")

            def count() -> int:
                chosen: Overview = tables[sheet.value]
                filled = chosen.filled_below if heading.value else chosen.filled
                return sum(filled) if column.value == EVERYTHING else filled[column.value]

            def turn() -> None:
                column.set_options(self._columns(tables[sheet.value]), value=_choose_column(tables[sheet.value]))
                heading.value = tables[sheet.value].has_heading
                show()

            def show() -> None:
                rows.clear()
                with rows:
                    _draw(tables[sheet.value], column.value, has_heading=bool(heading.value))
                take.text = t("send.take", n=count())

            with element("div", "actions dialog-foot"):
                button(t("layout.cancel"), lambda: asked.submit(None), kind="quiet")
                take = button("", lambda: asked.submit(True), kind="main")  # noqa: FBT003  the answer itself
            sheet.on_value_change(turn)
            column.on_value_change(show)
            heading.on_value_change(show)
            show()
        is_taken = await asked
        chosen = (sheet.value, None if column.value == EVERYTHING else column.value, bool(heading.value))
        asked.delete()
        return chosen if is_taken else None

    def _columns(self, found: Overview) -> dict[int, str]:
        names = {number: self._column(found, number) for number in range(found.width)}
        return {**names, EVERYTHING: self._t("send.every_column")} if found.width > 1 else names

    def _column(self, found: Overview, number: int) -> str:
        name = found.heading[number] if found.has_heading and number < len(found.heading) else ""
        example = line(found.examples[number], 40) or "—"
        return f"{line(name, 40)} ({example})" if name else self._t("send.column_number", n=number + 1, example=example)


def _choose_column(found: Overview) -> int:
    return EVERYTHING if found.column is None else found.column


def _draw(found: Overview, column: int, *, has_heading: bool) -> None:
    if has_heading:
        with element("thead"), element("tr"):
            for number in range(found.width):
                cell = found.heading[number] if number < len(found.heading) else ""
                attrs(element("th", _mark(number, column), line(cell, 60)), scope="col")
    with element("tbody"):
        for row in found.first_below if has_heading else found.first:
            with element("tr"):
                for number in range(found.width):
                    element("td", _mark(number, column), line(row[number] if number < len(row) else "", 60))


def _mark(number: int, column: int) -> str:
    return "file-chosen" if column in (number, EVERYTHING) else "muted"
