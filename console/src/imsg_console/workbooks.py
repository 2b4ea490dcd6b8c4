"""Workbooks of Excel, WPS and LibreOffice, read within bounds."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from imsg_console.readers import PACKED, UnreadableError

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of all parts of a workbook: 10,000 rows of ten columns have about 5 MiB."""

MAX_PARTS = 2_000

MAX_ROWS = 50_000
"""Of a sheet."""

MAX_COLUMNS = 256

MAX_CELLS = 500_000
"""Of all sheets."""

MAX_CELL_CHARACTERS = 32_767


@dataclass(frozen=True, slots=True)
class Sheet:
    """A visible sheet that is not empty."""

    name: str
    rows: tuple[tuple[str, ...], ...]
    """Cells as text: a formula's value, a number without `.0`, a day as 2026-11-26."""


def is_workbook(content: bytes) -> bool:
    """Return whether a file is a workbook, whatever its name."""
    return content.startswith(PACKED)


def check(content: bytes) -> None:
    """Check a workbook before anything of it is unpacked. Raises UnreadableError."""
    if not content.startswith(PACKED[0]):
        if b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e" in content:
            raise UnreadableError("files.encrypted")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = packed.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise UnreadableError("files.broken") from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise UnreadableError("files.too_large")
    names = [part.filename for part in parts]
    if any(name.endswith(".iwa") or name == "Index.zip" for name in names):
        raise UnreadableError("files.numbers")
    if any(name.startswith("word/") for name in names):
        raise UnreadableError("files.word")


def read(content: bytes) -> list[Sheet]:
    """Read the sheets that are shown, in their order; empty ones are left out. Raises UnreadableError.

    Two cells in the corners of a sheet take all the memory there is: for a process of `readers` alone.
    """
    check(content)
    try:
        return list(_sheets(content))
    except (UnreadableError, MemoryError):
        raise
    except BaseException as error:  # Rust's panics are no Exception
        raise UnreadableError("files.broken") from error


def _sheets(content: bytes) -> Iterator[Sheet]:
    import python_calamine  # noqa: PLC0415  only a bounded process loads it

    cells = 0
    with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content)) as workbook:
        for about in workbook.sheets_metadata:
            if about.visible is not python_calamine.SheetVisibleEnum.Visible:
                continue
            if about.typ is not python_calamine.SheetTypeEnum.WorkSheet:
                continue
            sheet = workbook.get_sheet_by_name(about.name)
            cells += sheet.total_width * sheet.total_height
            if sheet.total_height > MAX_ROWS or sheet.total_width > MAX_COLUMNS or cells > MAX_CELLS:
                raise UnreadableError("files.too_large")
            rows = tuple(tuple(map(_write, row)) for row in sheet.to_python(skip_empty_area=False))
            if any(any(row) for row in rows):
                yield Sheet(about.name, rows)


def _write(cell: object) -> str:
    """Write a cell as people read it."""
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e16 else repr(cell)  # noqa: PLR2004  exact till then
    if isinstance(cell, datetime):
        return cell.isoformat(" ", "seconds") if cell.time() != time() else cell.date().isoformat()
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return str(cell)[:MAX_CELL_CHARACTERS]
