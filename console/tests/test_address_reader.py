"""The imports of users, groups and suppressions read the same addresses, and know the same mistakes."""

import io

import pytest
from xlsxwriter import Workbook

from imsg_channels import BY_NAME
from imsg_console import spreadsheets
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
        "０８６-13800138000": "+8613800138000",
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
        "13800138000\n13900139000": "里不止一个地址，请每行只写一个",
        "13800138000/13900139000": "里不止一个地址，请每行只写一个",
        "张三": "不是手机号",
    },
    "smtp": {
        "li@": "不是完整的邮箱",
        "li@@example.com": "不是完整的邮箱",
        "li@example.com; wang@example.com": "里不止一个地址，请每行只写一个",
        "张三": "不是邮箱",
    },
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
    said = f"“{' '.join(cell.split())}”{why}"
    assert user.problems == (f"{find_label(method)}：{said}。",)
    assert describe(ZH, person.why, person.text) == problem == said
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


CLASS: list[list[str | int]] = [
    ["１３８００１３８００１", "a@example.com"],
    ["0086 138 0013 8002", "无"],
    ["+86 138-0013-8003", "N/A"],
    [13800138004, ""],
    [8613800138005, "b@example.com"],
    [1380013800612, "c@example.com"],
    ["+852 9123 4567", ""],
    ["138 0013\n8008", ""],
    ["13800138009\n13800138010", "d@example.com"],
    ["138-0013-8001", ""],
    ["", ""],
    ["13800138012", "e@example"],
]
"""Phone and mail of each row of a class."""


def write_class() -> bytes:
    """Write a workbook as a school keeps one: titles and headings of merged cells, numbers as numbers, a total."""
    file = io.BytesIO()
    book = Workbook(file)
    book.add_worksheet("填写说明").write(0, 0, "请勿修改表头")
    sheet = book.add_worksheet("三年级二班")
    sheet.merge_range(0, 0, 0, 3, "三年级二班家长联系表")
    sheet.merge_range(1, 0, 1, 3, "制表：王老师，2026 年 9 月")
    sheet.merge_range(2, 0, 3, 0, "序号")
    sheet.merge_range(2, 1, 3, 1, "姓名")
    sheet.merge_range(2, 2, 2, 3, "联系方式")
    sheet.write_row(3, 2, ["手机号码（必填）", "电子邮箱"])
    for place, cells in enumerate(CLASS):
        sheet.write_row(4 + place, 0, (place + 1, f"学生{place}", *cells))
    sheet.write_row(4 + len(CLASS), 0, ["合计", f"{len(CLASS)} 人"])
    book.add_worksheet("三年级三班").write(0, 0, "13800138099")
    book.close()
    return file.getvalue()


def test_every_import_reads_a_class_with_merged_titles_and_loses_no_row() -> None:
    sheets = spreadsheets.join(spreadsheets.read_columns(write_class()))
    rows = range(5, 5 + len(CLASS) + 1)
    place, people = people_sheet.read_best([sheet.rows for sheet in sheets])
    assert sheets[place].name == "三年级二班"
    phones = {person.line: person.contacts["sms"] for person in people.people}
    assert phones == {
        5: "13800138001",
        6: "+8613800138002",
        7: "+8613800138003",
        8: "13800138004",
        9: "+8613800138005",
        11: "+85291234567",
        12: "13800138008",
    }
    named = {problem.line: describe(ZH, problem.why, problem.text) for problem in [*people.problems, *people.left_out]}
    assert sorted(list(phones) + list(named)) == list(rows)

    users_read = users.read(ZH, sheets[place].rows)
    assert users_read.ignored == ("序号",)
    assert {row.number: row.fields["phone"] for row in users_read.good if "phone" in row.fields} == phones
    assert [row.number for row in users_read.good if "phone" not in row.fields] == [15]
    assert [row.number for row in users_read.bad] == [10, 13, 14, 16, 17]
    assert users_read.bad[-1].problems == ("这一行不是用户：是合计行。",)

    place, suppressed = suppressions.read_best(ZH, sheets, "sms", "opt_out")
    assert sheets[place].name == "三年级二班"
    assert [address for _, address in suppressed.rows] == [*phones.values(), "13800138012"]
    assert {line: why for line, _, why in suppressed.problems} == {
        line: why for line, why in named.items() if line != 16
    }
    _, mails = suppressions.read_best(ZH, sheets, "smtp", "opt_out")
    assert mails.counts == {"smtp": 4}
    assert sorted([line for line, _, _ in mails.problems]) == [6, 7, 8, 11, 12, 14, 15, 16, 17]


def test_a_list_of_another_channel_is_read_as_what_it_holds() -> None:
    rows = [["13800138001"], ["+852 9123 4567"]]
    assert suppressions.read(ZH, rows, "smtp", "opt_out").counts == {"sms": 2}


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
