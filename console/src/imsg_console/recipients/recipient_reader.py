"""Reads recipients out of what a person types, pastes or uploads: everything is read or named as ignored."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from imsg_channels import BY_NAME
from imsg_console.recipients.classify_recipient import choose_key, explain, strip_invisible
from imsg_console.recipients.headings import explain_row, name_fields
from imsg_console.recipients.recipient_tokens import SEPARATOR, Token, join_label, list_texts, read_tokens
from imsg_console.spreadsheets import join_quoted, read_values

MOSTLY = 0.8
"""The share of lines that make the whole a list of people, a line each."""


@dataclass(frozen=True, slots=True)
class FoundRecipient:
    """A text that is to be a recipient."""

    text: str
    """The API's form of an address, else the text as written."""
    label: str = ""
    """The text beside it: a name, a department."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Fields of this person, which a template may take."""
    language: str | None = None
    """In which a template is sent to this person; None: as to all."""
    row: int = 0
    """The row of a sheet, from 1; 0 without a sheet."""


@dataclass(frozen=True, slots=True)
class IgnoredText:
    """A text that is no recipient."""

    text: str
    why: str
    """The key of a sentence."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read, in its order: each text that might be a recipient is in one of the two."""

    found: tuple[FoundRecipient, ...] = ()
    ignored: tuple[IgnoredText, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The recipients alone."""
        return [recipient.text for recipient in self.found]


def read(text: str, method: str) -> Reading:
    """Read a text with any separators between the recipients. Linear in the text's length.

    Lines with tabs come from a spreadsheet, a row a line: every address of a row is a recipient, and the other texts of
    the row are its label. The same holds where nearly every line has one address and something beside it. Other texts
    are lists, where a text that is no address may be a username. Blanks part those where nothing else parts the text.
    """
    text = join_quoted(text)
    lines = [line for line in text.splitlines() if line.strip()]
    if _has_columns(lines):
        cells = [line.split("\t") for line in lines]
        rows = [_read_row(row, method, number) for number, row in enumerate(cells, 1)]
        _, names = name_fields(cells, method)
        return _read_people(rows, method, names) if any(row.addresses for row in rows) else _read_list(rows, method)
    rows = [_read_row([line], method) for line in lines]
    if _is_line_each(rows):
        return _read_people(rows, method)
    if len(rows) == 1 and not _PARTED.search(lines[0]):
        rows = [_cut_names(rows[0])]
    return _read_list(rows, method)


def read_table(
    rows: Iterable[tuple[int, Sequence[str]]], method: str, column: int | None, names: Mapping[int, str]
) -> Reading:
    """Read a file's rows below the heading, each with its number: the recipients of one column, or of all (None).

    `names` are those of the columns, which become fields of the people.
    """
    whole = list(rows)
    if column is None:
        parsed = [_read_row(cells, method, number) for number, cells in whole]
        width = max((len(cells) for _, cells in whole), default=0)
        return (
            _read_people(parsed, method, names)
            if width > 1 and any(row.addresses for row in parsed)
            else _read_list(parsed, method)
        )
    recipients: list[FoundRecipient] = []
    ignored: list[IgnoredText] = []
    for number, cells in whole:
        if why := explain_row(cells, method):
            ignored.append(IgnoredText(join_label(cells), why))
            continue
        tokens = read_tokens(cells[column], column, method, has_columns=True) if column < len(cells) else []
        label = join_label(cell for at, cell in enumerate(cells) if at != column)
        if not tokens and label:
            ignored.append(IgnoredText(label, choose_key(method, f"send.no_{method}_in_row", "send.none_in_row")))
        params = read_values(list(map(strip_invisible, cells)), names)
        recipients += [
            FoundRecipient(token.text, join_label((token.label, label)), params, row=number) for token in tokens
        ]
    return Reading(tuple(recipients), tuple(ignored))


@dataclass(frozen=True, slots=True)
class _Row:
    """One line."""

    cells: tuple[str, ...]
    tokens: tuple[Token, ...]
    number: int = 0

    @property
    def addresses(self) -> list[Token]:
        return [token for token in self.tokens if token.is_address]

    @property
    def others(self) -> list[Token]:
        """The texts that are neither addresses nor mistyped ones."""
        return [token for token in self.tokens if not token.is_intended]

    @property
    def text(self) -> str:
        return join_label(self.cells)


_PARTED = re.compile('[,;，；、|"]')


def _cut_names(row: _Row) -> _Row:
    """Cut texts that are no addresses at their blanks."""
    tokens = (
        replace(token, text=word)
        for token in row.tokens
        for word in ([token.text] if token.is_intended else token.text.split())
    )
    return replace(row, tokens=tuple(tokens))


def _has_columns(lines: Sequence[str]) -> bool:
    """Return whether lines come from a spreadsheet; a tab in a single line may separate recipients."""
    tabbed = [line for line in lines if "\t" in line]
    return len(tabbed) > 1 or (len(tabbed) == 1 and not SEPARATOR.search(tabbed[0]))


def _is_line_each(rows: Sequence[_Row]) -> bool:
    """Return whether nearly every line holds one address and the same number of other things: a name, a number."""
    beside = Counter(len(row.others) for row in rows if len(row.addresses) == 1 and row.others)
    usual = max(beside.values(), default=0)
    return usual > 1 and usual >= MOSTLY * (len(rows) - 1)  # less a heading


def _read_list(rows: Sequence[_Row], method: str) -> Reading:
    """Read a list: every text is a recipient, but headings, hints and totals among addresses."""
    recipients: list[FoundRecipient] = []
    ignored: list[IgnoredText] = []
    has_addresses = any(row.addresses for row in rows)
    for row in rows:
        if len(rows) > 1 and has_addresses and (why := explain_row(list_texts(row.tokens), method)):
            ignored.append(IgnoredText(row.text, why))
        else:
            recipients += [FoundRecipient(token.text, token.label) for token in row.tokens]
    return Reading(tuple(recipients), tuple(ignored))


def _read_people(rows: Sequence[_Row], method: str, names: Mapping[int, str] = MappingProxyType({})) -> Reading:
    """Read rows about people: the addresses of each row; its other texts are their labels, its columns their fields."""
    recipients: list[FoundRecipient] = []
    ignored: list[IgnoredText] = []
    counts = Counter(address.column for row in rows for address in row.addresses)
    best = counts.most_common(1)[0][0]
    for row in rows:
        if why := explain_row(row.cells if len(row.cells) > 1 else list_texts(row.tokens), method):
            ignored.append(IgnoredText(row.text, why))
            continue
        chosen: list[Token] = []
        for token in row.tokens:
            is_wanted = token.is_intended and (
                BY_NAME[method].contact == "email" or counts[token.column] or not row.addresses
            )
            if token.is_address or token.is_apart or is_wanted:
                chosen.append(token)
            elif token.is_intended:  # a landline, say, in a column that holds no address at all
                ignored.append(IgnoredText(token.text, explain(token.text, method)))
        beside = [other for other in row.others if not other.is_apart]
        if not chosen and len(row.cells) > 1:  # a username among addresses
            chosen = [token for token in beside if token.column == best]
            beside = [token for token in beside if token.column != best]
        if not chosen:
            ignored.append(IgnoredText(row.text, choose_key(method, f"send.no_{method}_in_row", "send.none_in_row")))
            continue
        label = join_label(text for token in beside for text in (token.label, token.text))
        params = read_values(list(map(strip_invisible, row.cells)), names)
        recipients += [
            FoundRecipient(token.text, join_label((token.label, label)), params, row=row.number) for token in chosen
        ]
    return Reading(tuple(recipients), tuple(ignored))


def _read_row(cells: Sequence[str], method: str, number: int = 0) -> _Row:
    tokens = [
        token for at, cell in enumerate(cells) for token in read_tokens(cell, at, method, has_columns=len(cells) > 1)
    ]
    return _Row(tuple(cells), tuple(tokens), number)
