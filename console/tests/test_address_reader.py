"""The imports of users, groups and suppressions read the same addresses, and know the same mistakes."""

import pytest

from imsg_channels import BY_NAME
from imsg_console.features.suppressions import sheet as suppressions
from imsg_console.features.users import sheet as users
from imsg_console.recipients import people_sheet
from imsg_console.recipients.address_reader import describe
from imsg_console.texts import Texts

ZH = Texts("zh")
HEADINGS = {"smtp": "邮箱", "sms": "手机", "wechat": "微信标记"}

WRITTEN = {
    "sms": {
        "１３８００１３８０００": "13800138000",
        "'13800138000": "13800138000",
        "138-0013-8000": "13800138000",
        "138\u201300138000": "13800138000",
        "13800138000.0": "13800138000",
        "1.3800138000E+10": "13800138000",
        "Tel:138 0013 8000": "13800138000",
        "0086 138 0013 8000": "+8613800138000",
        "8613800138000": "+8613800138000",
        "＋８５２ ９１２３ ４５６７": "+85291234567",
        "\u202d13800138000\u202c": "13800138000",
    },
    "smtp": {
        "ｌｉ＠example.com": "li@example.com",
        "<li@example.com>": "li@example.com",
        "“li@example.com”，": "li@example.com",
        "MAILTO:li@example.com": "li@example.com",
    },
}
"""Method → cell → the address as the API takes it."""

WRONG = {
    "sms": {
        "1380013800": "不是手机号（11 位，或 + 和国家代码开头）",
        "1380013800012": "不是手机号（11 位，或 + 和国家代码开头）",
        "1.38E+10": "被表格软件改成了科学计数，丢了数字。请把这一列设为文本，重新填写",
        "010-88886666": "是座机，收不了短信",
        "无": "不是手机号",
    },
    "smtp": {"li@": "不是完整的邮箱", "li@@example.com": "不是完整的邮箱", "无": "不是邮箱"},
    "wechat": {"7K3-M9Q-2XX": "不是微信标记"},
}
"""Method → cell → what is wrong with it."""


def find_label(method: str) -> str:
    return ZH(f"users.{BY_NAME[method].contact}")


def flatten(cells: dict[str, dict[str, str]]) -> list[tuple[str, str, str]]:
    return [(method, cell, result) for method, of in cells.items() for cell, result in of.items()]


@pytest.mark.parametrize(("method", "cell", "address"), flatten(WRITTEN))
def test_every_import_reads_an_address_however_it_is_written(method: str, cell: str, address: str) -> None:
    heading = HEADINGS[method]
    (user,) = users.read(ZH, [["用户名", heading], ["甲", cell]]).good
    (person,) = people_sheet.read([["姓名", heading], ["甲", cell]]).people
    ((_, suppressed),) = suppressions.read(ZH, [["地址"], [cell]], method, "opt_out").rows
    assert (user.fields[BY_NAME[method].contact or ""], person.contacts[method], suppressed) == (address,) * 3


@pytest.mark.parametrize(("method", "cell", "why"), flatten(WRONG))
def test_every_import_names_what_is_no_address(method: str, cell: str, why: str) -> None:
    heading = HEADINGS[method]
    (user,) = users.read(ZH, [["用户名", heading], ["甲", cell]]).bad
    (person,) = people_sheet.read([["姓名", heading], ["甲", cell]]).problems
    ((line, _, problem),) = suppressions.read(ZH, [["地址"], [cell]], method, "opt_out").problems
    assert user.problems == (f"{find_label(method)}：“{cell}”{why}。",)
    assert describe(ZH, person.why, person.text) == problem == f"“{cell}”{why}"
    assert line == user.number == person.line == 2


@pytest.mark.parametrize(
    ("method", "first", "again"),
    [
        ("sms", "13800138000", "+86 138-0013-8000"),
        ("smtp", "Li@Example.com", "ｌｉ@example.com"),
        ("wechat", "7K3-M9Q-2XH", "7k3m9q2xh"),
    ],
)
def test_every_import_names_the_row_that_has_the_same_address(method: str, first: str, again: str) -> None:
    heading = HEADINGS[method]
    (user,) = users.read(ZH, [["用户名", heading], ["甲", first], ["乙", again]]).bad
    (person,) = people_sheet.read([["姓名", heading], ["甲", first], ["乙", again]]).problems
    ((_, _, problem),) = suppressions.read(ZH, [["地址"], [first], [again]], method, "opt_out").problems
    assert user.problems == (f"{find_label(method)}：与第 2 行重复。",)
    assert describe(ZH, person.why, person.text) == problem == "与第 2 行重复"


def test_an_address_is_suppressed_for_several_reasons() -> None:
    rows = [
        ["地址", "原因"],
        ["a@example.com", "complaint"],
        ["a@example.com", "opt_out"],
        ["A@example.com", "opt_out"],
    ]
    read = suppressions.read(ZH, rows, "smtp", "opt_out")
    assert [fields["reason"] for fields, _ in read.rows] == ["complaint", "opt_out"]
    assert [line for line, _, _ in read.problems] == [4]
