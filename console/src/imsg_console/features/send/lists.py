"""A file of recipients: its sheets, and what each column of them seems to be."""

from collections.abc import Sequence
from dataclasses import dataclass

from imsg_console.features.send.judging import is_meant
from imsg_console.features.send.pasting import Reading, is_heading, read, read_table

SAMPLE = 4_096
"""Rows that a column is judged by."""


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows, and what they seem to be."""

    rows: tuple[tuple[str, ...], ...]
    method: str
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

    def read(self, column: int | None, *, has_heading: bool) -> Reading:
        """Read the recipients: every row gives some, or is said to give none."""
        rows = self.rows[1:] if has_heading else self.rows
        if self.width == 1:
            return read("\n".join(row[0] for row in rows), self.method)
        return read_table(rows, self.method, column)


def table(rows: Sequence[Sequence[str]], method: str) -> Table:
    """Look at rows, at least one of which holds something. Empty rows and columns around them are left out."""
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    first = min(next(at for at, cell in enumerate(row) if cell.strip()) for row in kept)
    last = max(at for row in kept for at, cell in enumerate(row) if cell.strip())
    whole = tuple(tuple(row[first : last + 1]) for row in kept)
    counts = _counts(whole[:SAMPLE], method)
    full = [count for count in counts if count * 2 > min(len(whole), SAMPLE)]
    column = None if len(full) > 1 else counts.index(max(counts))
    return Table(whole, method, is_heading(whole[0], method), column)


def _counts(rows: Sequence[Sequence[str]], method: str) -> list[int]:
    """Count each column's addresses, and what was meant for one: a number that lost its digits has its place too."""
    width = max(map(len, rows))
    return [sum(at < len(row) and _holds_some(row[at], method) for row in rows) for at in range(width)]


def _holds_some(cell: str, method: str) -> bool:
    return is_meant(cell, method) or any(is_meant(one, method) for one in read(cell, method).texts)
