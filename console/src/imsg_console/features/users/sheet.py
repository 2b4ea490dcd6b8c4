"""Users in a spreadsheet: its columns, and the mistakes of people who fill it in by hand."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from imsg_channels import BY_NAME, CHANNELS, CONTACTS
from imsg_console.features.users.records import (
    ALL,
    CATEGORIES,
    FIELDS,
    LIMITS,
    MAX_LIMIT,
    MAX_NAME,
    MAX_PASSWORD,
    MIN_PASSWORD,
    read_countries,
    read_senders,
    write_senders,
)
from imsg_console.recipients.address_reader import DUPLICATE, SeenPeople, describe, is_blank, read_cell
from imsg_console.recipients.headings import explain_row, strip_heading
from imsg_console.spreadsheets import find_heading, merge_headings
from imsg_console.texts import Texts, in_every_language
from imsg_console.widgets.csvs import FORMULA, is_number

EXPORTED = (*(name for name in FIELDS if name != "password"), "used_hour", "used_day", "created_at")
NUMBERS = (*LIMITS, "used_hour", "used_day")

MAX_ROWS = 10_000

HEADINGS: Mapping[str, str] = {
    "username": "user, login, 用户, 账号, 帐号, 账户, 登录名, name, 姓名",
    "password": "pass, 口令, 初始密码",
    "email": "mail, e-mail, 邮件, 电子邮件, 电子邮箱",
    "phone": "手机号, 手机号码, mobile, 联系手机, 电话, 电话号码, tel, 联系电话",
    "wechat": "tag, 微信号, 微信标记",
    "role": "权限",
    "per_hour": "hour, hourly, 每小时",
    "per_day": "day, daily, 每天, 每日",
    "available": "enabled, active, 启用, 状态, 可用",
    "department": "dept, 所在部门, 所属部门, 部门名称, 科室",
}
ALIASES = {
    alias.replace("-", ""): (column, rank)
    for column, aliases in HEADINGS.items()
    for rank, alias in enumerate(aliases.split(", "), 1)
}
"""Other words that head columns → (column, rank); 1 is the plainest."""

ROLES: Mapping[str, str] = {
    "user": "user",
    "用户": "user",
    "普通用户": "user",
    "admin": "admin",
    "administrator": "admin",
    "管理员": "admin",
    "operator": "operator",
    "操作员": "operator",
    "auditor": "auditor",
    "审计员": "auditor",
}
METHODS: Mapping[str, str] = {channel.contact: channel.name for channel in CHANNELS if channel.contact is not None}
"""Contact → the method that sends to it."""

YES = frozenset({"yes", "y", "true", "1", "on", "是", "可", "启用", "可以", "正常"})
NO = frozenset({"no", "n", "false", "0", "off", "否", "不", "停用", "禁用", "不可以"})
NO_LIMIT = frozenset({"none", "unlimited", "no limit", "不限", "无", "无限"})


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the sheet."""

    number: int
    """As the spreadsheet counts: its first row is 1."""
    fields: Mapping[str, Any]
    problems: tuple[str, ...] = ()
    """What is wrong with it, a sentence each."""

    @property
    def username(self) -> str:
        """The username of the row."""
        return str(self.fields.get("username", ""))


@dataclass(frozen=True, slots=True)
class UserSheet:
    """The rows of a sheet."""

    lines: tuple[Line, ...] = ()
    problem: str = ""
    """Why no row could be read."""
    ignored: tuple[str, ...] = field(default=())
    """Headings of columns that are ignored."""

    @property
    def good(self) -> list[Line]:
        """The rows without a problem."""
        return [line for line in self.lines if not line.problems]

    @property
    def bad(self) -> list[Line]:
        """The rows with one."""
        return [line for line in self.lines if line.problems]


def read(t: Texts, sheet: Sequence[Sequence[str]]) -> UserSheet:
    """Read a sheet: a heading in the page's words or in others, perhaps below a title, and the rows below it."""
    heading = _find_heading(sheet)
    rows = [(number, row) for number, row in enumerate(sheet, 1) if any(cell.strip() for cell in row)]
    if not rows:
        return UserSheet(problem=t("users.sheet_empty"))
    if heading is None:
        return UserSheet(problem=t("users.sheet_no_username"))
    rows = [(number, row) for number, row in rows if number > heading + 1]
    headings = merge_headings(sheet, heading)
    columns = _columns(headings)
    doubled = [column for column in FIELDS if columns.count(column) > 1]
    if doubled:
        return UserSheet(problem=t("users.sheet_doubled", name=t(f"users.{doubled[0]}")))
    if len(rows) > MAX_ROWS:
        return UserSheet(problem=t("users.sheet_too_long", n=f"{MAX_ROWS:,}"))
    if not rows:
        return UserSheet(problem=t("users.sheet_only_heading"))
    seen = SeenPeople()
    lines = tuple(_line(t, number, columns, cells, seen) for number, cells in rows)
    ignored = tuple(name for name, known in zip(headings, columns, strict=True) if name and not known)
    return UserSheet(lines, ignored=ignored)


def has_usernames(sheet: Sequence[Sequence[str]]) -> bool:
    """Return whether a heading of the sheet names a column of usernames."""
    return _find_heading(sheet) is not None


def _find_heading(sheet: Sequence[Sequence[str]]) -> int | None:
    """Return the place of the heading, of two rows that of the second: cells of the first are merged above it."""

    def count_known(row: Sequence[str]) -> int:
        columns = _columns(row)
        return sum(map(bool, columns)) if "username" in columns else 0

    at = find_heading(sheet, count_known)
    if at is None or at + 1 == len(sheet):
        return at
    first, both = _columns(sheet[at]), _columns(merge_headings(sheet, at + 1))
    is_second = count_known(sheet[at + 1]) == 0 and "username" in both and set(both) > set(first)
    return at + 1 if is_second else at


def _columns(headings: Sequence[str]) -> list[str]:
    """Return the column of each heading; empty: none. A sheet with 姓名 and 用户名 has one column of usernames."""
    ranked = [_column(heading) for heading in headings]
    best = {name: min(rank for column, rank in ranked if column == name) for name, _ in ranked if name}
    return [name if name and rank == best[name] else "" for name, rank in ranked]


def _column(heading: str) -> tuple[str, int]:
    """Return the column of a heading, and its rank: 0 is the page's own word, then the likeliest of others."""
    return _known().get(strip_heading(heading), ("", 0))


@cache
def _known() -> Mapping[str, tuple[str, int]]:
    """Return the words that head columns, as `strip_heading` leaves them."""
    known = dict(ALIASES)
    for column in reversed((*FIELDS, *EXPORTED)):
        ranked = (column if column in FIELDS else "", 0)
        known |= dict.fromkeys(map(strip_heading, (column, *in_every_language(f"users.{column}"))), ranked)
    return known


def _line(t: Texts, number: int, columns: Sequence[str], cells: Sequence[str], seen: SeenPeople) -> Line:
    texts = {name: _cell(cell) for name, cell in zip(columns, cells, strict=False) if name}
    fields: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in texts.items():
        if not text or (name in CONTACTS and is_blank(text)):
            continue
        value, problem = _read(t, name, text)
        if problem:
            problems.append(problem)
        elif name in CONTACTS and (same := seen.find_or_record(number, {METHODS[name]: value})) is not None:
            problems.append(t("users.line_contact", name=t(f"users.{name}"), why=describe(t, DUPLICATE, str(same))))
        else:
            fields[name] = value
    username = texts.get("username", "")
    if not any(name in CONTACTS for name in fields) and (why := _explain(cells, username)):
        return Line(number, {"username": username}, (t("users.line_no_user", why=describe(t, why)),))
    if not username:
        problems.insert(0, t("users.line_no_username"))
    elif len(username) > MAX_NAME:
        problems.insert(0, t("users.line_long_username", n=MAX_NAME))
    elif ":" in username or "/" in username or _reads_as_address(username):
        problems.insert(0, t("users.line_bad_username"))
    elif (same := seen.find_or_record(number, {"username": username})) is not None:
        problems.insert(0, t("users.line_twice", n=same))
    return Line(number, {**fields, "username": username}, tuple(problems))


def _explain(cells: Sequence[str], username: str) -> str:
    """Return the key of the sentence that says why a row without an address is no user's; empty where it may be."""
    known = _columns(cells)
    if "username" in known and sum(map(bool, known)) > 1:
        return "send.is_heading"
    if explain_row((username, ""), METHODS["phone"]) == "send.is_hint":
        return "send.is_hint"
    why = explain_row(cells, METHODS["phone"])
    return why if why == "send.is_total" else ""


def _read(t: Texts, name: str, text: str) -> tuple[Any, str]:
    """Read a cell: its value, or what is wrong with it."""
    label, word, shown = t(f"users.{name}"), text.lower(), text[:40]
    value: Any = text
    problem = ""
    match name:
        case "role":
            value = ROLES.get(word)
            problem = "" if value else t("users.line_role", text=shown)
        case "available" | "may_send_codes":
            value = word in YES
            problem = "" if word in YES | NO else t("users.line_yes_no", name=label, text=shown)
        case "per_hour" | "per_day" | "recipients_per_day":
            is_without = name == "recipients_per_day" and word in NO_LIMIT
            value = None if is_without else _read_limit(text)
            problem = "" if is_without or value is not None else t("users.line_number", name=label, text=shown)
        case "senders":
            value = read_senders(text)
        case "sms_countries":
            value = read_countries(text)
        case "default_category":
            value = _read_category(word)
            problem = "" if value else t("users.line_category", name=label, text=shown)
        case "password" if not MIN_PASSWORD <= len(text) <= MAX_PASSWORD:
            problem = t("users.line_password", least=MIN_PASSWORD, most=MAX_PASSWORD)
        case _ if name in CONTACTS:
            value, why = read_cell(text, METHODS[name])
            problem = why and t("users.line_contact", name=label, why=describe(t, why, text))
    return value, problem


def _read_limit(text: str) -> int | None:
    """Read a limit; None where it is none."""
    plain = unicodedata.normalize("NFKC", text).replace(",", "").removesuffix(".0")
    is_limit = plain.isascii() and plain.isdigit() and len(plain) <= len(str(MAX_LIMIT)) and int(plain) <= MAX_LIMIT
    return int(plain) if is_limit else None


def _read_category(word: str) -> str | None:
    for name in CATEGORIES:
        if word in (name, *(title.lower() for title in in_every_language(f"users.category_{name}"))):
            return name
    return None


def _reads_as_address(username: str) -> bool:
    """Return whether a text is an address in any spelling: the API takes no such username."""
    addresses = [BY_NAME[method].address for method in METHODS.values()]
    return any(
        address.parse(username) is not None or address.find_spelling(username) is not None for address in addresses
    )


def _cell(cell: str) -> str:
    """Remove the apostrophe that keeps a spreadsheet from running a cell."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA) else text


def heading(t: Texts, columns: Iterable[str] = EXPORTED) -> list[str]:
    """Return the headings of the columns."""
    return [t(f"users.{name}") for name in columns]


def row(t: Texts, user: Mapping[str, Any]) -> list[object]:
    """Write a user as a row, so that reading it again gives the same user."""
    return [_write(t, name, user[name]) for name in EXPORTED]


def _write(t: Texts, name: str, value: Any) -> object:  # noqa: ANN401  any JSON
    written: object = value
    match name:
        case "role":
            written = t(f"words.role_{value}")
        case "available" | "may_send_codes":
            written = t("words.yes" if value else "words.no")
        case "recipients_per_day" if value is None:
            written = t("words.unlimited")
        case "phone" if isinstance(value, str) and value.startswith("+86") and is_number(value[3:]):
            written = value[3:]  # eleven digits, which a spreadsheet shows in full
        case "senders":
            written = write_senders(value) or ALL
        case "sms_countries":
            written = ", ".join(value)
        case "default_category":
            written = t(f"users.category_{value}")
    return written
