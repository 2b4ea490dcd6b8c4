"""Files of rows, as people save them: workbooks, CSV in the code pages of Windows and Excel, plain lines."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest

from imsg_console import workbooks
from imsg_console.readers import UnreadableError
from imsg_console.workbooks import MAX_CELLS, MAX_COLUMNS, MAX_ROWS, Sheet, is_workbook

ACCEPT = ".xlsx,.xlsm,.xlsb,.xls,.et,.ods,.csv,.tsv,.txt"
"""What a browser lets people choose, as HTML writes it."""

ENCODINGS = ("utf-8", "gb18030")
"""Tried in this order. GB 18030 contains GBK; long text in it is no valid UTF-8."""

MARKED = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte order mark → encoding; Excel writes one."""

SIGNS = "\t,;，"
"""Signs between columns."""

SEPARATORS = SIGNS + "；、| "
"""Signs between recipients within a line or a cell."""

BREAKS = "\r\n\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What ends a line, as `str.splitlines` has it."""

SAMPLE = 4_096
"""Rows by which the sign between columns is found."""

HEADED_WITHIN = 10
"""The heading is among the first rows that hold something; titles may be above it."""

MAX_NAME = 64
"""Characters of the name of a column."""

MAX_VALUE = 1_000
"""Characters of a cell that becomes a field of a person."""

PIECE = 500
"""Rows of one piece of an answer."""

_QUOTED_CELL = re.compile(r'(?<![^\t\n])"((?:[^"]|"")*+)"(?=[\t\r\n]|$)')

Split = Callable[[str], Sequence[Sequence[str]]]


def read_lines(content: bytes) -> Iterator[tuple[str, Sequence[Sequence[str]]]]:
    """Read a file of which each line may be a row of columns or a list; pieces of sheets: (name, rows).

    Raises UnreadableError.
    """
    return _cut(read(content, split))


def read_columns(content: bytes) -> Iterator[tuple[str, Sequence[Sequence[str]]]]:
    """Read a file of rows of columns; pieces of sheets as above. Raises UnreadableError."""
    return _cut(read(content, split_columns))


def join(pieces: Iterable[tuple[str, Sequence[Sequence[str]]]]) -> list[Sheet]:
    """Return the sheets that the pieces make up."""
    sheets: dict[str, list[Sequence[str]]] = {}
    for name, rows in pieces:
        sheets.setdefault(name, []).extend(rows)
    return [Sheet(name, tuple(map(tuple, rows))) for name, rows in sheets.items()]


def read(content: bytes, split: Split) -> list[Sheet]:
    """Read the sheets of a file, at least one, each with something in it; `split` cuts text into rows.

    Raises UnreadableError.
    """
    sheets = workbooks.read(content) if is_workbook(content) else [Sheet("", tuple(map(tuple, split(decode(content)))))]
    shown = [sheet for sheet in sheets if any(cell.strip() for row in sheet.rows for cell in row)]
    if not shown:
        raise UnreadableError("files.empty")
    return shown


def decode(content: bytes) -> str:
    """Decode a file by its mark, else as UTF-8, else as GBK. Raises UnreadableError, also where it has too many rows.

    They are counted before anything is cut: a byte each costs a hundred as rows.
    """
    text = _decode(content)
    rows = sum(map(text.count, BREAKS)) - text.count("\r\n")
    if rows > MAX_ROWS or sum(map(text.count, SEPARATORS)) > MAX_CELLS:
        raise UnreadableError("files.too_large")
    return text


def split(text: str) -> Sequence[Sequence[str]]:
    """Cut a text into rows: by the sign that gives nearly every row the same number of columns, else into lines."""
    for sign in SIGNS:
        try:
            rows = list(csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=sign))
        except csv.Error:
            continue
        widths = [len(row) for row in _drop_titles(rows[:SAMPLE]) if any(map(str.strip, row))]
        usual = max(set(widths), key=widths.count, default=1)
        if usual > 1 and widths.count(usual) * 10 >= len(widths) * 9 and max(map(len, rows)) <= MAX_COLUMNS:
            return rows
    return [[line.strip()] for line in join_quoted(text).splitlines()]


def split_columns(text: str) -> Sequence[Sequence[str]]:
    """Cut a text into rows by the sign that its first lines have most of: a heading, and perhaps a title above it.

    Raises UnreadableError.
    """
    text = text.replace("\0", "").lstrip("\ufeff")
    first = [line for line in text.splitlines() if line.strip()][:HEADED_WITHIN]
    counts = {sign: [line.count(sign) for line in first] for sign in "\t;,，"}
    sign = max(counts, key=lambda candidate: (sum(map(bool, counts[candidate])), sum(counts[candidate])))
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=sign))
    except csv.Error:  # a quotation without an end, longer than any cell: better each line than none
        rows = [line.split(sign) for line in text.splitlines()]
    if max(map(len, rows), default=0) > MAX_COLUMNS:
        raise UnreadableError("files.too_large")
    return rows


def find_heading(rows: Iterable[Sequence[str]], count_known: Callable[[Sequence[str]], int]) -> int | None:
    """Return the place of the row that heads the columns: of the first ones, that of which most cells are known.

    `count_known` returns 0 for a row that is no heading; None where all are. Titles may stand above a heading; a title
    may be a word that heads columns elsewhere.
    """
    held = islice(((at, row) for at, row in enumerate(rows) if any(map(str.strip, row))), HEADED_WITHIN)
    best = max(((count_known(row), -at) for at, row in held), default=(0, 0))
    return -best[1] if best[0] else None


def name_columns(
    rows: Sequence[Sequence[str]], count_known: Callable[[Sequence[str]], int]
) -> tuple[int | None, list[str]]:
    """Return the place of the last row of the heading, and the names of all columns: without a heading their numbers.

    A cell of a heading of two rows that was merged with the one above has its words there.
    """
    at = find_heading(rows, count_known)
    if at is not None and at + 1 < len(rows) and count_known(rows[at + 1]):
        at += 1
    words = [] if at is None else merge_headings(rows, at)
    words += [""] * (max(map(len, rows), default=0) - len(words))
    names: list[str] = []
    for column, word in enumerate(words, 1):
        name = word[:MAX_NAME] or f"{column}"
        names.append(name if name not in names else f"{name} {column}"[-MAX_NAME:])
    return at, names


def merge_headings(rows: Sequence[Sequence[str]], at: int) -> list[str]:
    """Return the words of a row that heads columns; where it has none, those of the row above, unless it is a title."""
    row, above = rows[at], rows[at - 1] if at else ()
    is_merged = sum(bool(cell.strip()) for cell in above) > 1  # a title alone in its row names no column
    pairs = zip_longest(row, above if is_merged else (), fillvalue="")
    return [" ".join(word.split()) or " ".join(higher.split()) for word, higher in pairs]


def read_values(cells: Sequence[str], names: Mapping[int, str]) -> dict[str, str]:
    """Return what a row has in the columns of these names."""
    texts = {name: " ".join(cells[at].split())[:MAX_VALUE] for at, name in names.items() if at < len(cells)}
    return {name: text for name, text in texts.items() if text}


def join_quoted(text: str) -> str:
    """Write cells in quotes that hold line breaks or tabs, as spreadsheets write them, in one line without quotes."""
    return _QUOTED_CELL.sub(_unquote, text)


def _unquote(cell: re.Match[str]) -> str:
    return " ".join(cell[1].replace('""', '"').split()) if re.search(r"[\t\r\n]", cell[1]) else cell[0]


def _drop_titles(rows: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    """Return the rows without titles: rows of one cell, or none, at the top."""
    below = (at for at, row in enumerate(rows[:HEADED_WITHIN]) if sum(bool(cell.strip()) for cell in row) > 1)
    return rows[next(below, 0) :]


def _cut(sheets: Iterable[Sheet]) -> Iterator[tuple[str, Sequence[Sequence[str]]]]:
    for sheet in sheets:
        for at in range(0, len(sheet.rows), PIECE):
            yield sheet.name, sheet.rows[at : at + PIECE]


def _decode(content: bytes) -> str:
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


def _decode_as(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError("files.unreadable") from error
