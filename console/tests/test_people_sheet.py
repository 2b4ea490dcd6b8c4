"""People out of the rows of a file, as schools and shops keep them."""

from imsg_console.recipients.people_sheet import PeopleSheet, read, read_best
from imsg_console.spreadsheets import split_columns

CLASS = [
    ["三年级二班家长联系表", "", "", "", ""],
    ["制表：王老师 2026-09-01", "", "", "", ""],
    ["学生信息", "", "联系方式", "", ""],
    ["姓名", "班级", "手机号（必填）", "电子邮箱", "备注"],
    ["（示例）王五", "三（2）", "13800000000", "wang@example.com", ""],
    ["张三", "三（2）", "13711112222", "zhang.san@example.com", "班长\n每周一\t值日"],
    ["李四", "三（2）", "+86 138-0013-8000", "", ""],
    ["赵六", "三（2）", "008613900139000", "", ""],
    ["孙七", "三（2）", "8613700137000", "", ""],
    ["周八", "三（2）", "+852 9123 4567", "", ""],
    ["吴九", "三（2）", "１３６００１３６０００", "ｗｕ＠example.com", ""],
    ["郑十", "三（2）", "1380013800", "", ""],
    ["冯一", "三（2）", "1.38E+10", "", ""],
    ["陈二", "三（2）", "010-88886666", "", ""],
    ["褚三", "三（2）", "", "chu@", ""],
    ["卫四", "三（2）", "", "", ""],
    ["张三", "三（2）", "137 1111 2222", "", "又一次"],
    ["", "", "", "", ""],
    ["姓名", "班级", "手机号（必填）", "电子邮箱", "备注"],
    ["蒋五", "三（2）", "13500135000", "", ""],
    ["合计", "13 人", "", "", ""],
]


def _contacts(sheet: PeopleSheet) -> list[tuple[str, dict[str, str]]]:
    return [(person.params.get("姓名", ""), dict(person.contacts)) for person in sheet.people]


def test_each_row_of_a_class_is_a_person_or_named_with_its_line() -> None:
    sheet = read(CLASS)
    assert sheet.fields == ("姓名", "班级", "备注")
    assert _contacts(sheet) == [
        ("张三", {"sms": "13711112222", "smtp": "zhang.san@example.com"}),
        ("李四", {"sms": "+8613800138000"}),
        ("赵六", {"sms": "+8613900139000"}),
        ("孙七", {"sms": "+8613700137000"}),
        ("周八", {"sms": "+85291234567"}),
        ("吴九", {"sms": "13600136000", "smtp": "wu@example.com"}),
        ("蒋五", {"sms": "13500135000"}),
    ]
    assert sheet.people[0].params == {"姓名": "张三", "班级": "三（2）", "备注": "班长 每周一 值日"}
    assert [(problem.line, problem.text, problem.why) for problem in sheet.problems] == [
        (12, "1380013800", "send.bad_phone"),
        (13, "1.38E+10", "send.lost_digits"),
        (14, "010-88886666", "send.landline"),
        (15, "chu@", "send.bad_email"),
        (16, "", "send.none_in_row"),
        (17, "6", "people.duplicate"),
    ]
    assert [problem.line for problem in sheet.left_out] == [5, 19, 21]


def test_quoted_cells_hold_separators_and_line_breaks() -> None:
    text = '姓名,手机,"地址\n（收货）"\r\n"张, 三",13711112222,"北京市\r\n朝阳区 1 号"\r\n李四,13800138000,\r\n'
    sheet = read(split_columns(text))
    assert _contacts(sheet) == [("张, 三", {"sms": "13711112222"}), ("李四", {"sms": "13800138000"})]
    assert sheet.people[0].params["地址 （收货）"] == "北京市 朝阳区 1 号"


def test_columns_without_a_heading_are_known_by_what_they_hold() -> None:
    sheet = read([["张三", "13711112222", "a@example.com"], ["李四", "13800138000", "b@example.com"]])
    assert [dict(person.contacts) for person in sheet.people] == [
        {"sms": "13711112222", "smtp": "a@example.com"},
        {"sms": "13800138000", "smtp": "b@example.com"},
    ]
    assert sheet.people[0].params == {"1": "张三"}


def test_a_column_without_addresses_holds_usernames() -> None:
    assert [dict(person.contacts) for person in read([["zhang.san"], ["li.si"]]).people] == [
        {"to": "zhang.san"},
        {"to": "li.si"},
    ]
    named = read([["用户名", "部门"], ["zhang.san", "财务"]])
    assert [(dict(person.contacts), dict(person.params)) for person in named.people] == [
        ({"to": "zhang.san"}, {"部门": "财务"})
    ]


def test_the_second_number_of_a_person_is_a_field() -> None:
    sheet = read([["姓名", "手机", "家长手机"], ["张三", "13711112222", "13800138000"]])
    assert [(dict(person.contacts), dict(person.params)) for person in sheet.people] == [
        ({"sms": "13711112222"}, {"姓名": "张三", "家长手机": "13800138000"})
    ]


def test_headings_of_two_merged_rows_name_their_columns() -> None:
    rows = [["姓名", "联系方式", ""], ["", "手机", "邮箱"], ["张三", "13711112222", "a@example.com"]]
    sheet = read(rows)
    assert sheet.fields == ("姓名",)
    assert _contacts(sheet) == [("张三", {"sms": "13711112222", "smtp": "a@example.com"})]


def test_of_a_workbook_the_sheet_with_most_people_is_read() -> None:
    place, sheet = read_best([[["说明"], ["请填写第二张表"]], CLASS, [["手机"], ["13711112222"]]])
    assert (place, len(sheet.people)) == (1, 7)
    assert read([]) == PeopleSheet()
