"""Reading a file of recipients: plain lines or a table, as Chinese and other programs write them."""

import csv
import io
from dataclasses import dataclass

from imsg_console.sending.addressees import count_addresses, is_address

ENCODINGS = ("utf-8", "gb18030")
"""Tried in this order: GBK is a part of GB 18030, and text that is no UTF-8 never reads as it by chance for long."""

MARKED = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""A byte order mark says it: Excel writes one."""

WORKBOOK = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How .xlsx and .xls begin."""

SAMPLE = 4_096


class UnreadableError(Exception):
    """The file is no list; `why` is a key of `texts/send.py`."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows, and what they seem to be."""

    rows: tuple[tuple[str, ...], ...]
    has_heading: bool
    """Whether the first row seems to name the columns."""
    column: int | None
    """The likeliest; None: recipients stand in several."""

    @property
    def width(self) -> int:
        """How many columns there are."""
        return max(map(len, self.rows))

    def values(self, column: int | None, *, has_heading: bool) -> list[str]:
        """Return a column's cells, or all of them; the empty ones left out."""
        rows = self.rows[1:] if has_heading else self.rows
        chosen = [row if column is None else row[column : column + 1] for row in rows]
        return [cell.strip() for cells in chosen for cell in cells if cell.strip()]


def table(content: bytes, method: str) -> Table:
    """Read a file. Raises UnreadableError."""
    rows = _rows(decoded(content))
    if not rows:
        raise UnreadableError("send.file_empty")
    counts = count_addresses(rows[:SAMPLE], method)
    full = [count for count in counts if count * 2 > min(len(rows), SAMPLE)]
    column = None if len(full) > 1 else counts.index(max(counts))
    first_is_address = any(is_address(cell, method) for cell in rows[0])
    return Table(tuple(rows), any(counts) and not first_is_address, column)


def decoded(content: bytes) -> str:
    """Decode a file by its mark, else as UTF-8, else as GBK. Raises UnreadableError."""
    if content.startswith(WORKBOOK):
        raise UnreadableError("send.file_workbook")
    for mark, encoding in MARKED:
        if content.startswith(mark):
            return _as(content, encoding)
    for encoding in ENCODINGS:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise UnreadableError("send.file_unreadable")


def _as(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError("send.file_unreadable") from error


def _rows(text: str) -> list[tuple[str, ...]]:
    """Cut a text into rows: by the sign that gives nearly every row the same number of columns, else into lines."""
    for sign in "\t,;":
        try:
            rows = [tuple(row) for row in csv.reader(io.StringIO(text), delimiter=sign) if any(map(str.strip, row))]
        except csv.Error:
            continue
        widths = [len(row) for row in rows[:SAMPLE]]
        usual = max(set(widths), key=widths.count, default=1)
        if usual > 1 and widths.count(usual) * 10 >= len(widths) * 9:
            return rows
    return [(line.strip(),) for line in text.splitlines() if line.strip()]
