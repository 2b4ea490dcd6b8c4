"""Workbooks as Excel and others save them, and malformed ones: each is read, or the error says why not."""

import datetime as dt
import io
import zipfile
from collections.abc import Callable

import pytest
import xlsxwriter

from imsg_console.features.users import sheet
from imsg_console.readers import Readers, UnreadableError
from imsg_console.recipients.recipient_files import table
from imsg_console.spreadsheets import join, read_lines
from imsg_console.texts import Texts
from imsg_console.workbooks import Sheet


def workbook(write: Callable[[xlsxwriter.Workbook], object]) -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out, {"in_memory": True}) as book:
        write(book)
    return out.getvalue()


def pack(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


async def sheets(content: bytes) -> list[Sheet]:
    return join(await Readers().run("session", "page", read_lines, content))


async def read_refusal(content: bytes) -> str:
    with pytest.raises(UnreadableError) as raised:
        await sheets(content)
    assert Texts("zh")(raised.value.why, name="名单.xlsx").startswith("名单.xlsx")
    return raised.value.why


async def test_cells_are_what_a_person_reads() -> None:
    def write(book: xlsxwriter.Workbook) -> None:
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        people = book.add_worksheet("名单")
        people.write_row(0, 0, ["姓名", "手机", "工号", "入职", "邮箱", "可用"])
        people.write_row(1, 0, ["张三", 13800138000, "007"])
        people.write_datetime(1, 3, dt.date(2026, 11, 26), day)
        people.write_formula(1, 4, '="a"&"@x.com"', value="a@x.com")
        people.write_boolean(1, 5, boolean=True)
        book.add_worksheet("隐藏").write(0, 0, "x")
        book.worksheets()[1].hide()
        book.add_worksheet("空的")
        merged = book.add_worksheet("合并")
        merged.merge_range(0, 0, 0, 1, "通讯录")
        merged.write_row(1, 0, ["李四", "b@x.com"])

    assert await sheets(workbook(write)) == [
        Sheet(
            "名单",
            (
                ("姓名", "手机", "工号", "入职", "邮箱", "可用"),
                ("张三", "13800138000", "007", "2026-11-26", "a@x.com", "TRUE"),
            ),
        ),
        Sheet("合并", (("通讯录", ""), ("李四", "b@x.com"))),
    ]


async def test_ten_thousand_people_are_read_whole() -> None:
    def write(book: xlsxwriter.Workbook) -> None:
        people = book.add_worksheet()
        for number in range(10_000):
            people.write_row(number, 0, [f"员工{number}", 13_800_000_000 + number, f"reader{number}@example.com"])

    (found,) = await sheets(workbook(write))
    by_mail, by_phone = table(found.rows, "smtp"), table(found.rows, "sms")
    assert (by_mail.column, by_phone.column) == (2, 1)
    assert len(by_mail.read(2, has_heading=False).found) == 10_000
    assert by_phone.read(1, has_heading=False).texts[-1] == "13800009999"


async def test_users_are_read_as_from_csv() -> None:
    (found,) = await sheets(workbook(lambda book: _users(book.add_worksheet())))
    read_users = sheet.read(Texts("zh"), found.rows)
    assert [(line.number, dict(line.fields)) for line in read_users.good] == [
        (3, {"username": "xiaoming", "phone": "13800138000", "per_hour": 5})
    ]


def _users(made: xlsxwriter.workbook.Worksheet) -> None:
    made.write_row(1, 0, ["姓名", "用户名", "手机号", "每小时"])
    made.write_row(2, 0, ["王小明", "xiaoming", 13800138000, 5])


async def test_cells_in_far_corners_take_no_memory() -> None:
    """They would be a table of 17,000,000,000 cells, which no process has room for."""

    def write(book: xlsxwriter.Workbook) -> None:
        made = book.add_worksheet()
        made.write(0, 0, "a")
        made.write(1_048_575, 16_383, "b")

    assert await read_refusal(workbook(write)) == "files.too_large"


async def test_a_bomb_is_not_unpacked() -> None:
    assert await read_refusal(pack({"xl/workbook.xml": b"\0" * 70_000_000})) == "files.too_large"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "files.empty"),
        (b" \r\n\n", "files.empty"),
        (b"PK\x03\x04rest", "files.broken"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5_000), "files.broken"),
        (b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le") + bytes(5_000), "files.encrypted"),
        (pack({"Index/Document.iwa": b"x"}), "files.numbers"),
        (pack({"word/document.xml": b"x"}), "files.word"),
        (pack({"a.txt": b"x"}), "files.broken"),
        (workbook(lambda book: book.add_worksheet()), "files.empty"),
    ],
    ids=["nothing", "blanks", "no zip", "no xls", "password", "numbers", "word", "zip", "empty workbook"],
)
async def test_what_is_no_table_is_reported_with_a_way_out(content: bytes, why: str) -> None:
    assert await read_refusal(content) == why
