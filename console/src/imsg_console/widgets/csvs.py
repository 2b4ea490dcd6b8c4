"""CSV as spreadsheets open it: a BOM for Chinese, CRLF, and no cell that runs as a formula."""

import csv
import io
from collections.abc import Iterable, Sequence

BOM = "\ufeff"

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would run (OWASP, CSV injection)."""


def line(cells: Iterable[object]) -> str:
    """Write one line. A text that would run as a formula gets an apostrophe, which spreadsheets don't show."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([_safe(cell) for cell in cells])
    return out.getvalue()


def table(header: Sequence[str], rows: Iterable[Iterable[object]]) -> bytes:
    """Write a whole file."""
    return (BOM + line(header) + "".join(line(row) for row in rows)).encode()


def _safe(cell: object) -> str:
    if cell is None:
        return ""
    text = str(cell)
    is_number = isinstance(cell, int | float)
    return f"'{text}" if text.startswith(FORMULA) and not is_number and not _is_phone(text) else text


def _is_phone(text: str) -> bool:
    """Tell whether a text is a number with a plus, which a spreadsheet may well take for one."""
    return text.startswith("+") and text[1:].isdigit()
