"""Recipients come out of the sheets that people have, each of them."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import xlsxwriter

from imsg_client.errors import SheetError, SheetWarning
from imsg_client.sheets import in_batches, read_recipients


def workbook(path: Path, rows: list[list[object]], sheet: str = "客户") -> Path:
    with xlsxwriter.Workbook(path) as book:
        page = book.add_worksheet(sheet)
        for number, row in enumerate(rows):
            page.write_row(number, 0, row)
    return path


def test_a_column_of_a_workbook_is_found_by_its_heading_and_numbers_stay_numbers(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "客户.xlsx",
        [["姓名", "手机号", "备注"], ["张三", 13800138000, ""], ["", "", ""], ["李四", "159 1234 1256", "x"]],
    )
    assert read_recipients(path, "sms") == ["13800138000", "159 1234 1256"]
    assert read_recipients(path, "sms", column=1) == ["张三", "李四"]
    with pytest.warns(SheetWarning, match="row 2 .'张三'"):
        assert read_recipients(path, "sms", column="备注") == ["x"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_is_read_as_excel_and_wps_write_it(tmp_path: Path, encoding: str, delimiter: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(
        f"姓名{delimiter}邮箱\r\n张三{delimiter}zhang@example.com\r\n,\r\n王芳{delimiter}“王芳” <w@x.cn>\r\n".encode(
            encoding
        )
    )
    found = read_recipients(path)
    assert found[0] == "zhang@example.com"
    assert found[-1] == "“王芳” <w@x.cn>"


def test_one_column_needs_no_heading_and_loses_no_first_row(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("a@x.cn\nb@x.cn\n", encoding="utf-8")
    assert read_recipients(path) == ["a@x.cn", "b@x.cn"]
    path.write_text("Email\na@x.cn\nb@x.cn\n", encoding="utf-8")
    assert read_recipients(path) == ["a@x.cn", "b@x.cn"]


@pytest.mark.parametrize(
    "heading",
    [
        "收件邮箱",
        "E-mail (@)",
        "邮箱@公司",
        "联系人@",
        "名单\n收信人",
        "E-mail 地址（必填）",
        "*邮箱：",
        "Work e-mail",
        "客户名单\n\n邮箱",
        "名单\n2026 年\n收件的邮箱",
    ],
)
def test_a_heading_is_never_a_recipient(tmp_path: Path, heading: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{heading}\na@x.cn\nb@@x.cn\n", encoding="utf-8")
    assert read_recipients(path) == ["a@x.cn", "b@@x.cn"]
    beside = heading.replace("\n", ",,\n")
    path.write_text(f"{beside},姓名,备注\na@x.cn,张三,\nb@@x.cn,李四,\n", encoding="utf-8")
    assert read_recipients(path, column=1) == ["a@x.cn", "b@@x.cn"]


@pytest.mark.parametrize("day", ["2026-11-29", "20261129", "2026.11.29", "名单 20261129"])
def test_a_day_is_a_title_and_a_heading_repeated_on_each_page_is_none_again(tmp_path: Path, day: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"{day}\n13800138000\n", encoding="utf-8")
    assert read_recipients(path, "sms") == ["13800138000"]
    path.write_text(f"{day}\n手机号\n13800138000\n手机号（必填）\n13800138001\n", encoding="utf-8")
    assert read_recipients(path, "sms") == ["13800138000", "13800138001"]
    path.write_text("recipient\nabcdefghi\n", encoding="utf-8")
    assert read_recipients(path, "wechat") == ["abcdefghi"]


@pytest.mark.parametrize("title", [["客户名单"], ["客户名单（2026 年）", "", ""], ["客户", "", ""], ["手机", "", ""]])
def test_headings_are_found_below_a_title(tmp_path: Path, title: list[object]) -> None:
    rows: list[list[object]] = [
        title,
        ["", "", ""],
        ["姓名", "手机号（必填）", "备注"],
        ["张三", 13800138000, ""],
        ["李四", "", "x"],
    ]
    path = workbook(tmp_path / "客户.xlsx", rows)
    for column in (None, "手机号", 2):
        with pytest.warns(SheetWarning, match="row 5 .'李四'"):
            assert read_recipients(path, "sms", column=column) == ["13800138000"]


SHEETS = {
    "a title with an address": ("如有疑问请联系 hr@x.cn,,\n姓名,邮箱,备注\n张三,a@x.cn,\n李四,b@x.cn,\n", ""),
    "a title over one column": ("请联系hr@x.cn\n邮箱\na@x.cn\nb@x.cn\n", ""),
    "a title that is an address": ("hr@x.cn,,\n姓名,邮箱,备注\n张三,a@x.cn,\n李四,b@x.cn,\n", ""),
    "two rows of headings": ("姓名,联系方式,\n,邮箱,手机\n张三,a@x.cn,1\n李四,b@x.cn,2\n", ""),
    "a hint and an example": (
        "姓名,邮箱,部门\n必填,请填写工作邮箱,选填\n例：王小明,wang@x.cn,研发\n张三,a@x.cn,\n李四,b@x.cn,\n",
        "left out 2 .*row 2 .*row 3 .*wang@x.cn",
    ),
    "a row of totals": ("姓名,邮箱,金额\n张三,a@x.cn,5\n李四,b@x.cn,6\n合计：,2 人,11\n", "row 4 .'合计：', '2 人'"),
    "a remark that begins as a hint or is a total": ("邮箱,备注\na@x.cn,选填项未填\nb@x.cn,合计\n", ""),
    "a note below, and a total in a sentence": (
        "邮箱,姓名\na@x.cn,张三\nb@x.cn,李四\n说明：离职人员请删除\n例：c@x.cn,\n以上共 2 人,\n",
        "left out 3 .*row 4 .*row 5 .*row 6 ",
    ),
    "merged cells": ("部门,邮箱,姓名\n研发,a@x.cn,张三\n,b@x.cn,李四\n,,王五\n", "row 4 .'王五'"),
}


@pytest.mark.parametrize(("text", "warning"), SHEETS.values(), ids=SHEETS)
def test_no_heading_is_a_recipient_and_no_row_is_left_out_silently(tmp_path: Path, text: str, warning: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.warns(SheetWarning, match=warning) if warning else nullcontext():
        assert read_recipients(path) == ["a@x.cn", "b@x.cn"]


def test_usernames_are_recipients_and_the_caller_may_state_whether_there_is_a_heading(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("王小明\nlisi\n", encoding="utf-8")
    assert read_recipients(path) == ["王小明", "lisi"]
    assert read_recipients(path, heading=True) == ["lisi"]
    path.write_text("用户名\nlisi\n", encoding="utf-8")
    assert read_recipients(path) == ["lisi"]
    path.write_text("王小明\na@x.cn\nlisi\n", encoding="utf-8")
    with pytest.raises(SheetError, match="'王小明' heads the column or is a recipient; say which by `heading`"):
        read_recipients(path)
    assert read_recipients(path, heading=False) == ["王小明", "a@x.cn", "lisi"]
    assert read_recipients(path, heading=True) == ["a@x.cn", "lisi"]
    path.write_text("邮箱\nlisi\na@x.cn\n", encoding="utf-8")
    assert read_recipients(path) == ["lisi", "a@x.cn"]
    path.write_text("客户\n收件的邮箱\na@x.cn\n", encoding="utf-8")
    with pytest.raises(SheetError, match="'收件的邮箱' heads the column or is a recipient"):
        read_recipients(path)


def test_an_ambiguous_column_is_asked_for_and_not_guessed(tmp_path: Path) -> None:
    path = workbook(tmp_path / "two.xlsx", [["邮箱", "电子邮箱"], ["a@x.cn", "b@x.cn"]])
    with pytest.raises(SheetError, match="several columns"):
        read_recipients(path)
    with pytest.raises(SheetError, match="no column"):
        read_recipients(path, "sms")
    with pytest.raises(SheetError, match="no column 3"):
        read_recipients(path, column=3)
    with pytest.raises(SheetError, match="0 columns headed"):
        read_recipients(path, column="微信")
    with pytest.raises(SheetError, match="no sheet '名单'; there are 客户"):
        read_recipients(path, column=1, sheet="名单")


@pytest.mark.parametrize(("name", "data"), [("a.xlsx", b"PK no book"), ("a.csv", b"\xff\xff\xff"), ("a.csv", b"")])
def test_what_is_no_sheet_is_refused_as_such(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(SheetError, match=name):
        read_recipients(path)


def test_long_lists_are_split_without_losing_a_recipient() -> None:
    people = [f"{n}@x.cn" for n in range(25)]
    batches = list(in_batches(people, 10))
    assert [len(batch) for batch in batches] == [10, 10, 5]
    assert [recipient for batch in batches for recipient in batch] == people
