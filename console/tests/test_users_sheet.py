"""Sheets of users as people save them: read by their own headings, written so that reading them again is the same."""

import csv
import io
from typing import Any

import pytest

from imsg_console.client import ApiError
from imsg_console.features.users import sheet
from imsg_console.features.users.records import find_changes, locate_error, read_senders, write_senders
from imsg_console.features.users.sheet import UserSheet
from imsg_console.spreadsheets import decode, split_columns
from imsg_console.texts import Texts
from imsg_console.widgets import csvs

ZH, EN = Texts("zh"), Texts("en")


def write(*rows: list[Any]) -> bytes:
    """Write a file of CSV."""
    return (csvs.BOM + "".join(map(csvs.line, rows))).encode()


def parse(t: Texts, text: str) -> UserSheet:
    return sheet.read(t, split_columns(text))


USER = {
    "username": "王小明",
    "role": "admin",
    "email": "xiaoming@example.com",
    "phone": "+8613800138000",
    "wechat": None,
    "available": False,
    "per_hour": 5,
    "per_day": 20,
    "recipients_per_day": None,
    "may_send_codes": True,
    "senders": ["billing", "sales"],
    "sms_countries": ["CN", "HK"],
    "default_category": "code",
    "department": "财务部",
    "used_hour": 1,
    "used_day": 2,
    "created_at": "2026-11-25T00:00:00Z",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_a_sheet_is_read_however_a_spreadsheet_saved_it(encoding: str) -> None:
    read = parse(ZH, decode("用户名,邮箱\r\n王小明,a@example.com\r\n".encode(encoding)))

    assert [dict(line.fields) for line in read.lines] == [{"username": "王小明", "email": "a@example.com"}]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "，"])
def test_cells_may_be_parted_by_what_people_have(delimiter: str) -> None:
    read = parse(ZH, f"账号{delimiter}手机号\n甲{delimiter}138 0013 8000\n")

    assert [dict(line.fields) for line in read.lines] == [{"username": "甲", "phone": "13800138000"}]


@pytest.mark.parametrize("t", [ZH, EN])
def test_what_is_written_is_read_again(t: Texts) -> None:
    written = write(sheet.heading(t), sheet.row(t, USER))
    read = parse(ZH if t is EN else EN, decode(written))

    kept = ("username", "role", "email", "available", "per_hour", "per_day", "recipients_per_day",
            "may_send_codes", "senders", "sms_countries", "default_category", "department")  # fmt: skip
    assert read.problem == ""
    assert dict(read.lines[0].fields) == {name: USER[name] for name in kept} | {"phone": "13800138000"}


def test_a_sheet_of_an_office_keeps_phone_and_department() -> None:
    rows = ("姓名,联系电话,所在部门,可发验证码,可用的发件人与签名,v1 消息的类别",
            "王小明,13800138000,财务部,是,无,营销", "李雷,13900139000,,maybe,,快讯")  # fmt: skip
    read = parse(ZH, "\n".join(rows))

    assert read.ignored == ()
    assert dict(read.good[0].fields) == {
        "username": "王小明", "phone": "13800138000", "department": "财务部", "may_send_codes": True, "senders": [],
        "default_category": "marketing",
    }  # fmt: skip
    assert [len(line.problems) for line in read.bad] == [2]


def test_each_row_shows_what_is_wrong_with_it() -> None:
    text = "username,role,per_hour,phone,available\n,,,,\nanna,boss,five,8.6138E+12,maybe\n,user,,,\nben,,,,\nben,,,,\n"
    read = parse(EN, text)

    assert [(line.number, len(line.problems)) for line in read.lines] == [(3, 4), (4, 1), (5, 0), (6, 1)]
    assert read.lines[3].problems == ("The same username as in row 5.",)
    assert [line.username for line in read.good] == ["ben"]


def test_the_preview_knows_what_the_api_would_refuse() -> None:
    rows = ("用户名,手机,邮箱,每小时次数", "甲,１３８ ００１３-８０００,a＠x.cn,５", "乙,13800138000,b@@x.cn,",
            "丙,1380013,,", "13900139000,,,")  # fmt: skip
    read = parse(ZH, "\n".join(rows))

    assert [dict(line.fields) for line in read.good] == [
        {"username": "甲", "phone": "13800138000", "email": "a@x.cn", "per_hour": 5}
    ]
    assert [line.problems for line in read.bad] == [
        ("手机：与第 2 行重复。", "邮箱：“b@@x.cn”不是完整的邮箱。"),
        ("手机：“1380013”不是手机号。",),
        (ZH("users.line_bad_username"),),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "sheet_empty"),
        ("\n\n , \n", "sheet_empty"),
        ("邮箱,手机\na@example.com,1\n", "sheet_no_username"),
        ("用户名\n", "sheet_only_heading"),
    ],
)
def test_a_sheet_that_can_not_be_read_is_refused_with_the_reason(text: str, problem: str) -> None:
    assert parse(ZH, text).problem == ZH(f"users.{problem}")


def test_columns_that_mean_nothing_are_named() -> None:
    assert parse(EN, "username,shoe size\nanna,38\n").ignored == ("shoe size",)


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "  =1", "＝1", "\t=1"])
def test_no_cell_runs_as_a_formula(cell: str) -> None:
    (row,) = csv.reader(io.StringIO(csvs.line([cell])))

    assert row == [f"'{cell}"]


def test_a_username_that_looks_like_a_formula_survives_the_way_out_and_in() -> None:
    written = write(sheet.heading(EN), sheet.row(EN, {**USER, "username": "=HYPERLINK(1)"}))

    assert parse(EN, decode(written)).lines[0].username == "=HYPERLINK(1)"


def test_only_what_was_changed_is_asked_of_the_api() -> None:
    after = {**{name: USER[name] for name in ("role", "available", "per_hour", "per_day")}, "email": "", "phone": "1"}

    assert find_changes(USER, {**after, "wechat": "", "recipients_per_day": 7, "per_day": 21}) == {
        "email": "",
        "phone": "1",
        "recipients_per_day": 7,
        "per_day": 21,
    }
    assert find_changes({**USER, "recipients_per_day": 7}, {"recipients_per_day": None}) == {"recipients_per_day": None}


@pytest.mark.parametrize(
    ("t", "detail", "field", "sentence"),
    [
        (ZH, "参数 email 不正确：不是邮箱地址。", "email", "邮箱不正确：不是邮箱地址。"),
        (EN, "email is not right: it is no e-mail address.", "email", "E-mail is not right: it is no e-mail address."),
        (ZH, "phone 已属于另一个用户，请换一个。", "phone", "手机已属于另一个用户，请换一个。"),
        (EN, "Too many messages are waiting.", "", "Too many messages are waiting."),
    ],
)
def test_a_refusal_stands_at_its_field(t: Texts, detail: str, field: str, sentence: str) -> None:
    assert locate_error(t, ApiError("whatever", detail)) == (field, sentence)


def test_names_beside_usernames_are_no_second_column_of_them() -> None:
    read = parse(ZH, "姓名,用户名,电话,手机号\n王小明,xiaoming,,13800138000\n")

    assert (read.problem, read.ignored) == ("", ("姓名", "电话"))
    assert [dict(line.fields) for line in read.lines] == [{"username": "xiaoming", "phone": "13800138000"}]


def test_a_duplicate_column_is_reported() -> None:
    assert "用户名" in parse(ZH, "用户名,用户名\na,b\n").problem


def test_a_quotation_without_an_end_hides_no_row() -> None:
    rows = "\n".join(f"user{number},a{number}@example.com" for number in range(9_000))
    read = parse(ZH, f'用户名,邮箱\n"anna,anna@example.com\n{rows}\n')

    assert len(read.lines) >= 1
    assert sum(len(str(line.fields)) for line in read.lines) > 9_000


@pytest.mark.parametrize(
    ("written", "senders"),
    [
        ("", None),
        (" ALL ", None),
        ("none", []),
        ("news", ["news"]),
        ("shop，news、 News;", ["news", "shop"]),
    ],
)
def test_senders_are_read_as_people_write_them(written: str, senders: object) -> None:
    assert read_senders(written) == senders


@pytest.mark.parametrize("senders", [None, [], ["news"], ["news", "shop"]])
def test_senders_are_shown_as_they_are_read(senders: list[str] | None) -> None:
    assert read_senders(write_senders(senders)) == senders


def test_a_row_with_a_password_too_short_or_too_long_is_named() -> None:
    read = parse(EN, f"username,password\na,1234567\nb,{'x' * 257}\nc,x7k9qzw3\n")

    assert [line.number for line in read.bad] == [2, 3]
    assert read.bad[0].problems == ("The password must have 8 to 256 characters.",)
    assert [line.username for line in read.good] == ["c"]


TITLES = {
    "a merged title": "公司用户名单（2026 年）,,\n",
    "a title and blank rows": "\n公司用户名单,,\n\n,,\n",
    "a title with commas of its own": "2026 年，研发，用户名单\n",
    "a title that heads columns elsewhere": "用户,,\n",
    "who made it, and when": "用户名单\n制表人：王芳,,2026-11-29\n说明：初始密码请尽快修改,,\n",
}


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES)
def test_headings_are_found_below_a_title(title: str) -> None:
    read = parse(ZH, f"{title}用户名,手机号,备注\n甲,13800138000,\n乙,13900139000,\n")

    first = title.count("\n") + 2
    assert (read.problem, read.ignored) == ("", ("备注",))
    assert [(line.number, line.username, line.fields["phone"]) for line in read.good] == [
        (first, "甲", "13800138000"),
        (first + 1, "乙", "13900139000"),
    ]


@pytest.mark.parametrize(
    "heading",
    [
        "用户名（必填）",
        "*用 户 名：",
        "User Name",
        "user_name",
        "ＵＳＥＲＮＡＭＥ",
        '"用户\n名"',
        "登录名",
        "账户 (工号)",
    ],
)
def test_headings_are_known_however_people_write_them(heading: str) -> None:
    read = parse(ZH, f"名单,,\n{heading},手机号（11 位）,E-Mail\n甲,13800138000,a@x.cn\n")
    assert [line.fields for line in read.good] == [{"username": "甲", "phone": "13800138000", "email": "a@x.cn"}]


def test_rows_that_are_no_users_stay_refused() -> None:
    assert parse(ZH, "公司通讯录\n邮箱,手机\na@example.com,1\n").problem == ZH("users.sheet_no_username")
    far = "备注,x\n" * 10 + "用户名,手机号\n甲,13800138000\n"
    assert parse(ZH, far).problem == ZH("users.sheet_no_username")
