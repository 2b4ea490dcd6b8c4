"""Workbooks of Excel, WPS and LibreOffice, read in a process of their own, which has bounds that they can't break."""

import asyncio
import io
import json
import resource
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

SIGNATURES = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How .xlsx, .xlsm, .xlsb and .ods begin, and .xls and .et, older than those."""

MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of all parts of a workbook: 10,000 rows of ten columns have about 5 MiB."""

MAX_PARTS = 2_000

MAX_ROWS = 50_000
"""Of a sheet."""

MAX_COLUMNS = 256

MAX_CELLS = 1_000_000
"""Of all sheets."""

MAX_CELL_CHARACTERS = 32_767

MEMORY_BYTES = 512 * 1024 * 1024
"""Of addresses, that of the interpreter included: two cells in the corners of a sheet want more, and get none."""

CPU_S = 10

TIMEOUT_S = 30.0

AT_ONCE = 2

CODE = "import sys; from imsg_console.workbooks import main; sys.exit(main())"


class WorkbookError(Exception):
    """It can't be read. `why`: `encrypted`, `too_large`, `numbers`, `word` or `broken`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet that is shown and holds something."""

    name: str
    rows: tuple[tuple[str, ...], ...]
    """Cells as text: a formula's value, a number without `.0`, a day as 2026-11-26."""


def is_workbook(content: bytes) -> bool:
    """Tell whether a file is one, whatever it is called."""
    return content.startswith(SIGNATURES)


class Workbooks:
    """Reads workbooks, few at a time."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def read(self, content: bytes) -> list[Sheet]:
        """Read the sheets that are shown, in their order; empty ones are left out. Raises WorkbookError."""
        await asyncio.to_thread(check, content)
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-c",
                CODE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    said, _ = await process.communicate(content)
            except TimeoutError as error:
                raise WorkbookError("too_large") from error
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return await asyncio.to_thread(_parse, said)


def check(content: bytes) -> None:
    """Look at what a workbook says of itself before anything is unpacked. Raises WorkbookError."""
    if not content.startswith(SIGNATURES[0]):
        if b"E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e" in content:
            raise WorkbookError("encrypted")
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            parts = packed.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise WorkbookError("broken") from error
    if len(parts) > MAX_PARTS or sum(part.file_size for part in parts) > MAX_UNPACKED_BYTES:
        raise WorkbookError("too_large")
    names = [part.filename for part in parts]
    if any(name.endswith(".iwa") or name == "Index.zip" for name in names):
        raise WorkbookError("numbers")
    if any(name.startswith("word/") for name in names):
        raise WorkbookError("word")


def _parse(said: bytes) -> list[Sheet]:
    """Read the answer of the other process, which has none where its bounds ended it. Raises WorkbookError."""
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError as error:
        raise WorkbookError("too_large") from error
    if why := answer.get("why"):
        raise WorkbookError(str(why))
    return [Sheet(name, tuple(tuple(row) for row in rows)) for name, rows in answer["sheets"]]


def main() -> int:
    """Read a workbook from the standard input, write its sheets to the standard output: what the process does."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the interpreter alone may have more
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    content = sys.stdin.buffer.read()
    try:
        answer: dict[str, Any] = {"sheets": list(_sheets(content))}
    except WorkbookError as error:
        answer = {"why": error.why}
    except MemoryError:
        answer = {"why": "too_large"}
    except BaseException:  # noqa: BLE001  the edge of the process; Rust's panics are no Exception
        answer = {"why": "broken"}
    sys.stdout.write(json.dumps(answer))
    return 0


def _sheets(content: bytes) -> Iterator[tuple[str, list[list[str]]]]:
    import python_calamine  # noqa: PLC0415  only this process, once it is bounded, loads it

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
                raise WorkbookError("too_large")
            rows = [[_write(cell) for cell in row] for row in sheet.to_python(skip_empty_area=False)]
            if any(any(row) for row in rows):
                yield about.name, rows


def _write(cell: object) -> str:
    """Write a cell as a person reads it."""
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
