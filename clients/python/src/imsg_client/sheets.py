"""Recipients from a sheet: CSV as Excel or WPS write it, or .xlsx. No filled cell is left out without a word."""

import csv
import io
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from imsg_client.errors import SheetError

TITLES = {
    "smtp": ("邮箱", "电子邮箱", "邮件", "邮箱地址", "email", "e-mail", "mail"),
    "sms": ("手机", "手机号", "手机号码", "电话", "电话号码", "联系电话", "phone", "mobile", "tel"),
    "wechat": ("微信", "微信标记", "标记", "tag", "wechat"),
}
"""How the column of a method's recipients is usually headed."""

ENCODINGS = ("utf-8-sig", "gb18030")
"""Excel on a Chinese Windows writes CSV in GBK, which GB 18030 contains; its “CSV UTF-8” begins with a mark."""

Rows = Sequence[Sequence[str]]


def read_recipients(
    path: str | PathLike[str], method: str = "smtp", *, column: str | int | None = None, sheet: str | None = None
) -> list[str]:
    """Read one column of recipients, in their order, as they are written.

    `column` is its heading or its number from 1; without it the one that is headed as the method's recipients usually
    are, or the only column. A first row that heads is left out. `sheet`: of a workbook (.xlsx, .xls, .ods), by name;
    else the first. Raises SheetError, OSError.
    """
    path = Path(path)
    rows = _read_xlsx(path, sheet) if path.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".ods") else _read_csv(path)
    rows = [row for row in rows if any(row)]
    if not rows:
        raise SheetError(f"{path.name} is empty")
    at, has_heading = _find_column(rows[0], method, column, path.name)
    return [row[at] for row in rows[has_heading:] if at < len(row) and row[at]]


def _find_column(first: Sequence[str], method: str, column: str | int | None, name: str) -> tuple[int, bool]:
    """Find the column, and whether the first row heads. Raises SheetError."""
    headings = [cell.casefold() for cell in first]
    usual = {title for titles in TITLES.values() for title in titles}
    heads = any(heading in usual for heading in headings)
    if isinstance(column, int):
        if not 1 <= column <= len(first):
            raise SheetError(f"{name} has {len(first)} columns, and no column {column}")
        return column - 1, heads
    if column is not None:
        if headings.count(column.casefold()) != 1:
            raise SheetError(f"{name} has {headings.count(column.casefold())} columns headed {column!r}: {list(first)}")
        return headings.index(column.casefold()), True
    found = [at for at, heading in enumerate(headings) if heading in TITLES.get(method, ())]
    if len(found) == 1:
        return found[0], True
    if not found and len(first) == 1:
        return 0, heads
    which = "several columns" if found else "no column"
    raise SheetError(f"{name} has {which} headed as recipients of {method}: say which by `column`; {list(first)}")


def _read_csv(path: Path) -> Rows:
    data = path.read_bytes()
    for encoding in ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        line = text.partition("\n")[0]
        delimiter = max(",;\t，", key=line.count)
        return [[_clean(cell) for cell in row] for row in csv.reader(io.StringIO(text), delimiter=delimiter)]
    raise SheetError(f"{path.name} is neither UTF-8 nor GBK: save it as “CSV UTF-8” or as .xlsx")


def _read_xlsx(path: Path, sheet: str | None) -> Rows:
    try:
        import python_calamine  # noqa: PLC0415  an extra
    except ImportError:
        raise SheetError(f"{path.name} needs python-calamine: pip install './clients/python[sheets]'") from None
    with path.open("rb") as file:
        try:
            book = python_calamine.CalamineWorkbook.from_filelike(file)
        except python_calamine.CalamineError as error:
            raise SheetError(f"{path.name} can't be read as .xlsx: {error}") from error
        if sheet is not None and sheet not in book.sheet_names:
            raise SheetError(f"{path.name} has no sheet {sheet!r}; there are {', '.join(book.sheet_names)}")
        page = book.get_sheet_by_index(0) if sheet is None else book.get_sheet_by_name(sheet)
        return [[_clean(cell) for cell in row] for row in page.iter_rows()]


def _clean(cell: Any) -> str:  # noqa: ANN401  whatever a cell holds
    """Write a cell as a person reads it: a phone number that Excel took for a number has no decimals."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def in_batches(recipients: Sequence[str], size: int = 10_000) -> Iterator[list[str]]:
    """Cut a list into requests of at most `size`: a server takes 10,000 unless its settings say otherwise."""
    for at in range(0, len(recipients), size):
        yield list(recipients[at : at + size])
