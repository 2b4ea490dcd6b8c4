"""Recipients from a file: chosen, its column and heading confirmed, then taken."""

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui
from nicegui.events import UploadEventArguments

from imsg_console.plain import line
from imsg_console.sending.lists import Table, UnreadableError, table
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog
from imsg_console.widgets.elements import attrs, button, classed
from imsg_console.widgets.notices import toast

MAX_FILE_BYTES = 5 * 1024 * 1024

PREVIEWED = 5

EVERYTHING = -1
"""The column that stands for all of them."""

Take = Callable[[Sequence[str]], Awaitable[None]]


class ListFile:
    """A button that reads a file of recipients and hands its cells to `take`."""

    def __init__(self, view: View, method: Callable[[], str], take: Take) -> None:
        self._view, self._t, self._method, self._take = view, view.t, method, take
        self._engine = ui.upload(
            on_upload=self._read,
            on_rejected=lambda: toast(self._t("send.file_too_large"), good=False),
            max_file_size=MAX_FILE_BYTES,
            auto_upload=True,
        ).props('accept=".txt,.csv,.tsv,text/*"')
        self._engine.classes("upload-engine upload-list")
        button(self._t("send.from_file"), self._pick, kind="quiet", symbol="upload_file").classes("button-small")

    def _pick(self) -> None:
        self._engine.run_method("pickFiles")

    async def _read(self, event: UploadEventArguments) -> None:
        self._engine.reset()
        try:
            found = table(await event.file.read(), self._method())
        except UnreadableError as error:
            toast(self._t(error.why, name=line(event.file.name, 60)), good=False)
            return
        if found.width == 1 and not found.has_heading:
            await self._take(found.values(0, has_heading=False))
            return
        await self._ask(found, event.file.name)

    async def _ask(self, found: Table, name: str) -> None:
        t = self._t
        names = {number: self._column(found, number) for number in range(found.width)}
        if found.width > 1:
            names[EVERYTHING] = t("send.every_column")
        with dialog(t("send.file_title", name=line(name, 60)), wide=True) as asked:
            column = ui.select(names, label=t("send.column"), value=_chosen(found)).props("outlined")
            heading = ui.checkbox(t("send.has_heading"), value=found.has_heading)
            with attrs(classed("div", "table-scroll"), tabindex=0, role="region", aria_label=t("send.preview")):
                rows = classed("table", "table file-table")

            def values() -> list[str]:
                return found.values(
                    None if column.value == EVERYTHING else column.value, has_heading=bool(heading.value)
                )

            def show() -> None:
                rows.clear()
                with rows:
                    _draw(found, column.value, has_heading=bool(heading.value))
                take.text = t("send.take", n=len(values()))

            with classed("div", "dialog-foot"):
                button(t("frame.cancel"), lambda: asked.submit(None), kind="quiet")
                take = button("", lambda: asked.submit(values()), kind="main")
            column.on_value_change(show)
            heading.on_value_change(show)
            show()
        taken = await asked
        asked.delete()
        if taken is not None:
            await self._take(taken)

    def _column(self, found: Table, number: int) -> str:
        cells = found.values(number, has_heading=found.has_heading)
        name = found.rows[0][number] if found.has_heading and number < len(found.rows[0]) else ""
        example = line(cells[0], 40) if cells else "—"
        return f"{line(name, 40)} ({example})" if name else self._t("send.column_number", n=number + 1, example=example)


def _chosen(found: Table) -> int:
    return EVERYTHING if found.column is None else found.column


def _draw(found: Table, column: int, *, has_heading: bool) -> None:
    first, rest = (found.rows[0], found.rows[1:]) if has_heading else ((), found.rows)
    if first:
        with classed("thead"), classed("tr"):
            for number in range(found.width):
                cell = first[number] if number < len(first) else ""
                attrs(classed("th", _mark(number, column), line(cell, 60)), scope="col")
    with classed("tbody"):
        for row in rest[:PREVIEWED]:
            with classed("tr"):
                for number in range(found.width):
                    classed("td", _mark(number, column), line(row[number] if number < len(row) else "", 60))


def _mark(number: int, column: int) -> str:
    return "file-chosen" if column in (number, EVERYTHING) else "muted"
