"""Finds the rows of a list that are about no person: headings, hints, examples, totals."""

import re
from collections.abc import Iterable, Sequence
from functools import partial

from imsg_console.recipients.classify_recipient import is_address, is_intended, normalize, strip_invisible
from imsg_console.spreadsheets import name_columns


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


def strip_heading(text: str) -> str:
    """Remove what surrounds the name of a column: `*手机号（必填）：`."""
    plain = normalize(text).lower()
    cut = min((at for sign in "([【" if (at := plain.find(sign)) > 0), default=len(plain))
    return "".join(plain[:cut].replace("-", "").replace("_", "").split()).strip("*:")
