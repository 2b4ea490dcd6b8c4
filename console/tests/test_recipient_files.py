"""Files of recipients as Excel, WPS and other programs save them."""

import pytest

from imsg_console.readers import UnreadableError
from imsg_console.recipients.recipient_files import Table
from imsg_console.recipients.recipient_files import table as read_table
from imsg_console.spreadsheets import decode, split


def table(content: bytes, method: str) -> Table:
    return read_table(split(decode(content)), method)


PEOPLE = "姓名,邮箱,部门\n张三,zhang@example.com,研发\n李四,li@example.com,市场\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
def test_a_table_is_read_in_every_encoding(encoding: str) -> None:
    found = table(PEOPLE.encode(encoding), "smtp")
    assert (found.rows[0], found.has_heading, found.column) == (("姓名", "邮箱", "部门"), True, 1)
    assert found.read(1, has_heading=True).texts == ["zhang@example.com", "li@example.com"]


def test_student_numbers_of_ten_digits_are_no_second_column_of_phones() -> None:
    found = table("学号,手机号码\n2026010001,+86 138-0013-8000\n2026010002,8613900139000\n".encode(), "sms")
    assert found.column == 1


@pytest.mark.parametrize(
    ("heading", "likely"),
    [
        ("姓名,手机,家长手机\n", [1, 2]),
        ("姓名,家长手机,手机\n", [2, 1]),
        ("三年级二班,,\n姓名,家长手机,手机\n", [2, 1]),
        ("姓名,第一联系人,第二联系人\n", [1, 2]),
        ("", [1, 2]),
    ],
)
def test_of_two_columns_of_phones_one_is_taken(heading: str, likely: list[int]) -> None:
    found = table(f"{heading}张三,13711112222,13800138000\n李四,13900139000,13600136000\n".encode(), "sms")
    assert (found.likely, found.column) == (likely, likely[0])


@pytest.mark.parametrize("sign", ["\t", ";", ","])
def test_whatever_parts_the_columns(sign: str) -> None:
    found = table(f"13800138000{sign}张三\n13900139000{sign}李四\n".encode(), "sms")
    assert (found.width, found.has_heading, found.column) == (2, False, 0)


def test_quoted_cells_hold_commas_and_line_breaks() -> None:
    found = table(b'"Zhang, San","a\nb",zhang@example.com\n"Li, Si",c,li@example.com\n', "smtp")
    assert found.read(found.column, has_heading=False).texts == ["zhang@example.com", "li@example.com"]


def test_lines_are_a_table_of_one_column() -> None:
    found = table(b"zhang@example.com\r\nli@example.com\r\n", "smtp")
    assert (found.width, found.has_heading, found.read(0, has_heading=False).texts) == (
        1,
        False,
        ["zhang@example.com", "li@example.com"],
    )


def test_several_recipients_in_a_line_are_all_taken() -> None:
    found = table(b"a@x.com, b@x.com\nc@x.com, d@x.com\n", "smtp")
    assert found.read(found.column, has_heading=False).texts == ["a@x.com", "b@x.com", "c@x.com", "d@x.com"]


def test_a_heading_over_one_column_is_seen() -> None:
    assert table("邮箱\nzhang@example.com\n".encode(), "smtp").has_heading


def test_names_alone_have_no_heading() -> None:
    assert not table("张三\n李四\n".encode(), "smtp").has_heading


def test_a_first_row_that_is_mistyped_is_no_heading() -> None:
    found = table("张三,zhang@@example.com\n李四,li@example.com\n".encode(), "smtp")
    assert not found.has_heading
    assert found.read(found.column, has_heading=False).texts == ["zhang@@example.com", "li@example.com"]


def test_rows_without_a_recipient_are_reported_and_the_others_are_labelled_by_name() -> None:
    found = table("姓名,手机\n张三,13800138000\n李四,\n王五,13900139000.0\n".encode(), "sms")
    reading = found.read(found.column, has_heading=True)
    assert [(recipient.text, recipient.label) for recipient in reading.found] == [
        ("13800138000", "张三"),
        ("13900139000", "王五"),
    ]
    assert [(ignored.text, ignored.why) for ignored in reading.ignored] == [("李四", "send.no_sms_in_row")]


@pytest.mark.parametrize("title", ["通讯录\n", "通讯录,,\n", "通讯录,,\n制表人：王芳,,2026 年\n,,\n", "客户,,\n"])
def test_headings_are_found_below_a_title(title: str) -> None:
    found = table(f"{title}姓名,手机,邮箱\n张三,13800138000,zhang@example.com\n李四,,\n".encode(), "sms")
    reading = found.read(found.column, has_heading=found.has_heading)
    assert (found.rows[found.heading], found.column) == (("姓名", "手机", "邮箱"), 1)
    assert [(recipient.text, recipient.label) for recipient in reading.found] == [
        ("13800138000", "张三 zhang@example.com")
    ]
    assert [ignored.text for ignored in reading.ignored] == ["李四"]


def test_the_row_of_the_headings_is_counted_as_the_sheet_counts() -> None:
    rows = [["家长联系表", ""], ["", ""], ["姓名", "手机"], ["张三", "13800138000"]]
    found = read_table(rows, "sms")
    assert (found.has_heading, found.numbers[found.heading]) == (True, 3)


def test_blank_rows_and_columns_around_a_table_are_no_part_of_it() -> None:
    found = read_table([("", "", ""), ("", "邮箱", ""), ("", "a@x.com", ""), ("", "", "")], "smtp")
    assert (found.width, found.has_heading, found.column) == (1, True, 0)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\xff\xff"])
def test_what_is_no_text_is_reported(content: bytes) -> None:
    with pytest.raises(UnreadableError) as refused:
        decode(content)
    assert refused.value.why == "files.unreadable"


SHEETS = {
    "a title with an address": "请问 hr@example.com,,\n姓名,邮箱,备注\n张三,zhang@example.com,\n李四,li@example.com,\n",
    "two rows of headings": "姓名,联系方式,\n,邮箱,手机\n张三,zhang@example.com,138\n李四,li@example.com,139\n",
    "a hint and an example": (
        "姓名,邮箱,部门\n必填,请填写工作邮箱,选填\n例：王小明,wang@example.com,研发\n"
        "张三,zhang@example.com,研发\n李四,li@example.com,\n"
    ),
    "a row of totals": "姓名,邮箱,金额\n张三,zhang@example.com,5\n李四,li@example.com,6\n合计：,2 人,11\n",
    "a note below, and a total in a sentence": (
        "姓名,邮箱\n张三,zhang@example.com\n李四,li@example.com\n,备注：离职人员请删除\n,以上共 2 人\n"
    ),
    "a remark that begins as a hint or is a total": (
        "姓名,邮箱,备注\n张三,zhang@example.com,选填项未填\n李四,li@example.com,合计\n"
    ),
    "merged cells": "部门,邮箱,姓名\n研发,zhang@example.com,张三\n,li@example.com,李四\n,,王五\n",
}


@pytest.mark.parametrize("text", SHEETS.values(), ids=SHEETS)
def test_rows_about_no_person_are_ignored_and_named(text: str) -> None:
    found = table(text.encode(), "smtp")
    reading = found.read(1, has_heading=found.has_heading)
    assert reading.texts == ["zhang@example.com", "li@example.com"]
    below = [row for row in found.rows[found.heading + 1 :] if row[1] not in reading.texts]
    assert len(reading.ignored) == len(below)  # no row is lost silently
