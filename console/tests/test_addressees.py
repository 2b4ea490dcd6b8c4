"""Whatever people paste: recipients come out, each once, and each wrong one with what is wrong."""

import pytest

from imsg_console.sending.addressees import Addressees, Kind, judge, read


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("a@x.com,b@x.com;c@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
        ("a@x.com，b@x.com；c@x.com、d@x.com", ["a@x.com", "b@x.com", "c@x.com", "d@x.com"]),
        ("a@x.com\r\nb@x.com\n\n  c@x.com\u2028d@x.com", ["a@x.com", "b@x.com", "c@x.com", "d@x.com"]),
        ("a@x.com b@x.com\tc@x.com", ["a@x.com", "b@x.com", "c@x.com"]),
        ('张三 <a@x.com>, "Li, Si" <b@x.com>; <c@x.com>', ["a@x.com", "b@x.com", "c@x.com"]),
        ("Zhang San <a@x.com> 李四<b@x.com>", ["a@x.com", "b@x.com"]),
        ("mailto:a@x.com, 'b@x.com', ｃ@x.com．", ["a@x.com", "b@x.com", "c@x.com"]),
        ("\ufeffa@x.com\u200b, \u202db@x.com\u202c", ["a@x.com", "b@x.com"]),
        ("姓名\t邮箱\n张三\ta@x.com\n李四\tb@x.com", ["a@x.com", "b@x.com"]),
        ("天存-system-1001, Zhang San", ["天存-system-1001", "Zhang San"]),
        ("a@x.com oops@ b@x.com", ["a@x.com", "oops@", "b@x.com"]),
        (" ,;\n，", []),
        ("Li Si < mailto:a@x.com >，王五＜ b@x.com ＞", ["a@x.com", "b@x.com"]),
        ("Li Si <mailto: a@x.com>; <>; < >", ["a@x.com", "<>", "< >"]),
    ],
)
def test_mail_addresses_are_found_whatever_parts_them(pasted: str, expected: list[str]) -> None:
    assert read(pasted, "smtp") == expected


@pytest.mark.parametrize(
    ("pasted", "expected"),
    [
        ("13800138000 13900139000", ["13800138000", "13900139000"]),
        ("138 0013 8000, 139-0013-9000", ["13800138000", "13900139000"]),
        ("+86 138-0013-8000；008613900139000、8613700137000", ["+8613800138000", "+8613900139000", "+8613700137000"]),
        ("１３８００１３８０００", ["13800138000"]),
        ("tel:+1 (415) 555-0100", ["+14155550100"]),
        ("\u202d13800138000\u202c", ["13800138000"]),
        ("张三\t13800138000\n李四\t13900139000", ["13800138000", "13900139000"]),
    ],
)
def test_phone_numbers_lose_their_filling(pasted: str, expected: list[str]) -> None:
    assert read(pasted, "sms") == expected


@pytest.mark.parametrize(
    ("text", "method", "kind", "why"),
    [
        ("a@x.com", "smtp", Kind.ADDRESS, ""),
        ("天存-system-1001", "smtp", Kind.NAME, ""),
        ("a@x", "smtp", Kind.WRONG, "send.bad_email"),
        ("13800138000", "smtp", Kind.WRONG, "send.is_sms"),
        ("a@x.com", "sms", Kind.WRONG, "send.is_smtp"),
        ("1380013800", "sms", Kind.WRONG, "send.bad_phone"),
        ("20017", "sms", Kind.NAME, ""),
        ("<script>alert(1)</script>", "smtp", Kind.WRONG, "send.no_name"),
        ("x" * 65, "wechat", Kind.WRONG, "send.too_long"),
    ],
)
def test_what_is_wrong_is_said(text: str, method: str, kind: Kind, why: str) -> None:
    found = judge(text, method)
    assert (found.kind, found.why) == (kind, why)


async def test_a_recipient_written_twice_is_kept_once_and_told() -> None:
    people = Addressees("sms")
    added = await people.add(["13800138000", "+8613800138000", "13900139000", "13800138000"])
    assert (added.new, added.doubled) == (2, ("+8613800138000", "13800138000"))
    assert people.texts == ["13800138000", "13900139000"]


async def test_another_method_judges_all_anew() -> None:
    people = Addressees("smtp")
    await people.add(["a@x.com", "13800138000", "zhang"])
    await people.turn("sms")
    assert [one.text for one in people.wrong] == ["a@x.com"]
    people.remove_wrong()
    assert people.texts == ["13800138000", "zhang"]


@pytest.mark.parametrize(
    "pasted",
    [
        "<" + " " * 60_000 + "x",
        "<" * 60_000,
        "a" * 60_000,
        "<a" * 30_000,
        "<a >" * 15_000 + "<",
        '"' * 60_000,
        ('"' + " " * 100) * 600,
        " ".join(["a"] * 30_000),
    ],
)
@pytest.mark.parametrize("method", ["smtp", "sms", "wechat"])
def test_a_paste_of_nothing_but_marks_is_read_at_once(pasted: str, method: str) -> None:
    """The first of them held the page of everybody for an hour."""
    for text in read(pasted, method):
        judge(text, method)


async def test_ten_thousand_are_taken_whole() -> None:
    people = Addressees("smtp")
    added = await people.add(read("\n".join(f"reader{number}@example.com" for number in range(10_000)), "smtp"))
    assert (added.new, len(people), people.wrong) == (10_000, 10_000, [])
