"""CSV as spreadsheets open it: a BOM for Chinese, CRLF, and no cell that runs as a formula."""

import csv
import io
import re
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence

BOM = "\ufeff"
"""Without it Excel reads UTF-8 as the system's code page."""

MEDIA_TYPE = "text/csv; charset=utf-8"

FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r")
"""How a cell begins that a spreadsheet would run (OWASP, CSV injection)."""

_RUNS = re.compile(r"[\s\0]*[=+\-@＝＋－＠]")

MAX_CELL = 32_000
"""Characters: a spreadsheet's cell holds 32,767."""


def line(cells: Iterable[object]) -> str:
    """Write one line."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow([harmless(cell) for cell in cells])
    return out.getvalue()


async def stream(
    heading: Sequence[str], batches: AsyncIterable[Iterable[Iterable[object]]]
) -> AsyncGenerator[bytes, None]:
    """Yield a file: its heading, then its rows. Raises what `batches` raises."""
    yield (BOM + line(heading)).encode()
    async for rows in batches:
        yield "".join(map(line, rows)).encode("utf-8", "replace")


def harmless(cell: object) -> str:
    """Write a cell; a text that would run as a formula gets an apostrophe before it."""
    if cell is None:
        return ""
    text = str(cell).replace("\0", "")[:MAX_CELL]
    runs = isinstance(cell, str) and (_RUNS.match(text) or text[:1] in ("\t", "\r", "\n"))
    return f"'{text}" if runs else text


def is_number(text: str) -> bool:
    """Return whether a text is digits alone."""
    return text.isascii() and text.isdigit()
