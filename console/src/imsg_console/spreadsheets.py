"""Files of rows, as people save them: workbooks, CSV in the code pages of Windows and Excel, plain lines."""

import asyncio
import csv
import io
from collections.abc import Callable, Sequence

from imsg_console.workbooks import Sheet, WorkbookError, Workbooks, is_workbook

ACCEPT = ".xlsx,.xlsm,.xlsb,.xls,.et,.ods,.csv,.tsv,.txt"
"""What a browser lets people choose, as HTML writes it."""

ENCODINGS = ("utf-8", "gb18030")
"""Tried in this order: GBK is a part of GB 18030, and text that is no UTF-8 never reads as it by chance for long."""

MARKED = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""A byte order mark says it: Excel writes one."""

SAMPLE = 4_096
"""Rows that say what parts the columns."""


class UnreadableError(Exception):
    """The file holds no rows; `why` is a key of `texts/files.py`, which is told the file's `name`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


Split = Callable[[str], Sequence[Sequence[str]]]


async def read(content: bytes, workbooks: Workbooks, split: Split) -> list[Sheet]:
    """Read the sheets of a file, at least one, each with something in it; `split` cuts text into rows.

    Raises UnreadableError.
    """
    if is_workbook(content):
        try:
            sheets = await workbooks.read(content)
        except WorkbookError as error:
            raise UnreadableError(f"files.{error.why}") from error
    else:
        sheets = [Sheet("", await asyncio.to_thread(lambda: tuple(map(tuple, split(decode(content))))))]
    shown = [sheet for sheet in sheets if any(cell.strip() for row in sheet.rows for cell in row)]
    if not shown:
        raise UnreadableError("files.empty")
    return shown


def decode(content: bytes) -> str:
    """Decode a file by its mark, else as UTF-8, else as GBK. Raises UnreadableError."""
    for mark, encoding in MARKED:
        if content.startswith(mark):
            return _decode_as(content, encoding)
    for encoding in ENCODINGS:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UnreadableError("files.unreadable")


def split(text: str) -> Sequence[Sequence[str]]:
    """Cut a text into rows: by the sign that gives nearly every row the same number of columns, else into lines."""
    for sign in "\t,;，":
        try:
            rows = list(csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=sign))
        except csv.Error:
            continue
        widths = [len(row) for row in rows[:SAMPLE] if any(map(str.strip, row))]
        usual = max(set(widths), key=widths.count, default=1)
        if usual > 1 and widths.count(usual) * 10 >= len(widths) * 9:
            return rows
    return [[line.strip()] for line in text.splitlines()]


def _decode_as(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError("files.unreadable") from error
