"""Recipients from a file: a person chooses the sheet, the column and whether there is a heading."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from nicegui import ui

from imsg_console.readers import UnreadableError
from imsg_console.recipients.recipient_files import Overview, join, read_column, read_overviews
from imsg_console.recipients.recipient_reader import Reading
from imsg_console.sanitize import line
from imsg_console.spreadsheets import ACCEPT
from imsg_console.view import View
from imsg_console.widgets.dialogs import dialog, foot, remove
from imsg_console.widgets.elements import button, element, redraw
from imsg_console.widgets.notices import notice, toast
from imsg_console.widgets.paging import Row
from imsg_console.widgets.reading import run_reader
from imsg_console.widgets.tables import Column, Table
from imsg_console.widgets.uploads import file_button

MAX_FILE_BYTES = 5 * 1024 * 1024

EVERY_COLUMN = -1

Choice = tuple[int, int | None, bool]
"""The sheet, its column (None: every column), and whether it has a heading."""


class RecipientFile:
    """A button that reads a file of recipients."""

    def __init__(self, view: View, method: Callable[[], str], add: Callable[[Reading], Awaitable[None]]) -> None:
        """Draw the button. `method` returns the method of sending; `add` gets what was read."""
        self._view, self._t, self._method, self._add = view, view.t, method, add
        upload = file_button(view.t, view.t("send.from_file"), self._read, most_bytes=MAX_FILE_BYTES, accept=ACCEPT)
        upload.classes("upload-list")

    async def _read(self, name: str, content: bytes) -> None:
        method = self._method()
        try:
            sheets = [
                Overview(**overview) for overview in await run_reader(self._view, read_overviews, content, method)
            ]
            choice: Choice | None = (0, 0, False)
            if len(sheets) > 1 or sheets[0].width > 1 or sheets[0].has_heading:
                choice = await FileDialog(self._view, sheets).ask(name)
            if choice is not None:
                pieces = await run_reader(self._view, read_column, content, method, *choice)
                await self._add(await asyncio.to_thread(join, pieces))
        except UnreadableError as error:
            toast(self._t(error.why, name=line(name, 60)), good=False)


class FileDialog:
    """The dialog, with a preview of the chosen sheet."""

    def __init__(self, view: View, sheets: Sequence[Overview]) -> None:
        self._view, self._t, self._sheets = view, view.t, sheets

    async def ask(self, name: str) -> Choice | None:
        """Return what is chosen; None where the dialog was left."""
        t = self._t
        names = {number: line(sheet.name, 60) for number, sheet in enumerate(self._sheets)}
        with dialog(t("send.file_title", name=line(name, 60)), wide=True) as opened:
            self._sheet = ui.select(names, label=t("files.sheet"), value=0, on_change=self._change_sheet)
            self._sheet.props("outlined").set_visibility(len(names) > 1)
            self._column = ui.select({}, label=t("send.column"), on_change=self._show).props("outlined")
            self._heading = ui.checkbox("", on_change=self._show)
            self._several = element("div")
            self._preview = element("div")
            with foot():
                button(t("layout.cancel"), lambda: opened.submit(None), kind="quiet")
                self._take = button("", lambda: opened.submit("take"), kind="main")
        self._change_sheet()
        is_taken = await opened
        column = None if self._column.value == EVERY_COLUMN else int(self._column.value)
        choice = (int(self._sheet.value), column, bool(self._heading.value))
        remove(opened)
        return choice if is_taken else None

    @property
    def _chosen(self) -> Overview:
        return self._sheets[int(self._sheet.value)]

    def _change_sheet(self) -> None:
        sheet = self._chosen
        names = {number: self._name(sheet, number) for number in range(sheet.width)}
        if sheet.width > 1:
            names[EVERY_COLUMN] = self._t("send.every_column")
        self._column.set_options(names, value=EVERY_COLUMN if sheet.column is None else sheet.column)
        self._heading.text = self._t("send.has_heading", n=sheet.heading_number)
        self._heading.set_value(sheet.has_heading)
        self._show()

    def _show(self) -> None:
        """Show the first rows of the sheet, how many cells the choice takes, and other columns it may take instead."""
        sheet, chosen, has_heading = self._chosen, self._column.value, bool(self._heading.value)
        filled = sheet.filled_below if has_heading else sheet.filled
        taken = sheet.likely if chosen == EVERY_COLUMN else (chosen,)
        self._take.text = self._t("send.take", n=sum(filled[at] for at in taken))
        with redraw(self._several):
            if len(sheet.likely) > 1 and chosen in sheet.likely:
                names = self._t.join_names([self._title(sheet, at) for at in sheet.likely])
                notice(self._t("send.several_columns", names=names, name=self._title(sheet, chosen)))
        columns = [
            Column(
                f"{'chosen' if chosen in (at, EVERY_COLUMN) else 'other'}-{at}",
                line(sheet.heading[at], 60) if has_heading and at < len(sheet.heading) else str(at + 1),
                partial(_read_cell, at=at),
            )
            for at in range(sheet.width)
        ]
        with redraw(self._preview):
            table = Table(self._view, self._t("send.preview"), columns, key="id")
            rows = sheet.first_below if has_heading else sheet.first
            table.show([{"id": number, "cells": cells} for number, cells in enumerate(rows)])

    def _name(self, sheet: Overview, number: int) -> str:
        example = line(sheet.examples[number], 40) or "—"
        return self._t("send.column_example", name=self._title(sheet, number), example=example)

    def _title(self, sheet: Overview, number: int) -> str:
        """Return the name of a column, or its number."""
        name = sheet.heading[number] if sheet.has_heading and number < len(sheet.heading) else ""
        return line(name, 40) or self._t("send.column_number", n=number + 1)


def _read_cell(row: Row, at: int) -> str:
    return line(row["cells"][at], 60) if at < len(row["cells"]) else ""
