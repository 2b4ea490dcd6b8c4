"""Workbooks to download, written row by row; no text in them runs as a formula."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import closing
from pathlib import Path

import xlsxwriter

from imsg_console.widgets.csvs import MAX_CELL

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

MAX_ROWS = 200_000
"""About 60 MiB while it is written, in the folder for temporary files; CSV has no such bound."""

PIECE_BYTES = 64 * 1024

WIDEST = 40
"""Characters that a column is wide at most."""


class TooManyRowsError(Exception):
    """There are more than MAX_ROWS rows."""


async def stream(
    heading: Sequence[str], batches: AsyncIterable[Iterable[Sequence[object]]], texts: Sequence[int] = ()
) -> AsyncGenerator[bytes, None]:
    """Write rows below a heading and yield the file, once all of them are there.

    Numbers become numbers, everything else text. `texts` are columns formatted as text, so that a spreadsheet changes
    nothing entered there: phone numbers, leading zeros. Raises TooManyRowsError, and whatever `batches` raises.
    """
    with tempfile.TemporaryDirectory(prefix="imsg-export-") as folder:
        place = Path(folder, "export.xlsx")
        book = xlsxwriter.Workbook(place, {"constant_memory": True, "tmpdir": folder})
        sheet = book.add_worksheet()
        as_text = book.add_format({"num_format": "@"})
        bold = book.add_format({"bold": True})
        for column, name in enumerate(heading):
            width = min(max(12, len(name.encode("gbk", "replace")) + 2), WIDEST)
            sheet.set_column(column, column, width, as_text if column in texts else None)
            sheet.write_string(0, column, name, bold)
        sheet.freeze_panes(1, 0)
        written = 0

        def write(rows: Sequence[Sequence[object]]) -> None:
            for at, row in enumerate(rows, written + 1):
                for column, cell in enumerate(row):
                    _write(sheet, at, column, cell)

        with closing(sheet.row_data_fh):  # which a workbook that is not finished leaves open
            async for batch in batches:
                rows = list(batch)
                if written + len(rows) > MAX_ROWS:
                    raise TooManyRowsError
                await asyncio.to_thread(write, rows)
                written += len(rows)
            await asyncio.to_thread(book.close)
        with await asyncio.to_thread(place.open, "rb") as file:
            while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
                yield piece


def _write(sheet: xlsxwriter.worksheet.Worksheet, row: int, column: int, cell: object) -> None:
    if cell is None or cell == "":
        return
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        sheet.write_number(row, column, cell)
    else:
        sheet.write_string(row, column, str(cell).encode("utf-8", "replace").decode()[:MAX_CELL])
