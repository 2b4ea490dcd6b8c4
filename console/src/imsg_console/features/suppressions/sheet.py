"""Suppressions in files: the columns, and the rows read into bodies of the API."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from imsg_channels import METHODS
from imsg_console.recipients.address_reader import DUPLICATE, SeenPeople, describe, is_blank, read_cell
from imsg_console.recipients.classify_recipient import strip_invisible
from imsg_console.recipients.headings import explain_row
from imsg_console.recipients.people_sheet import TO, find_columns
from imsg_console.sanitize import line
from imsg_console.spreadsheets import find_heading
from imsg_console.texts import Texts, in_every_language
from imsg_console.widgets.chips import method_name
from imsg_console.workbooks import Sheet

COLUMNS = ("method", "to", "reason", "sender", "category", "until", "note")
"""The columns that are read; an exported file has `evidence`, `added_by` and `created_at` too."""

EXPORTED = (*COLUMNS, "evidence", "added_by", "created_at")

REASONS = ("hard_bounce", "invalid", "complaint", "unsubscribe", "opt_out")
CATEGORIES = ("code", "notice", "marketing")

AT_ONCE = 1_000
"""Addresses of one call."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Addresses of one call, and its other fields."""

    fields: Mapping[str, Any]
    addresses: Sequence[str]


@dataclass(slots=True)
class SuppressionSheet:
    """The rows of a file."""

    rows: list[tuple[Mapping[str, Any], str]] = field(default_factory=list)
    """(fields of the call, address)."""
    problems: list[tuple[int, str, str]] = field(default_factory=list)
    """(line, address, what is wrong)."""

    @property
    def counts(self) -> Counter[str]:
        """Method → how many addresses of it were read."""
        return Counter(fields["method"] for fields, _ in self.rows)

    def batches(self) -> list[Batch]:
        """Group the addresses that have the same fields."""
        groups: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
        for fields, address in self.rows:
            groups.setdefault(repr(sorted(fields.items(), key=str)), (fields, []))[1].append(address)
        return [
            Batch(fields, addresses[first : first + AT_ONCE])
            for fields, addresses in groups.values()
            for first in range(0, len(addresses), AT_ONCE)
        ]


def heading(t: Texts, columns: Iterable[str]) -> list[str]:
    """Return the titles of the columns."""
    return [t(f"suppressions.column_{name}") for name in columns]


def row(t: Texts, suppression: Mapping[str, Any]) -> list[object]:
    """Write a suppression as a row of a file."""
    scope = suppression["scope"] or {"sender": None, "category": None}
    cells = {**suppression, **scope, "reason": t(f"suppressions.reason_{suppression['reason']}")}
    cells["method"] = method_name(t, suppression["method"])
    cells["category"] = t(f"suppressions.category_{scope['category']}") if scope["category"] else ""
    return [cells[name] if cells[name] is not None else "" for name in EXPORTED]


def read(t: Texts, rows: Sequence[Sequence[str]], method: str, reason: str) -> SuppressionSheet:
    """Read the rows of a sheet: each that holds anything is an address, or several, or a problem. Raises nothing.

    `method` and `reason` are taken where a row has none. A sheet of people may have columns for several channels; those
    of `method` are read, or else all.
    """
    sheet, seen = SuppressionSheet(), SeenPeople()
    table = [[strip_invisible(cell) for cell in row] for row in rows]
    first, names, addresses = _find_columns(table, method)
    for number, cells in enumerate(table[first:], first + 1):
        if not any(cells):
            continue
        values = {name: cells[at] for at, name in names.items() if at < len(cells)}
        addresses_of_row = [
            (cells[at], of) for at, of in addresses.items() if at < len(cells) and not is_blank(cells[at])
        ]
        for cell, of in addresses_of_row or [("", next(iter(addresses.values())))]:
            fields = _read_fields(t, values, of, reason)
            why = explain_row(cells, of if isinstance(fields, str) else fields["method"])
            if why or not cell:
                problem = describe(t, why or "send.none_in_row")
            else:
                problem = fields if isinstance(fields, str) else _add(t, sheet, seen, number, fields, cell)
            if problem:
                sheet.problems.append((number, line(cell or " ".join(cells), 80), problem))
    return sheet


def read_best(t: Texts, sheets: Sequence[Sheet], method: str, reason: str) -> tuple[int, SuppressionSheet]:
    """Read the sheet of a workbook that holds most addresses; return its place too."""
    read_sheets = [read(t, sheet.rows, method, reason) for sheet in sheets]
    best = max(range(len(read_sheets)), key=lambda place: (len(read_sheets[place].rows), -place))
    return best, read_sheets[best]


def _find_columns(table: Sequence[Sequence[str]], method: str) -> tuple[int, dict[int, str], dict[int, str]]:
    """Return the place of the first row below the heading, the known columns, and those of addresses → method."""
    heading, columns = find_heading(table, _count_known), find_columns(table)
    if heading is not None and not columns.are_titled:
        names = _columns(table[heading])
        return heading + 1, names, {at: method for at, name in names.items() if name == "to"}
    names = {at: name for at, name in _columns(columns.names).items() if name not in {"to", "method"}}
    address_columns = {at: of for at, of in columns.methods.items() if of != TO}
    return (
        columns.first,
        names,
        {at: of for at, of in address_columns.items() if of == method} or address_columns or {0: method},
    )


def _add(  # noqa: PLR0917  one row, and what is known of its sheet
    t: Texts, sheet: SuppressionSheet, seen: SeenPeople, number: int, fields: Mapping[str, Any], cell: str
) -> str:
    """Add an address to the sheet, or return what is wrong with it."""
    address, why = read_cell(cell, fields["method"])
    if why:
        return describe(t, why, cell)
    about = repr((fields["reason"], fields.get("scope")))
    if (first := seen.find_or_record(number, {fields["method"]: address}, about)) is not None:
        return describe(t, DUPLICATE, str(first))
    sheet.rows.append((fields, address))
    return ""


def _count_known(cells: Sequence[str]) -> int:
    columns = _columns(cells)
    return len(columns) if "to" in columns.values() else 0


def _columns(cells: Sequence[str]) -> dict[int, str]:
    words = {name: (name, *in_every_language(f"suppressions.column_{name}")) for name in COLUMNS}
    known = {word.lower(): name for name, them in words.items() for word in them}
    return {at: known[cell.strip().lower()] for at, cell in enumerate(cells) if cell.strip().lower() in known}


def _read_fields(t: Texts, values: Mapping[str, str], method: str, reason: str) -> dict[str, Any] | str:
    """Return the fields of the call for a row, or what is wrong with it."""
    methods = {name: name for name in METHODS} | {method_name(t, name).lower(): name for name in METHODS}
    reasons = {name: name for name in REASONS} | {t(f"suppressions.reason_{name}").lower(): name for name in REASONS}
    kinds = {name: name for name in CATEGORIES} | {
        t(f"suppressions.category_{name}").lower(): name for name in CATEGORIES
    }
    of = methods.get(values.get("method", "").lower() or method)
    why = reasons.get(values.get("reason", "").lower() or reason)
    category = values.get("category", "").lower()
    if of is None:
        return t("suppressions.no_method", text=line(values.get("method", ""), 40))
    if why is None:
        return t("suppressions.no_reason", text=line(values.get("reason", ""), 40))
    if category and category not in kinds:
        return t("suppressions.no_category", text=line(category, 40))
    fields: dict[str, Any] = {"method": of, "reason": why}
    if why not in ("hard_bounce", "invalid") and (values.get("sender") or category):
        fields["scope"] = {"sender": values.get("sender") or None, "category": kinds.get(category)}
    for name in ("until", "note"):
        if values.get(name):
            fields[name] = values[name]
    return fields
