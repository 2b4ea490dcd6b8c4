"""The dialog of an import: a file is chosen, what it holds is shown, the import runs as work that can be left."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from imsg_console import spreadsheets
from imsg_console.readers import Reader, UnreadableError
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog, foot, remove
from imsg_console.widgets.elements import attrs, button, element, redraw
from imsg_console.widgets.notices import notice
from imsg_console.widgets.reading import run_reader
from imsg_console.widgets.tables import Column, Table
from imsg_console.widgets.uploads import drop_zone
from imsg_console.widgets.work import Work, draw_work, start
from imsg_console.workbooks import Sheet

SHOWN = 50
"""Problems that are shown."""

MAX_BYTES = 20 * 1024 * 1024

Problem = tuple[int, str, str]
"""(line of the file, person, problem)."""


class ImportDialog:
    """Shows one step at a time; each step is drawn by the feature that imports."""

    def __init__(
        self,
        view: View,
        reader: Reader,
        draw_first: Callable[["ImportDialog"], object],
        on_sheets: Callable[["ImportDialog", Sequence[Sheet]], Awaitable[object]],
    ) -> None:
        """`draw_first` draws the step that chooses a file; `on_sheets` gets the sheets of the file."""
        self._view, self._reader = view, reader
        self._draw_first, self._on_sheets = draw_first, on_sheets

    async def ask(self, title: str) -> None:
        """Show the dialog until it is left."""
        with dialog(title, wide=True) as self._dialog:
            self._body = attrs(ui.column(), aria_live="polite")
        self.show(self._draw_first)
        await self._dialog
        remove(self._dialog)

    def show(self, draw: Callable[["ImportDialog"], object]) -> None:
        """Show a step in place of the one before."""
        with redraw(self._body):
            draw(self)

    def draw_drop_zone(self, label: str) -> None:
        """Draw the place for the file."""
        drop_zone(self._view.t, label, self.read, accept=spreadsheets.ACCEPT, most_bytes=MAX_BYTES)

    def draw_paste(self, label: str) -> None:
        """Draw the field for rows that are pasted, and the buttons below; what is above them is drawn before."""
        pasted = ui.textarea(label).props("outlined autogrow input-style=max-height:10rem").classes("field mono")

        async def read_pasted() -> None:
            await self.read("", str(pasted.value or "").encode("utf-8", "replace"))

        self.draw_foot(self._view.t("layout.next_step"), read_pasted)

    async def read(self, name: str, content: bytes) -> None:
        """Read a file, or what was pasted where it has no name; a problem is shown as a step."""
        t = self._view.t
        try:
            pieces = await run_reader(self._view, self._reader, content)
        except UnreadableError as error:
            problem = t(error.why, name=line(name or t("files.pasted"), 60))
            self.show(lambda dialog: dialog.draw_unreadable(problem))
            return
        await self._on_sheets(self, await asyncio.to_thread(spreadsheets.join, pieces))

    def show_sheet(self, sheets: Sequence[Sheet], place: int, draw: Callable[["ImportDialog"], object]) -> None:
        """Show what was read of a sheet; where there are several, which one it was."""

        def draw_read(dialog: ImportDialog) -> None:
            dialog.draw_sheet(sheets, place)
            draw(dialog)

        self.show(draw_read)

    def draw_sheet(self, sheets: Sequence[Sheet], place: int) -> None:
        """Draw which sheet of several was read, and which were not."""
        t = self._view.t
        if others := [sheet.name for sheet in sheets if sheet is not sheets[place]]:
            listed = line(t.join_names(others), 200)
            notice(t("files.sheet_read", name=line(sheets[place].name, 60), others=listed), "info")

    def draw_unreadable(self, problem: str) -> None:
        """Draw why a file cannot be imported."""
        notice(problem, "bad")
        self.draw_foot(back=True)

    def draw_foot(self, label: str = "", on_click: Callable[[], object] | None = None, *, back: bool = False) -> None:
        """Draw the buttons: back to the choice of the file, cancel, and the next step."""
        with foot():
            if back:
                step = button(self._view.t("layout.back"), lambda: self.show(self._draw_first), kind="quiet")
                step.classes("foot-left")
            button(self._view.t("layout.cancel"), lambda: self._dialog.submit(None), kind="quiet")
            if on_click is not None:
                button(label, on_click, kind="main")

    def draw_problems(self, problems: Sequence[Problem], names: tuple[str, str, str]) -> None:
        """Draw what is wrong with which line; `names` are the headings."""
        table = Table(
            self._view,
            names[2],
            [
                Column("row", names[0], lambda row: str(row["line"]), is_main=True),
                Column("whom", names[1], lambda row: row["whom"]),
                Column("problem", names[2], lambda row: row["problem"]),
            ],
            key="line",
        )
        table.element.classes("import-problems")
        table.show([{"line": n, "whom": line(whom, 80), "problem": text} for n, whom, text in problems[:SHOWN]])
        if len(problems) > SHOWN:
            element("p", "muted", self._view.t("files.lines_more", n=len(problems) - SHOWN))

    def run(
        self,
        title: str,
        total: int,
        do: Callable[[Work], Awaitable[None]],
        draw_end: Callable[[Work], object] = lambda _: None,
    ) -> None:
        """Run the import as work, and show how far it is; `draw_end` draws what came of it."""
        work = start(self._view, title, do, total)
        self.show(lambda _: self._draw_work(work, draw_end))

    def _draw_work(self, work: Work, draw_end: Callable[[Work], object]) -> None:
        draw_work(self._view, work)
        element("p", "muted", self._view.t("layout.work_leave"))
        end = ui.column()
        with foot():
            button(self._view.t("layout.close"), lambda: self._dialog.submit(None), kind="main")

        def check() -> None:
            if not work.runs:
                timer.deactivate()
                with end:
                    draw_end(work)

        with element("div"):
            timer = ui.timer(0.4, check)
