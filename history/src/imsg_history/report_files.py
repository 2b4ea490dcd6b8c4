"""Files of reports: rows written as JSON, CSV or XLSX, a batch at a time."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any, Protocol

import xlsxwriter

MAX_SHEET_ROWS = 1_000_000
"""Rows of one sheet: Excel takes 1,048,576."""

MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_NUMBER = re.compile(r"[+-]\d+(?:\.\d+)?", re.ASCII)
"""A number, such as a phone's, is no formula."""

Rows = Iterable[Mapping[str, Any]]


class ReportFile(Protocol):
    """A file that is being written."""

    def write(self, rows: Rows) -> None:
        """Write rows that have the file's columns."""

    def close(self) -> None:
        """Write what ends the file; the file object stays open."""


class JsonFile:
    """An object with the report's own fields, and its `rows`."""

    def __init__(self, file: IO[bytes], columns: Sequence[str], about: Mapping[str, Any]) -> None:
        self._file, self._columns = file, columns
        head = json.dumps(about, ensure_ascii=False)
        self._file.write(f'{head[:-1]}, "rows": ['.encode())
        self._separator = "\n"

    def write(self, rows: Rows) -> None:
        """Write rows, one a line."""
        for row in rows:
            text = json.dumps({name: row[name] for name in self._columns}, ensure_ascii=False)
            self._file.write(f"{self._separator}{text}".encode())
            self._separator = ",\n"

    def close(self) -> None:
        """End the list and the object."""
        self._file.write(b"\n]}\n")


class CsvFile:
    """RFC 4180, in UTF-8 with a byte order mark: without it Excel reads Chinese as something else."""

    def __init__(self, file: IO[bytes], columns: Sequence[str]) -> None:
        self._columns = columns
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
        self._writer = csv.writer(self._text)
        self._writer.writerow(columns)

    def write(self, rows: Rows) -> None:
        """Write rows; a text that a spreadsheet would compute gets an apostrophe before it."""
        self._writer.writerows([_defuse(row[name]) for name in self._columns] for row in rows)

    def close(self) -> None:
        """Detach from the file without closing it."""
        self._text.detach()


class XlsxFile:
    """A workbook, of more sheets where a sheet is full."""

    def __init__(self, file: IO[bytes], columns: Sequence[str], folder: str) -> None:
        """Rows wait in files of `folder`; the caller deletes what a workbook that is not closed leaves there."""
        options = {
            "constant_memory": True,
            "tmpdir": folder,
            "strings_to_formulas": False,
            "strings_to_urls": False,
        }
        self._book = xlsxwriter.Workbook(file, options)
        self._columns = columns
        self._add_sheet()

    def write(self, rows: Rows) -> None:
        """Write rows; numbers stay numbers."""
        for row in rows:
            if self._next > MAX_SHEET_ROWS:
                self._add_sheet()
            self._sheet.write_row(self._next, 0, [row[name] for name in self._columns])
            self._next += 1

    def close(self) -> None:
        """Write the workbook."""
        self._book.close()

    def _add_sheet(self) -> None:
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 0)
        self._sheet.write_row(0, 0, self._columns)
        self._next = 1


def open_report_file(
    name: str, file: IO[bytes], columns: Sequence[str], about: Mapping[str, Any], folder: str
) -> ReportFile:
    """Begin a file of a format; only JSON says what it is about, and only XLSX keeps files of its own in `folder`."""
    match name:
        case "csv":
            return CsvFile(file, columns)
        case "xlsx":
            return XlsxFile(file, columns, folder)
    return JsonFile(file, columns, about)


def _defuse(value: Any) -> Any:  # noqa: ANN401  a value of any column
    if isinstance(value, bool):
        return str(value).lower()
    is_formula = isinstance(value, str) and value.startswith(FORMULA_STARTS) and not _NUMBER.fullmatch(value)
    return f"'{value}" if is_formula else value
