"""People out of the rows of a file: their addresses by channel, and their other columns as fields of their own."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from imsg_channels import CHANNELS
from imsg_console.recipients.address_reader import DUPLICATE, SeenPeople, is_blank, read_cell
from imsg_console.recipients.classify_recipient import is_intended, strip_invisible
from imsg_console.recipients.field_names import find_column
from imsg_console.recipients.headings import count_headings, explain_row, strip_heading
from imsg_console.spreadsheets import name_columns, read_values

METHODS = tuple(channel.name for channel in CHANNELS if channel.contact is not None)
"""The channels whose addresses a file may hold."""

_TITLES: Mapping[str, str] = {
    "smtp": "邮箱 电子邮箱 邮件 电子邮件 邮箱地址 邮件地址 邮箱账号 收件人邮箱 公司邮箱 个人邮箱 工作邮箱 email emails "
    "mail emailaddress mailaddress smtp",
    "sms": "手机 手机号 手机号码 电话 电话号码 联系电话 联系方式 移动电话 phone phones phonenumber mobile mobilephone "
    "mobilenumber tel telephone cell cellphone sms",
    "wechat": "微信标记 微信标签 标记 tag wechat",
}
"""How the column of each channel is usually headed."""

_USERNAMES = frozenset({"用户名", "用户名称", "账号", "帐号", "username", "login", "to"})

TO = "to"
"""In `contacts`: the name of a user."""

SAMPLE = 4_096
"""Rows that a column is judged by."""


@dataclass(frozen=True, slots=True)
class Person:
    """A row about a person."""

    line: int
    contacts: Mapping[str, str]
    """Method → address in the API's form; `TO` → username."""
    params: Mapping[str, str]
    cells: Sequence[str]

    def find(self, method: str) -> str | None:
        """Return the recipient by a channel."""
        return self.contacts.get(method) or self.contacts.get(TO)


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that holds no person who can be written to."""

    line: int
    cells: Sequence[str]
    text: str
    """The cell that is wrong, or the number of the earlier row; empty where something is missing."""
    why: str
    """The key of a sentence for `address_reader.describe`."""


@dataclass(frozen=True, slots=True)
class PeopleSheet:
    """What was read: each row that holds anything is a person, a problem, or left out with a reason."""

    heading: Sequence[str] = ()
    """The names of all columns."""
    fields: Sequence[str] = ()
    """The names of the columns that hold no address."""
    people: list[Person] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    left_out: list[Problem] = field(default_factory=list)
    """Headings on further pages, hints and totals: no person is in these rows."""

    def name_params(self, names: Iterable[str]) -> list[Person]:
        """Return the people, with the columns that fill a template's params under the names of these."""
        columns = {name: column for name in names if (column := find_column(name, self.fields)) is not None}
        return [_name_params(person, columns) for person in self.people]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a sheet."""

    first: int
    """The place of the first row below the heading."""
    names: Sequence[str]
    methods: Mapping[int, str]
    """Column of addresses → method, or `TO`; one column a method."""

    @property
    def are_titled(self) -> bool:
        """Whether a column is headed by a word for the addresses of a channel."""
        return any(map(find_method, self.names))


def read(rows: Sequence[Sequence[str]]) -> PeopleSheet:
    """Read the rows of a sheet. Titles may stand above the heading; without one, columns have numbers."""
    table = [[strip_invisible(cell) for cell in row] for row in rows]
    columns = find_columns(table)
    names, below = columns.names, table[columns.first :]
    others = (column for column in range(len(names)) if column not in columns.methods)
    fields = {column: names[column] for column in others if _is_filled(below, column)}
    sheet = PeopleSheet(tuple(names), tuple(fields.values()))
    seen = SeenPeople()
    for line, cells in enumerate(below, columns.first + 1):
        if any(cells):
            _read_row(sheet, line, cells, columns.methods, fields, seen)
    return sheet


def find_columns(table: Sequence[Sequence[str]]) -> Columns:
    """Find the heading of a sheet, perhaps of two rows, and the columns that hold addresses."""
    at, names = name_columns(table, _count_headings)
    first = 0 if at is None else at + 1
    return Columns(first, names, _find_methods(names, table[first:], len(names)))


def _name_params(person: Person, columns: Mapping[str, str]) -> Person:
    filled = {name: person.params[column] for name, column in columns.items() if column in person.params}
    others = {name: text for name, text in person.params.items() if name not in columns.values()}
    return replace(person, params=others | filled)


def read_best(sheets: Sequence[Sequence[Sequence[str]]]) -> tuple[int, PeopleSheet]:
    """Read the sheet of a workbook that holds most people; return its place too."""
    read_sheets = [read(rows) for rows in sheets]
    best = max(range(len(read_sheets)), key=lambda place: (len(read_sheets[place].people), -place))
    return best, read_sheets[best]


def _count_headings(cells: Sequence[str]) -> int:
    return max(count_headings(cells, method) for method in METHODS)


def _find_methods(names: Sequence[str], below: Sequence[Sequence[str]], width: int) -> dict[int, str]:
    """Return the columns that hold addresses: by their names, else by what most of their cells are; one a channel."""
    methods: dict[int, str] = {}
    for column in range(width):
        method = find_method(names[column])
        if method is not None and method not in methods.values() and _is_filled(below, column):
            methods[column] = method
    for method in METHODS:
        if method in methods.values():
            continue
        counts = Counter(
            column
            for row in below[:SAMPLE]
            for column, cell in enumerate(row)
            if column not in methods and cell and is_intended(cell, method)
        )
        filled = Counter(column for row in below[:SAMPLE] for column, cell in enumerate(row) if cell)
        likely = [column for column, count in counts.items() if count * 2 > filled[column]]
        if likely:
            methods[min(likely)] = method
    user = next((column for column in range(width) if strip_heading(names[column]) in _USERNAMES), None)
    if user is not None and user not in methods:
        methods[user] = TO
    if not methods and width == 1:
        methods[0] = TO
    return methods


def find_method(name: str) -> str | None:
    """Return the channel whose addresses a column of this name holds."""
    title = strip_heading(name)
    return next((method for method, titles in _TITLES.items() if title in titles.split()), None)


def _is_filled(rows: Sequence[Sequence[str]], column: int) -> bool:
    return any(column < len(row) and row[column] for row in rows)


def _read_row(  # noqa: PLR0917  one row, and what is known of its sheet
    sheet: PeopleSheet,
    line: int,
    cells: Sequence[str],
    methods: Mapping[int, str],
    fields: Mapping[int, str],
    seen: SeenPeople,
) -> None:
    """Add a row to the sheet."""
    addresses = _addresses(cells, methods)
    meant = [method for column, method in addresses if is_intended(cells[column], method)]
    why = next((why for method in meant[:1] or METHODS if (why := explain_row(cells, method))), "")
    if why:
        sheet.left_out.append(Problem(line, cells, "", why))
        return
    contacts: dict[str, str] = {}
    for column, method in addresses:
        contacts[method], problem = read_cell(cells[column], method)
        if problem:
            sheet.problems.append(Problem(line, cells, cells[column], problem))
            return
    if not contacts and (
        name := next((cells[at] for at, kind in methods.items() if kind == TO and at < len(cells)), "")
    ):
        contacts[TO] = name
    if not contacts:
        sheet.problems.append(Problem(line, cells, "", "send.none_in_row"))
        return
    if (first := seen.find_or_record(line, contacts)) is not None:
        sheet.problems.append(Problem(line, cells, str(first), DUPLICATE))
        return
    params = read_values(cells, fields)
    sheet.people.append(Person(line, contacts, params, cells))


def _addresses(cells: Sequence[str], methods: Mapping[int, str]) -> list[tuple[int, str]]:
    return [
        (at, method) for at, method in methods.items() if method != TO and at < len(cells) and not is_blank(cells[at])
    ]
