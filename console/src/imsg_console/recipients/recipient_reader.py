"""Reads recipients out of what a person types, pastes or uploads: everything is read or named as ignored."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from imsg_channels import BY_NAME
from imsg_console.recipients.classify_recipient import (
    choose_key,
    explain,
    is_address,
    is_intended,
    normalize,
    rewrite,
    strip_invisible,
)
from imsg_console.spreadsheets import join_quoted, name_columns, read_values

MAX_LABEL_CHARACTERS = 120

MOSTLY = 0.8
"""The share of lines that make the whole a list of people, a line each."""


@dataclass(frozen=True, slots=True)
class FoundRecipient:
    """A text that is to be a recipient."""

    text: str
    """As the API takes it where it is an address, else as it was written."""
    label: str = ""
    """What stood beside it: a name, a department."""
    params: Mapping[str, str] = field(default_factory=dict)
    """Fields of this person, which a template may take."""
    language: str | None = None
    """In which a template is sent to this person; None: as to all."""
    row: int = 0
    """The row of a sheet, from 1; 0 where it stood in none."""


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
    found: list[FoundRecipient] = []
    ignored: list[IgnoredText] = []
    for number, cells in whole:
        if why := explain_row(cells, method):
            ignored.append(IgnoredText(_join(cells), why))
            continue
        tokens = _read_cell(cells[column], column, method, has_columns=True) if column < len(cells) else []
        label = _join(cell for at, cell in enumerate(cells) if at != column)
        if not tokens and label:
            ignored.append(IgnoredText(label, choose_key(method, f"send.no_{method}_in_row", "send.none_in_row")))
        params = read_values(list(map(strip_invisible, cells)), names)
        found += [FoundRecipient(token.text, _join((token.label, label)), params, row=number) for token in tokens]
    return Reading(tuple(found), tuple(ignored))


def name_fields(rows: Sequence[Sequence[str]], method: str) -> tuple[int | None, dict[int, str]]:
    """Return the place of the heading of a list of recipients, and the names of its columns."""
    at, names = name_columns(rows, partial(count_headings, method=method))
    return at, dict(enumerate(map(strip_invisible, names)))


def explain_row(cells: Iterable[str], method: str) -> str:
    """Return the key of the sentence that says why a row is about no person; empty where it may be.

    Headings may take several rows; below them may be hints or an example, and at the end totals. A row with an address
    is a person's, who may have such words in the remarks; an example has one too.
    """
    texts = [strip_invisible(cell) for cell in cells]
    if count_headings(texts, method):
        return "send.is_heading"
    if len(texts) > 1 and any(_EXAMPLE.match(normalize(text)) for text in texts):
        return "send.is_hint"
    if any(is_address(text, method) for text in texts):
        return ""
    if any(_TOTAL.fullmatch(normalize(text)) for text in texts):
        return "send.is_total"
    return "send.is_hint" if len(texts) > 1 and any(_HINT.match(normalize(text)) for text in texts) else ""


def count_headings(cells: Iterable[str], method: str) -> int:
    """Count the words of a row that head columns; 0 where a cell is an address, or a mistyped one."""
    texts = [strip_invisible(cell) for cell in cells]
    if any(is_address(text, method) or is_intended(text, method) for text in texts):
        return 0
    return sum(strip_heading(text) in HEADINGS for text in texts)


_TOTAL = re.compile(
    r"(?:以上)?(?:(?:合计|总计|小计|共计|总数|总人数|人数合计|(?:sub|grand )?totals?):?(?: ?[0-9]{1,9} ?[人名个条]?)?"
    r"|共 ?[0-9]{1,9} ?[人名个条行])",
    re.IGNORECASE,
)
_EXAMPLE = re.compile(
    r"[(*]?(?:(?:必填|选填|可选|required|optional)项?(?!\w)|示例|样例|例如|例:|举例|example\b|e\.g\.)", re.IGNORECASE
)
_HINT = re.compile(
    r"[(*]?(?:必填|选填|可选|请填|请输入|格式|说明|填写|[*※]?(?:备注|注意?|提示|填表人?|制表人?|审核人?|notes?|remarks?):)",
    re.IGNORECASE,
)

_HEADINGS = """
    姓名 名字 名称 称呼 联系人 客户 客户姓名 员工 员工姓名 学生姓名 收件人 收件人姓名 接收人
    手机 手机号 手机号码 电话 电话号码 联系电话 联系方式 移动电话 办公电话 座机
    邮箱 邮箱地址 电子邮箱 电子邮件 邮件 邮件地址 邮箱账号 公司邮箱 个人邮箱 工作邮箱
    用户 用户名 用户名称 账号 帐号 账户 登录名 微信 微信号 微信标记 标记
    部门 公司 单位 职位 职务 岗位 备注 序号 编号 工号 学号 性别 地址 城市 班级
    name names fullname firstname lastname givenname familyname surname contact contacts recipient recipients to
    email emails emailaddress mail mailaddress phone phonenumber mobile mobilephone mobilenumber cell cellphone tel
    telephone user username login account wechat tag department company title position remark remarks note notes no id
"""
HEADINGS = frozenset(_HEADINGS.split())
"""Words that head columns."""


@dataclass(frozen=True, slots=True)
class _Token:
    """One thing between separators."""

    text: str
    is_address: bool = False
    is_intended: bool = False
    """Whether it is an address, or a mistyped one."""
    label: str = ""
    column: int = 0
    is_apart: bool = False
    """Whether it is part of a list in a cell with an address: then it is a recipient itself, and no label."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One line."""

    cells: tuple[str, ...]
    tokens: tuple[_Token, ...]
    number: int = 0

    @property
    def addresses(self) -> list[_Token]:
        return [token for token in self.tokens if token.is_address]

    @property
    def others(self) -> list[_Token]:
        """The texts that are neither addresses nor mistyped ones."""
        return [token for token in self.tokens if not token.is_intended]

    @property
    def text(self) -> str:
        return _join(self.cells)


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
    return len(tabbed) > 1 or (len(tabbed) == 1 and not _SEPARATOR.search(tabbed[0]))


def _is_line_each(rows: Sequence[_Row]) -> bool:
    """Return whether nearly every line holds one address and the same number of other things: a name, a number."""
    beside = Counter(len(row.others) for row in rows if len(row.addresses) == 1 and row.others)
    usual = max(beside.values(), default=0)
    return usual > 1 and usual >= MOSTLY * (len(rows) - 1)  # less a heading


def _read_list(rows: Sequence[_Row], method: str) -> Reading:
    """Read a list: every text is a recipient, but headings, hints and totals among addresses."""
    found: list[FoundRecipient] = []
    ignored: list[IgnoredText] = []
    has_addresses = any(row.addresses for row in rows)
    for row in rows:
        if len(rows) > 1 and has_addresses and (why := explain_row(_texts(row.tokens), method)):
            ignored.append(IgnoredText(row.text, why))
        else:
            found += [FoundRecipient(token.text, token.label) for token in row.tokens]
    return Reading(tuple(found), tuple(ignored))


def _read_people(rows: Sequence[_Row], method: str, names: Mapping[int, str] = MappingProxyType({})) -> Reading:
    """Read rows about people: the addresses of each row; its other texts are their labels, its columns their fields."""
    found: list[FoundRecipient] = []
    ignored: list[IgnoredText] = []
    counts = Counter(address.column for row in rows for address in row.addresses)
    best = counts.most_common(1)[0][0]
    for row in rows:
        if why := explain_row(row.cells if len(row.cells) > 1 else _texts(row.tokens), method):
            ignored.append(IgnoredText(row.text, why))
            continue
        taken: list[_Token] = []
        for token in row.tokens:
            is_wanted = token.is_intended and (
                BY_NAME[method].contact == "email" or counts[token.column] or not row.addresses
            )
            if token.is_address or token.is_apart or is_wanted:
                taken.append(token)
            elif token.is_intended:  # a landline, say, in a column that holds no address at all
                ignored.append(IgnoredText(token.text, explain(token.text, method)))
        beside = [other for other in row.others if not other.is_apart]
        if not taken and len(row.cells) > 1:  # a username among addresses
            taken = [token for token in beside if token.column == best]
            beside = [token for token in beside if token.column != best]
        if not taken:
            ignored.append(IgnoredText(row.text, choose_key(method, f"send.no_{method}_in_row", "send.none_in_row")))
            continue
        label = _join(text for token in beside for text in (token.label, token.text))
        params = read_values(list(map(strip_invisible, row.cells)), names)
        found += [FoundRecipient(one.text, _join((one.label, label)), params, row=row.number) for one in taken]
    return Reading(tuple(found), tuple(ignored))


def _texts(tokens: Iterable[_Token]) -> list[str]:
    return [token.text for token in tokens]


def _join(texts: Iterable[str]) -> str:
    return " ".join(text for one in texts if (text := strip_invisible(one)))[:MAX_LABEL_CHARACTERS]


def strip_heading(text: str) -> str:
    """Remove what surrounds the name of a column: `*手机号（必填）：`."""
    plain = normalize(text).lower()
    cut = min((at for sign in "([【" if (at := plain.find(sign)) > 0), default=len(plain))
    return "".join(plain[:cut].replace("-", "").replace("_", "").split()).strip("*:")


def _read_row(cells: Sequence[str], method: str, number: int = 0) -> _Row:
    tokens = [one for at, cell in enumerate(cells) for one in _read_cell(cell, at, method, has_columns=len(cells) > 1)]
    return _Row(tuple(cells), tuple(tokens), number)


def _read_cell(text: str, column: int, method: str, *, has_columns: bool) -> list[_Token]:
    tokens = [token for piece in _split(text) for token in _read_piece(piece, method)]
    is_list = has_columns and any(token.is_address for token in tokens) and _SEPARATOR.search(text) is not None
    return [replace(token, column=column, is_apart=is_list and not token.is_intended) for token in tokens]


_MARK = re.compile('[,;，；、|\t\v\f<＜>＞"]')
_SEPARATOR = re.compile("[,;，；、|]")
_CLOSED = re.compile(r"[ \t\u00a0]*(?:[<＜,;，；、|\t\r\n]|$)")
"""What a quotation is followed by: nothing else makes it one."""

_Run = tuple[str, bool]
"""A text, and whether it stood in angle brackets."""


def _split(text: str) -> Iterator[list[_Run]]:
    """Cut a line at its separators. Outlook parts people by semicolons, and their names may hold commas."""
    if ";" not in text or "<" not in text or '"' in text:
        yield from _cut_at_every(text)
        return
    for part in text.split(";"):
        name, bracket, address = part.partition("<")
        is_name = "<" not in address and not any(sign.isdecimal() or sign in "@＠" for sign in name)
        yield from _cut_at_every(
            " ".join(name.replace(",", " ").split()) + bracket + address if bracket and is_name else part
        )


def _cut_at_every(text: str) -> Iterator[list[_Run]]:
    """Cut a line at its separators; none counts inside a quoted name, `"Li, Si" <li@example.com>`. One pass."""
    runs: list[_Run] = []
    start, opened, quoted_to, is_unquoted = 0, -1, -1, False
    for mark in _MARK.finditer(text):
        at, sign = mark.start(), mark[0]
        if at < quoted_to:
            continue
        if sign == '"':
            if at == quoted_to or is_unquoted:
                continue
            closing = text.find('"', at + 1)
            is_unquoted = closing < 0  # nor will there be any after it
            if closing > 0 and _holds_together(text, at + 1, closing):
                quoted_to = closing
        elif sign in "<＜":
            opened = at
        elif sign in ">＞":
            if opened >= start:
                runs += [(text[start:opened], False), (text[opened + 1 : at], True)]
                start = at + 1
            opened = -1
        else:
            yield [*runs, (text[start:at], False)]
            runs, start, opened = [], at + 1, -1
    yield [*runs, (text[start:], False)]


def _holds_together(text: str, start: int, end: int) -> bool:
    """Return whether a quoted text is a name, and not a list of addresses."""
    after = _CLOSED.match(text, end + 1)
    if after is None:
        return False
    return after[0][-1:] in ("<", "＜") or not any(sign.isdecimal() or sign in "@＠" for sign in text[start:end])


def _read_piece(runs: Sequence[_Run], method: str) -> Iterator[_Token]:
    """Read the text between two separators: usually one recipient, several where blanks separate them."""
    name: list[str] = []
    last: _Token | None = None
    for number, (text, is_bracketed) in enumerate(runs):
        if is_bracketed:
            inner = list(_read_words(text.replace("mailto:", " ", 1), method))
            for one in inner or map(_Token, name or ["<>"]):
                if last is not None:
                    yield last
                last = replace(one, label=_join(name) or one.label) if inner else one
            name = []
            continue
        words = list(_read_words(text, method))
        if number + 1 < len(runs):  # a bracket follows: the words before it are its name
            cut = max((at + 1 for at, one in enumerate(words) if one.is_intended), default=0)
            name = [word.text for word in words[cut:]]
            words = words[:cut]
        elif last is not None and last.is_address and not last.label and not any(word.is_intended for word in words):
            last, words = replace(last, label=_join(_texts(words))), []
        if words and last is not None:
            yield last
            last = None
        yield from words
    if last is not None:
        yield last


_EDGES = " \t\"'“”‘’「」<>＜＞"
_PARTS = {
    "smtp": re.compile(r"[A-Za-z0-9!#$%&'*+=?^_`{}~.@-]+"),
    "sms": re.compile(r"[0-9+.·-]+"),
    "wechat": re.compile(r"[0-9A-Za-z-]+"),
}
_NAME = re.compile(r"[0-9A-Za-z_-]+")
"""What an address that sticks to other letters is made of: one class each, so that nothing is looked at twice."""

_NUMERIC = re.compile(r"[0-9+().·-]+")


def _read_words(text: str, method: str) -> Iterator[_Token]:
    """Read a text without separators other than blanks."""
    bare = strip_invisible(strip_invisible(text).strip(_EDGES))
    if not bare:
        if "<" in text or "＜" in text:
            yield _Token(text.strip())
        return
    if (address := rewrite(bare, method)) is not None:
        yield _Token(address, is_address=True, is_intended=True)
        return
    words = [word for one in bare.split() if (word := strip_invisible(one.strip(_EDGES)))]
    tokens = [token for number in _join_numbers(words, method) for token in _read_word(number, method)]
    if any(token.is_intended for token in tokens):
        yield from tokens
    else:
        yield _Token(bare)


def _read_word(word: str, method: str) -> list[_Token]:
    """Read a word: an address, one that sticks to a name (`张三：13800138000`), or anything else."""
    if (address := rewrite(word, method)) is not None:
        return [_Token(address, is_address=True, is_intended=True)]
    plain = normalize(word)
    parts = [(part.start(), part.end(), part[0].strip("-.")) for part in _PARTS.get(method, _NAME).finditer(plain)]
    whole = [part for part in parts if _is_separate(plain, part[0], part[1]) and is_address(part[2], method)]
    if not whole:
        return [_Token(word, is_intended=is_intended(word, method))]
    starts, ends = [0, *(end for _, end, _ in whole)], [*(start for start, _, _ in whole), len(plain)]
    rest = " ".join(plain[start:end] for start, end in zip(starts, ends, strict=True))
    if is_intended(rest.strip(), method):  # who knows which was wanted
        return [_Token(word, is_intended=True)]
    label = _join(part.strip(":：()（）/\\-—=[]【】") for part in rest.split())
    return [
        _Token(rewrite(text, method) or text, is_address=True, is_intended=True, label=label) for _, _, text in whole
    ]


def _is_separate(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    return not any(sign.isascii() and (sign.isalnum() or sign in "@_") for sign in (before, after) if sign)


def _join_numbers(words: Sequence[str], method: str) -> list[str]:
    """Put phone numbers together that blanks cut: `张三 138 0013 8000`."""
    if not BY_NAME[method].address.is_dialled:
        return list(words)
    joined: list[str] = []
    run: list[str] = []
    for word in (*words, ""):
        if word and _NUMERIC.fullmatch(normalize(word)):
            run.append(word)
            continue
        joined += _split_numbers(run, method)
        run = []
        if word:
            joined.append(word)
    return joined


MAX_PHONE_WORDS = 8
"""Blanks inside a number: +1 415 555 01 00 has four."""


def _split_numbers(run: Sequence[str], method: str) -> Iterator[str]:
    """Cut a run of digits into numbers, each as long as it can be."""
    at = 0
    while at < len(run):
        most = next((n for n in range(1, MAX_PHONE_WORDS) if run[at + n : at + n + 1] and "+" in run[at + n]), len(run))
        for count in range(min(most, MAX_PHONE_WORDS, len(run) - at), 0, -1):
            if count == 1 or is_address(" ".join(run[at : at + count]), method):
                yield " ".join(run[at : at + count])
                at += count
                break
