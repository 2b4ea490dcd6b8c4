"""People from a file: the page shows them, and the rows that are left out, before it adds them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from nicegui import ui

from imsg_console import spreadsheets
from imsg_console.recipients.address_reader import describe
from imsg_console.recipients.people_sheet import TO, PeopleSheet, Person, read_best
from imsg_console.sanitize import line
from imsg_console.view import View
from imsg_console.widgets import exports
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import element
from imsg_console.widgets.import_dialog import ImportDialog
from imsg_console.widgets.notices import notice
from imsg_console.widgets.work import Work
from imsg_console.workbooks import Sheet

AT_ONCE = 2_000
"""People of one call: the progress is seen to move."""

SHOWN = 3
"""People who are shown as they were read."""


class PeopleImport:
    """The steps of the dialog."""

    def __init__(self, view: View, path: str, refresh: Callable[[], Awaitable[object]]) -> None:
        """`path` is that of the group's members."""
        self._view, self._t, self._path, self._refresh = view, view.t, path, refresh
        self._refused: list[tuple[Person, str]] = []

    async def ask(self) -> None:
        """Show the dialog until it is left."""
        dialog = ImportDialog(self._view, spreadsheets.read_columns, self._draw_choice, self._read)
        await dialog.ask(self._t("groups.import"))

    def _draw_choice(self, dialog: ImportDialog) -> None:
        t = self._t
        element("p", "", t("groups.import_text"))
        dialog.draw_drop_zone(t("groups.import_file"))
        dialog.draw_paste(t("groups.import_paste"))

    async def _read(self, dialog: ImportDialog, sheets: Sequence[Sheet]) -> None:
        place, people = await asyncio.to_thread(read_best, [sheet.rows for sheet in sheets])
        dialog.show_sheet(sheets, place, lambda dialog: self._draw_read(dialog, people))

    def _draw_read(self, dialog: ImportDialog, sheet: PeopleSheet) -> None:
        """Show what was read: some people as they are, and the rows without a person."""
        t, count = self._t, len(sheet.people)
        notice(t("groups.import_ready", n=count), "good" if count else "bad")
        with element("ul"):
            for person in sheet.people[:SHOWN]:
                element("li", "wrap-anywhere", self._describe(person))
        if sheet.left_out:
            lines = t.join_names(str(row.line) for row in sheet.left_out[:20])
            notice(t("groups.import_left_out", n=len(sheet.left_out), lines=lines), "info")
        if sheet.problems:
            notice(t("groups.import_wrong", n=len(sheet.problems)), "warn")
            rows = [
                (problem.line, self._name(problem.cells), describe(t, problem.why, problem.text))
                for problem in sheet.problems
            ]
            dialog.draw_problems(rows, (t("files.line"), t("groups.person"), t("files.problem")))
            exports.download_button(t, t("groups.import_keep"), lambda kind: self._download_rest(sheet, kind))
        source = ui.input(t("groups.import_consent")).props("outlined maxlength=200").classes("field")
        source.props["hint"] = t("groups.import_consent_hint")

        def begin() -> None:
            consent = str(source.value or "").strip()
            add = partial(self._add, sheet, consent)
            dialog.run(t("groups.work_import", n=count), count, add, lambda _: self._draw_end(dialog, sheet))

        dialog.draw_foot(t("groups.import_start", n=count), begin if count else None, back=True)

    async def _add(self, sheet: PeopleSheet, consent: str, work: Work) -> None:
        agreed = {"consent": {"at": datetime.now(UTC).isoformat(), "source": consent}} if consent else {}
        self._refused.clear()
        for first in range(0, len(sheet.people), AT_ONCE):
            some = sheet.people[first : first + AT_ONCE]
            members = [{**write_person(person), **agreed} for person in some]
            answer = await self._view.api.post(self._path, {"members": members})
            self._refused += [(some[problem["row"]], problem["detail"]) for problem in answer["problems"]]
            work.failed += len(answer["problems"])
            work.done += len(some)
        await self._refresh()

    def _draw_end(self, dialog: ImportDialog, sheet: PeopleSheet) -> None:
        """Show the people that the API refused."""
        t = self._t
        if self._refused:
            notice(t("groups.import_wrong", n=len(self._refused)), "warn")
            rows = [(person.line, self._name(person.cells), detail) for person, detail in self._refused]
            dialog.draw_problems(rows, (t("files.line"), t("groups.person"), t("files.problem")))
        if self._refused or sheet.problems:
            exports.download_button(t, t("groups.import_keep"), lambda kind: self._download_rest(sheet, kind))

    def _download_rest(self, sheet: PeopleSheet, kind: str) -> None:
        """Download the rows that were left out, each with what is wrong, to be corrected and imported again."""
        t = self._t
        rows = [(problem.line, problem.cells, describe(t, problem.why, problem.text)) for problem in sheet.problems]
        rows += [(person.line, person.cells, detail) for person, detail in self._refused]
        width = len(sheet.heading)
        filled = [[*cells[:width], *[""] * (width - len(cells)), why] for _, cells, why in sorted(rows)]
        heading = [*sheet.heading, t("files.problem")]
        ui.navigate.to(exports.offer_rows(self._view, t("groups.import_kept"), heading, filled, kind=kind))

    def _describe(self, person: Person) -> str:
        t = self._t
        contacts = [
            line(text, 60) if method == TO else f"{method_name(t, method)} {line(text, 60)}"
            for method, text in person.contacts.items()
        ]
        params = [f"{line(name, 40)}{t('groups.colon')}{line(value, 60)}" for name, value in person.params.items()]
        return t.join_names([*contacts, *params])

    def _name(self, cells: Sequence[str]) -> str:
        return " ".join(cell for cell in cells if cell)[:80]


def write_person(person: Person) -> dict[str, Any]:
    """Return a person as a member in the API's form."""
    name = person.contacts.get(TO)
    return {**({"contacts": person.contacts} if name is None else {"to": name}), "params": person.params}
