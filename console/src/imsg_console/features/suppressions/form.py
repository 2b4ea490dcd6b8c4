"""Suppressions added by a form or from a file, and downloaded."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from imsg_channels import METHODS
from imsg_console import spreadsheets
from imsg_console.client import ApiError
from imsg_console.features.suppressions import sheet
from imsg_console.view import View
from imsg_console.widgets import exports
from imsg_console.widgets.chips import method_name
from imsg_console.widgets.elements import element
from imsg_console.widgets.fields import choice_field
from imsg_console.widgets.forms import FieldMaker, Form, ask_form
from imsg_console.widgets.import_dialog import ImportDialog
from imsg_console.widgets.notices import notice, toast
from imsg_console.widgets.work import Work
from imsg_console.workbooks import Sheet

PATH = "/api/v2/suppressions"

FOR_ALL = ("hard_bounce", "invalid")
"""Reasons that hold for every sender and category."""

Refresh = Callable[[], Awaitable[None]]


def list_methods(view: View) -> dict[str, str]:
    """Return the titles of the channels, by name."""
    return {name: method_name(view.t, name) for name in METHODS}


def list_reasons(view: View) -> dict[str, str]:
    """Return the titles of the reasons, by name."""
    return {name: view.t(f"suppressions.reason_{name}") for name in sheet.REASONS}


async def add(view: View, refresh: Refresh) -> None:
    """Ask for one address, and add it."""
    t = view.t
    categories = {"": t("suppressions.category_any")}
    categories |= {name: t(f"suppressions.category_{name}") for name in sheet.CATEGORIES}

    def prepare(form: Form) -> None:
        def show_scope() -> None:
            for name in ("category", "sender"):
                form.input(name).set_visibility(form.input("reason").value not in FOR_ALL)

        form.input("reason").on_value_change(show_scope)

    async def save(form: Form) -> Any:  # noqa: ANN401  any JSON
        body = {name: value for name, value in form.read().items() if value}
        scope = {name: body.pop(name, None) for name in ("sender", "category")}
        return await view.api.post(PATH, body | ({"scope": scope} if any(scope.values()) else {}))

    make = FieldMaker(t, "suppressions.column_", {"method": METHODS[0], "reason": "opt_out"})
    fields = [
        make("method", "choice", options=list_methods(view)),
        make("to", max_length=254, empty=t("people.no_address")),
        make("reason", "choice", options=list_reasons(view)),
        make("category", "choice", options=categories),
        make("sender", max_length=64),
        make("note", max_length=500),
    ]
    title, action, text = t("suppressions.add_title"), t("suppressions.add_action"), t("suppressions.add_text")
    answer = await ask_form(view, title, fields, action, save, text=text, prepare=prepare)
    if answer is not None:
        toast(t("suppressions.added") if answer["added"] else t("suppressions.stood"))
        await refresh()


async def import_file(view: View, refresh: Refresh) -> None:
    """Show the dialog of the import."""
    await SuppressionImport(view, refresh).ask()


class SuppressionImport:
    """The steps of the dialog."""

    def __init__(self, view: View, refresh: Refresh) -> None:
        self._view, self._t, self._refresh = view, view.t, refresh

    async def ask(self) -> None:
        """Show the dialog until it is left."""
        dialog = ImportDialog(self._view, spreadsheets.read_lines, self._draw_choice, self._read)
        await dialog.ask(self._t("suppressions.import_title"))

    def _draw_choice(self, dialog: ImportDialog) -> None:
        t = self._t
        element("p", "", t("suppressions.import_text"))
        with ui.row(wrap=False):
            self._method = choice_field(t("suppressions.import_method"), list_methods(self._view), METHODS[0])
            self._reason = choice_field(t("suppressions.import_reason"), list_reasons(self._view), "opt_out")
        dialog.draw_drop_zone(t("suppressions.import_file"))
        dialog.draw_foot()

    async def _read(self, dialog: ImportDialog, sheets: Sequence[Sheet]) -> None:
        method, reason = str(self._method.value), str(self._reason.value)
        place, read = await asyncio.to_thread(sheet.read_best, self._t, sheets, method, reason)
        dialog.show_sheet(sheets, place, lambda dialog: self._draw_read(dialog, read))

    def _draw_read(self, dialog: ImportDialog, read: sheet.SuppressionSheet) -> None:
        """Show what was read before anything is added."""
        t, count = self._t, len(read.rows)
        if read.problems:
            notice(t("suppressions.import_wrong", n=len(read.problems)), "warn")
            dialog.draw_problems(read.problems, (t("files.line"), t("suppressions.column_to"), t("files.problem")))
        by_method = [t("suppressions.import_count", method=method_name(t, of), n=n) for of, n in read.counts.items()]
        notice(t.join(t("suppressions.import_ready", n=count), *by_method), "good" if count else "bad")

        async def import_rows(work: Work) -> None:
            await self._import(read, work)

        def begin() -> None:
            dialog.run(t("suppressions.work_import", n=count), count, import_rows)

        dialog.draw_foot(t("suppressions.import_start", n=count), begin if count else None, back=True)

    async def _import(self, read: sheet.SuppressionSheet, work: Work) -> None:
        for batch in read.batches():
            try:
                answer = await self._view.api.post(PATH, {**batch.fields, "to": list(batch.addresses)})
            except ApiError as error:
                if error.reason == "unreachable":
                    raise
                work.failed += len(batch.addresses)
                work.notes.append(error.detail)
            else:
                work.failed += answer["problems_total"]
            work.done += len(batch.addresses)
        await self._refresh()


def export(view: View, filters: Mapping[str, str], kind: str) -> None:
    """Download what the filters find; `kind` is `xlsx` or `csv`."""
    t = view.t
    heading = sheet.heading(t, sheet.EXPORTED)

    async def read_rows() -> AsyncIterator[exports.Rows]:
        async for page in view.api.pages(PATH, "suppressions", **filters):
            yield [sheet.row(t, suppression) for suppression in page]

    ui.navigate.to(exports.offer_rows(view, t("suppressions.file"), heading, read_rows(), kind=kind))
