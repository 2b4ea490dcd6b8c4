"""Recipients from a sheet: CSV as Excel or WPS write it, or .xlsx. A row that is left out is named in a warning."""

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from imsg_client.errors import SheetError, SheetWarning

TITLES = {
    "smtp": "邮箱 电子邮箱 邮件 电子邮件 邮箱地址 邮件地址 邮箱账号 收件人邮箱 公司邮箱 个人邮箱 工作邮箱 email emails "
    "mail emailaddress mailaddress",
    "sms": "手机 手机号 手机号码 电话 电话号码 联系电话 联系方式 移动电话 phone phones phonenumber mobile mobilephone "
    "mobilenumber tel telephone cell cellphone",
    "wechat": "微信 微信号 微信标记 标记 tag tags wechat",
}
"""Usual headings of the column of a method's recipients, the plainest first."""

OTHERS = """
    姓名 名字 名称 称呼 联系人 客户 客户姓名 员工 员工姓名 学生姓名 收件人 收件人姓名 收信人 接收人 用户 用户名
    用户名称 账号 帐号 账户 部门 公司 单位 职位 职务 岗位 备注 序号 编号 工号 学号 性别 地址 城市 班级 办公电话 座机
    name names fullname firstname lastname contact contacts recipient recipients to user username login account
    department company title position remark remarks note notes no id
"""
"""Usual headings of other columns."""

HEADINGS = frozenset(OTHERS.split()) | {title for titles in TITLES.values() for title in titles.split()}

HEADED_WITHIN = 10
"""The heading is among the first rows that are not empty; above it are titles, usually in merged cells."""

ENCODINGS = ("utf-8-sig", "gb18030")
"""Excel on a Chinese Windows writes CSV in GBK, which GB 18030 contains; its “CSV UTF-8” begins with a mark."""

MIN_DIGITS = 7
"""The fewest digits of a phone number."""

TAG_CHARACTERS = 9

_MAIL = re.compile(r"[@＠]+ *[A-Za-z0-9]|[@＠].*[.。]")
"""A mail address, also a mistyped one; a heading such as `E-mail (@)` does not match."""

_EXAMPLE = re.compile(
    r"[(（*]?(?:(?:必填|选填|可选|required|optional)项?(?!\w)|示例|样例|例如|例[:：]|举例|example\b|e\.g\.)",
    re.IGNORECASE,
)
"""The beginning of a cell in a row of examples, which may hold an address, or in a row of instructions."""

_HINT = re.compile(r"[(（*]?(?:必填|选填|可选|请填|请输入|格式|说明|填写)")
"""The beginning of an instruction. A person's row may hold such words too, in its remarks."""

_NOTE = re.compile(r"[*※]?(?:备注|注意?|说明|提示|示?例|填表人?|制表人?|审核人?|notes?|remarks?)[:：]", re.IGNORECASE)
"""The beginning of a note below the last row."""

_TOTAL = re.compile(
    r"(?:以上)?(?:(?:合计|总计|小计|共计|总数|总人数|人数合计|(?:sub|grand )?totals?)[:：]?(?: ?\d{1,9} ?[人名个条]?)?"
    r"|共 ?\d{1,9} ?[人名个条行])",
    re.IGNORECASE,
)
"""A cell of a row of totals."""

_SENTENCE = re.compile(r"[\s，。：；！？、,:;!?]|[\u4e00-\u9fff][!-~]*[@＠]")
"""A part of a sentence, which an address does not have: `如有疑问请联系 hr@example.com` is a title."""

MAX_NAMED = 5
"""The most rows that a warning names."""

_DAY = re.compile(r"(?:19|20)\d\d[-. ]?(?:0[1-9]|1[0-2])[-. ]?(?:0[1-9]|[12]\d|3[01])")
"""A date in a title, which is not a phone number."""

Rows = Sequence[Sequence[str]]


def read_recipients(
    path: str | PathLike[str],
    method: str = "smtp",
    *,
    column: str | int | None = None,
    sheet: str | None = None,
    heading: bool | None = None,
) -> list[str]:
    """Read one column of recipients, in their order, as they are written.

    `column` is its heading or its number from 1; without it the one that is headed as the method's recipients usually
    are, or the only column. Headings, in one row or several, and titles above them are left out; `heading` states
    whether there is one, where a heading looks like a username. Hints and examples below the headings, totals, notes,
    and rows without a recipient are left out with a SheetWarning that names the first of them. `sheet` is a sheet of a
    workbook (.xlsx, .xls, .ods) by its name; else the first. Raises SheetError, OSError.
    """
    path = Path(path)
    rows = _read_xlsx(path, sheet) if path.suffix.lower() in (".xlsx", ".xlsm", ".xls", ".ods") else _read_csv(path)
    filled = [(number, row) for number, row in enumerate(rows, 1) if any(map(str.isalnum, "".join(row)))]
    numbers, rows = [number for number, _ in filled], [row for _, row in filled]
    if not rows:
        raise SheetError(f"{path.name} is empty")
    at, first = _find_column(rows, method, column, path.name)
    if heading is not None:
        first = max(first, 1) if heading else 0
    elif not (first and (isinstance(column, str) or any(_is_title(row, at) for row in rows[:first]))):
        cells = [row[at] if at < len(row) else "" for row in rows[first:]]
        first += _count_titles(cells, method, path.name, is_headed=first > 0)
    headings = {_normalize(row[at]) for row in rows[:first] if at < len(row)} - {""}
    recipients: list[str] = []
    left_out: list[str] = []
    for number, row in zip(numbers[first:], rows[first:], strict=True):
        cell = row[at] if at < len(row) else ""
        if cell and _normalize(cell) in headings:
            continue  # a heading repeated on each page
        if not cell or _has_no_person(row, cell, method, is_first=not recipients):
            left_out.append(f"row {number} {[text for text in row if text]}")
        else:
            recipients.append(cell)
    if left_out:
        named = ", ".join(left_out[:MAX_NAMED]) + (", …" if len(left_out) > MAX_NAMED else "")
        warnings.warn(f"{path.name}: left out {len(left_out)} without a recipient: {named}", SheetWarning, stacklevel=2)
    return recipients


def _find_column(rows: Rows, method: str, column: str | int | None, name: str) -> tuple[int, int]:
    """Return the column, and the number of rows above its recipients, as far as headings show. Raises SheetError."""
    above = _head(rows, method)
    headed = _count_headed(above)
    if isinstance(column, str):
        for number, row in enumerate(above, 1):
            if count := [_normalize(cell) for cell in row].count(_normalize(column)):
                if count > 1:
                    raise SheetError(f"{name} has {count} columns headed {column!r}: {list(row)}")
                return [_normalize(cell) for cell in row].index(_normalize(column)), max(number, headed)
        raise SheetError(f"{name} has 0 columns headed {column!r}: {list(rows[max(headed - 1, 0)])}")
    width = max(map(len, rows))
    if column is not None:
        if not 1 <= column <= width:
            raise SheetError(f"{name} has {width} columns, and no column {column}")
        return column - 1, headed
    headings = rows[headed - 1] if headed else rows[0]
    columns: list[int] = []
    for row in reversed(above[:headed]):  # the last of several heading rows is the most specific
        if not columns and any(_normalize(cell) in HEADINGS for cell in row):
            columns = [at for at, cell in enumerate(row) if _normalize(cell) in TITLES.get(method, "").split()]
    filled = [at for at in range(width) if any(at < len(row) and row[at] for row in rows)]
    if len(columns) == 1 or (not columns and len(filled) == 1):
        return (columns or filled)[0], headed
    which = "several columns" if columns else "no column"
    raise SheetError(f"{name} has {which} headed as recipients of {method}: say which by `column`; {list(headings)}")


def _head(rows: Rows, method: str) -> Rows:
    """Return the first rows that hold no recipient's address: titles and the headings, if there are any."""
    some = rows[:HEADED_WITHIN]
    for at, row in enumerate(some):
        if any(_is_address(cell, method) for cell in row) and not _is_title_above(some, at):
            return some[:at]
    return some


def _is_title_above(rows: Rows, at: int) -> bool:
    """Return whether a row with an address is a title: one cell, a sentence or alone in its row, above headings."""
    filled = [cell for cell in rows[at] if cell]
    known = max((sum(_normalize(cell) in HEADINGS for cell in row) for row in rows[at + 1 :]), default=0)
    return len(filled) == 1 and known > (0 if _SENTENCE.search(filled[0]) else 1)


def _count_headed(above: Rows) -> int:
    """Count the rows down to the last heading: the row with most words that head columns, and those that follow it.

    0 where no row has any.
    """
    counts = [sum(_normalize(cell) in HEADINGS for cell in row) for row in above]
    highest = max(counts, default=0)
    if not highest:
        return 0
    last = counts.index(highest) + 1
    while last < len(counts) and counts[last]:
        last += 1
    return last


def _has_no_person(row: Sequence[str], cell: str, method: str, *, is_first: bool) -> bool:
    """Return whether a row is a total, a note, or, before the first recipient, a hint or an example."""
    beside = [cell] if _is_address(cell, method) else row
    if _NOTE.match(cell) or any(_TOTAL.fullmatch(text) for text in beside):
        return True
    return is_first and (any(_EXAMPLE.match(text) for text in row) or any(_HINT.match(text) for text in beside))


def _is_title(row: Sequence[str], at: int) -> bool:
    """Return whether a cell is a usual heading of a column of recipients."""
    return at < len(row) and any(_normalize(row[at]) in titles.split() for titles in TITLES.values())


def _count_titles(cells: Sequence[str], method: str, name: str, *, is_headed: bool) -> int:
    """Count the cells above the first address of a column: they are headings where all cells below are addresses.

    Raises SheetError where a cell below is no address, or a heading is known already: the cells may be usernames.
    """
    first = next((at for at, cell in enumerate(cells) if _is_address(cell, method)), 0)
    above = [cell for cell in cells[:first] if cell]
    if above and (is_headed or not all(_is_address(cell, method) for cell in cells[first:] if cell)):
        raise SheetError(f"{name}: {above[0]!r} heads the column or is a recipient; say which by `heading`")
    return first


def _is_address(cell: str, method: str) -> bool:
    """Return whether a cell looks like an address of the method, mistyped ones too; usernames and headings do not."""
    if _normalize(cell) in HEADINGS or _DAY.fullmatch(cell):
        return False
    if method == "smtp":
        return _MAIL.search(cell) is not None
    plain = "".join(sign for sign in cell if sign not in " -.()+（）\u00a0")
    if method == "sms":
        return len(plain) >= MIN_DIGITS and plain.isdecimal()
    if method == "wechat":
        return len(plain) == TAG_CHARACTERS and plain.isascii() and plain.isalnum()
    return False


def _normalize(heading: str) -> str:
    """Return a column's name without decoration, such as that of `*手机号（必填）：`."""
    plain = heading.casefold()
    cut = min((at for sign in "([（【" if (at := plain.find(sign)) > 0), default=len(plain))
    return "".join(plain[:cut].replace("-", "").replace("_", "").split()).strip("*:：@＠")


def _read_csv(path: Path) -> Rows:
    data = path.read_bytes()
    for encoding in ENCODINGS:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        lines = [line for line in text.splitlines() if line.strip()][:HEADED_WITHIN]
        counts = {sign: [line.count(sign) for line in lines] for sign in ",;\t，"}
        delimiter = max(counts, key=lambda sign: (sum(map(bool, counts[sign])), sum(counts[sign])))
        reading = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        return [[_clean(cell) for cell in row] for row in reading]
    raise SheetError(f"{path.name} is neither UTF-8 nor GBK: save it as “CSV UTF-8” or as .xlsx")


def _read_xlsx(path: Path, sheet: str | None) -> Rows:
    try:
        import python_calamine  # noqa: PLC0415  an extra
    except ImportError:
        raise SheetError(f"{path.name} needs python-calamine: pip install './clients/python[sheets]'") from None
    with path.open("rb") as file:
        try:
            book = python_calamine.CalamineWorkbook.from_filelike(file)
        except python_calamine.CalamineError as error:
            raise SheetError(f"{path.name} can't be read as .xlsx: {error}") from error
        if sheet is not None and sheet not in book.sheet_names:
            raise SheetError(f"{path.name} has no sheet {sheet!r}; there are {', '.join(book.sheet_names)}")
        page = book.get_sheet_by_index(0) if sheet is None else book.get_sheet_by_name(sheet)
        return [[_clean(cell) for cell in row] for row in page.iter_rows()]


def _clean(cell: Any) -> str:  # noqa: ANN401  whatever a cell holds
    """Write a cell as a person reads it: a phone number that Excel took for a number has no decimals."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def in_batches(recipients: Sequence[str], size: int = 10_000) -> Iterator[list[str]]:
    """Cut a list into requests of at most `size`: a server takes 10,000 unless its settings say otherwise."""
    for at in range(0, len(recipients), size):
        yield list(recipients[at : at + size])
