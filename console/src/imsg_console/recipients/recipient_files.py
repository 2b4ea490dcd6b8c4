"""A file of recipients: its sheets, what each column of them seems to be, and the recipients that it holds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from imsg_console.readers import UnreadableError
from imsg_console.recipients.classify_recipient import is_address, is_intended
from imsg_console.recipients.headings import name_fields
from imsg_console.recipients.people_sheet import find_method
from imsg_console.recipients.recipient_reader import FoundRecipient, IgnoredText, Reading, read, read_table
from imsg_console.spreadsheets import PIECE, decode, split
from imsg_console.spreadsheets import read as read_sheets
from imsg_console.workbooks import MAX_ROWS

SAMPLE = 4_096
"""Rows that a column is judged by."""

PREVIEWED = 5
"""Rows below the heading that a page shows."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a sheet, and what they seem to be."""

    rows: tuple[tuple[str, ...], ...]
    method: str
    heading: int
    """The number of the row that names the columns, below titles; 0 where none does."""
    has_heading: bool
    """Whether that row seems to."""
    names: Mapping[int, str]
    """The names of the columns."""
    numbers: Sequence[int]
    """The numbers of the rows in their sheet, from 1."""

    @property
    def likely(self) -> Sequence[int]:
        """The columns that may hold the recipients, the likeliest first.

        Addresses decide before mistyped ones: a student number of ten digits may be either. Of two columns of phones
        the one headed by a word for them comes first, 手机 before 家长手机.
        """
        sample = (self.below(has_heading=self.has_heading) or self.rows)[:SAMPLE]
        for holds in (_holds_address, _holds_some):
            counts = _counts(sample, self.method, holds)
            if full := [at for at, count in enumerate(counts) if count * 2 > len(sample)]:
                return sorted(
                    full, key=lambda at: self.has_heading and find_method(self.names.get(at, "")) != self.method
                )
        return [counts.index(max(counts))]

    @property
    def column(self) -> int | None:
        """The likeliest column; None: every one, where the rows are lists of recipients."""
        likely = self.likely
        return None if len(likely) == self.width > 1 and not self.has_heading else likely[0]

    @property
    def width(self) -> int:
        """How many columns there are."""
        return max(map(len, self.rows))

    def below(self, *, has_heading: bool) -> Sequence[Sequence[str]]:
        """Return the rows that may hold recipients."""
        return self.rows[self.heading + 1 :] if has_heading else self.rows

    def read(self, column: int | None, *, has_heading: bool) -> Reading:
        """Read the recipients: every row gives some, or is ignored with a reason."""
        rows = self.below(has_heading=has_heading)
        if self.width == 1:
            return read("\n".join(row[0] for row in rows), self.method)
        names = self.names if has_heading else {at: f"{at + 1}" for at in self.names}
        return read_table(
            zip(self.numbers[len(self.rows) - len(rows) :], rows, strict=True), self.method, column, names
        )


@dataclass(frozen=True, slots=True)
class Overview:
    """What the dialog shows of a table."""

    name: str
    width: int
    heading: Sequence[str]
    """The row that names the columns if one does."""
    heading_number: int
    """The number of that row in the sheet, from 1."""
    has_heading: bool
    """Whether it seems to."""
    column: int | None
    """The likeliest; None: every one."""
    likely: Sequence[int]
    """The columns that may hold the recipients."""
    first: Sequence[Sequence[str]]
    """The first rows, from the top."""
    first_below: Sequence[Sequence[str]]
    """The first rows below the heading."""
    examples: Sequence[str]
    """The first text of each column below the heading; empty where there is none."""
    filled: Sequence[int]
    """How many cells of each column hold something."""
    filled_below: Sequence[int]
    """The same below the heading."""


def table(rows: Sequence[Sequence[str]], method: str) -> Table:
    """Make a table of rows that are not all empty, without the empty rows and columns around them."""
    filled = {number: row for number, row in enumerate(rows, 1) if any(cell.strip() for cell in row)}
    first = min(next(at for at, cell in enumerate(row) if cell.strip()) for row in filled.values())
    last = max(at for row in filled.values() for at, cell in enumerate(row) if cell.strip())
    whole = tuple(tuple(row[first : last + 1]) for row in filled.values())
    heading, names = name_fields(whole, method)
    return Table(whole, method, heading or 0, heading is not None, names, tuple(filled))


def read_overviews(content: bytes, method: str) -> Iterator[Mapping[str, Any]]:
    """Read a file's sheets; pieces of `Overview`. Raises UnreadableError."""
    for sheet in read_sheets(content, split):
        yield asdict(_overview(sheet.name, table(sheet.rows, method)))


def read_column(
    content: bytes,
    method: str,
    number: int,
    column: int | None,
    has_heading: bool,  # noqa: FBT001  as JSON has it
) -> Iterator[Mapping[str, Any]]:
    """Read the recipients of a column of a file's sheet, or of all columns; pieces of a Reading.

    Raises UnreadableError.
    """
    sheet = read_sheets(content, split)[number]
    return _cut(table(sheet.rows, method).read(column, has_heading=has_heading))


def read_pasted(content: bytes, method: str) -> Iterator[Mapping[str, Any]]:
    """Read what was typed or pasted; pieces of a Reading. Raises UnreadableError."""
    return _cut(read(decode(content), method))


def join(pieces: Sequence[Mapping[str, Any]]) -> Reading:
    """Return the Reading that its pieces make up."""
    recipients = [FoundRecipient(*recipient) for piece in pieces for recipient in piece["found"]]
    return Reading(tuple(recipients), tuple(IgnoredText(*ignored) for piece in pieces for ignored in piece["ignored"]))


def _cut(reading: Reading) -> Iterator[Mapping[str, Any]]:
    count = max(len(reading.found), len(reading.ignored))
    if count > MAX_ROWS:
        raise UnreadableError("files.too_large")
    for at in range(0, count, PIECE):
        recipients, ignored = reading.found[at : at + PIECE], reading.ignored[at : at + PIECE]
        yield {
            "found": [
                (recipient.text, recipient.label, recipient.params, recipient.language, recipient.row)
                for recipient in recipients
            ],
            "ignored": [(ignored_piece.text, ignored_piece.why) for ignored_piece in ignored],
        }


def _overview(name: str, seen: Table) -> Overview:
    below, likely = seen.below(has_heading=True), seen.below(has_heading=seen.has_heading)
    return Overview(
        name,
        seen.width,
        seen.rows[seen.heading],
        seen.numbers[seen.heading],
        seen.has_heading,
        seen.column,
        seen.likely,
        seen.rows[:PREVIEWED],
        below[:PREVIEWED],
        [next((row[at] for row in likely if at < len(row) and row[at].strip()), "") for at in range(seen.width)],
        _count_filled(seen.rows, seen.width),
        _count_filled(below, seen.width),
    )


def _count_filled(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    return [sum(at < len(row) and bool(row[at].strip()) for row in rows) for at in range(width)]


def _counts(rows: Sequence[Sequence[str]], method: str, holds: Callable[[str, str], bool]) -> list[int]:
    """Count the cells of each column that hold what `holds` finds."""
    width = max(map(len, rows))
    return [sum(at < len(row) and holds(row[at], method) for row in rows) for at in range(width)]


def _holds_address(cell: str, method: str) -> bool:
    return any(is_address(text, method) for text in read(cell, method).texts)


def _holds_some(cell: str, method: str) -> bool:
    """Return whether a cell holds an address, or a mistyped one."""
    return is_intended(cell, method) or any(is_intended(text, method) for text in read(cell, method).texts)
