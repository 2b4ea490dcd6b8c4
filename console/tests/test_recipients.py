"""Whatever people paste: recipients come out, each once, and each wrong one with what is wrong."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_console.features.send.recipients import Kind, Recipients, classify
from imsg_console.recipients.recipient_reader import FoundRecipient, IgnoredText, Reading, read


def people_of(*texts: str) -> Reading:
    return Reading(tuple(map(FoundRecipient, texts)))


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
        ("老师1 老师2", ["老师1", "老师2"]),
        ('"Zhang San"', ["Zhang San"]),
        ('姓名\t邮箱\n"张三\n（班长）"\ta@x.com\n李四\tb@x.com', ["a@x.com", "b@x.com"]),
        ('"a@x.com\nb@x.com"\t张三\nc@x.com\t"李\n四"', ["a@x.com", "b@x.com", "c@x.com"]),
        ("a@x.com oops@ b@x.com", ["a@x.com", "oops@", "b@x.com"]),
        (" ,;\n，", []),
        ("Li Si < mailto:a@x.com >，王五＜ b@x.com ＞", ["a@x.com", "b@x.com"]),
        ("Li Si <mailto: a@x.com>; <>; < >", ["a@x.com", "<>", "<>"]),
    ],
)
def test_mail_addresses_are_found_whatever_parts_them(pasted: str, expected: list[str]) -> None:
    assert read(pasted, "smtp").texts == expected


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
    assert read(pasted, "sms").texts == expected


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
        ("1.59E+10", "sms", Kind.WRONG, "send.lost_digits"),
        ("010-88886666", "sms", Kind.WRONG, "send.landline"),
        ("110101199003071234", "sms", Kind.WRONG, "send.bad_phone"),
        ("<>", "smtp", Kind.WRONG, "send.no_name"),
        ("<script>alert(1)</script>", "smtp", Kind.WRONG, "send.no_name"),
        ("x" * 65, "wechat", Kind.WRONG, "send.too_long"),
    ],
)
def test_a_wrong_recipient_is_explained(text: str, method: str, kind: Kind, why: str) -> None:
    found = classify(text, method)
    assert (found.kind, found.why) == (kind, why)


async def test_a_recipient_written_twice_is_kept_once_and_reported() -> None:
    people = Recipients("sms")
    await people.add(people_of("13800138000", "+8613800138000", "13900139000", "13800138000"))
    assert (len(people), [ignored.text for ignored in people.ignored]) == (2, ["+8613800138000", "13800138000"])
    assert (people.counts.read, people.counts.adopted, people.counts.ignored) == (4, 2, 2)
    assert people.texts == ["13800138000", "13900139000"]


async def test_another_method_judges_all_anew() -> None:
    people = Recipients("smtp")
    await people.add(people_of("a@x.com", "13800138000", "zhang"))
    await people.change_method("sms")
    assert [recipient.text for recipient in people.wrong] == ["a@x.com"]
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
        "1 " * 30_000,
        "13800138000/" * 5_000,
        "a@" * 30_000,
        '"a"\t' * 15_000,
        "\u200b" * 60_000,
        "姓名\t" * 20_000,
    ],
)
@pytest.mark.parametrize("method", ["smtp", "sms", "wechat"])
def test_a_paste_of_nothing_but_marks_is_read_at_once(pasted: str, method: str) -> None:
    """The first of them held the page of everybody for an hour."""
    for text in read(pasted, method).texts:
        classify(text, method)


PIECES = [
    "zhang@163.com",
    "13800138000",
    "张三",
    "Li, Si",
    "<",
    ">",
    "＜",
    '"',
    " ",
    "\t",
    "\n",
    "，",
    "；",
    "\u202d",
    "@",
    "😀",
    "mailto:",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join) | st.text())
@pytest.mark.parametrize("method", ["smtp", "sms", "wechat"])
def test_any_paste_in_mixed_scripts_is_read_and_judged(method: str, pasted: str) -> None:
    for text in read(pasted, method).texts:
        assert text.strip() == text != ""
        assert classify(text, method).kind in Kind


async def test_ten_thousand_are_taken_whole() -> None:
    people = Recipients("smtp")
    await people.add(read("\n".join(f"reader{number}@example.com" for number in range(10_000)), "smtp"))
    assert (len(people), people.wrong) == (10_000, [])


@pytest.mark.parametrize(
    ("pasted", "method", "found", "ignored"),
    [
        # two columns of addresses are both taken
        ("a@x.com\tb@x.com\nc@x.com\td@x.com", "smtp", ["a@x.com", "b@x.com", "c@x.com", "d@x.com"], []),
        # a first row that is mistyped is no heading
        ("张三\tzhang@@x.com\n李四\tli@x.com", "smtp", ["zhang@@x.com:张三", "li@x.com:李四"], []),
        ("张三\t1390013900\n李四\t13900139001", "sms", ["1390013900:张三", "13900139001:李四"], []),
        # a heading is one, and said to be
        (
            "姓名\t手机号（必填）\t邮箱\n张三\t13800138000\ta@x.com\n李四\t13900139000\tb@x.com",
            "smtp",
            ["a@x.com:张三 13800138000", "b@x.com:李四 13900139000"],
            ["姓名 手机号（必填） 邮箱:send.is_heading"],
        ),
        ("邮箱\na@x.com\nb@x.com", "smtp", ["a@x.com", "b@x.com"], ["邮箱:send.is_heading"]),
        # what a spreadsheet does to numbers
        (
            "张三\t13800138000.0\n李四\t1.59E+10\n王五\t1.3900139001E+10\n赵六\t",
            "sms",
            ["13800138000:张三", "1.59E+10:李四", "13900139001:王五"],
            ["赵六:send.no_sms_in_row"],
        ),
        (
            "张三\t010-88886666\t13800138000\n李四\t010-88886667\t13900139000",
            "sms",
            ["13800138000:张三", "13900139000:李四"],
            ["010-88886666:send.landline", "010-88886667:send.landline"],
        ),
        # names and addresses in one line, however they are parted
        ("姓名 <a@x.com> b@x.com", "smtp", ["a@x.com:姓名", "b@x.com"], []),
        ("Li, Si <a@x.com>; Wang, Wu <b@x.com>", "smtp", ["a@x.com:Li Si", "b@x.com:Wang Wu"], []),
        ('"Li, Si" <a@x.com>, zhang', "smtp", ["a@x.com:Li, Si", "zhang"], []),
        ("张三13800138000\n李四：13900139000", "sms", ["13800138000:张三", "13900139000:李四"], []),
        ("张三 138 0013 8000\n李四 +1 415 555 0100", "sms", ["13800138000:张三", "+14155550100:李四"], []),
        ("邮箱:a@x.com b@x.com(李四) c@x。com", "smtp", ["a@x.com:邮箱", "b@x.com:李四", "c@x。com"], []),
        # what looks like an address is never whose another one is
        ("oops@ <a@x.com> zhang <b@>", "smtp", ["oops@", "a@x.com", "b@:zhang"], []),
        ("foo@bar@x.com a@@x.com", "smtp", ["foo@bar@x.com", "a@@x.com"], []),
        ("<a@x.com, b@x.com>", "smtp", ["a@x.com", "b@x.com"], []),
        ("张三 <>", "smtp", ["张三"], []),
        # every separator at once, and usernames among addresses
        (
            "a@x.com，zhang；b@x.com、li|c@x.com\td@x.com e@x.com\u3000f@x.com\u00a0g@x.com",
            "smtp",
            ["a@x.com", "zhang", "b@x.com", "li", "c@x.com", "d@x.com", "e@x.com", "f@x.com", "g@x.com"],
            [],
        ),
        ("zhang\nli\nwang", "sms", ["zhang", "li", "wang"], []),
        ("zhang\t张三\nli\t李四", "smtp", ["zhang", "张三", "li", "李四"], []),
        # whose it is stands beside it as well as with it
        (
            "研发部\t王五 <a@x.com>\n财务部\t李四 <b@x.com>",
            "smtp",
            ["a@x.com:王五 研发部", "b@x.com:李四 财务部"],
            [],
        ),
        (
            "王五 <a@x.com>\t13800138000\n李四 <b@x.com>\t13900139000",
            "sms",
            ["13800138000:王五 a@x.com", "13900139000:李四 b@x.com"],
            [],
        ),
    ],
)
def test_nothing_that_was_pasted_vanishes(pasted: str, method: str, found: list[str], ignored: list[str]) -> None:
    reading = read(pasted, method)
    assert [f"{recipient.text}:{recipient.label}".removesuffix(":") for recipient in reading.found] == found
    assert [f"{ignored.text}:{ignored.why}" for ignored in reading.ignored] == ignored


def test_three_hundred_rows_of_excel_are_all_accounted_for() -> None:
    rows = [f"员工{n}\t研发部\t{13800138000 + n}\treader{n}@example.com" for n in range(300)]
    rows[0] = "员工0\t研发部\t13800138000\treader0@@example.com"
    rows[7] = "员工7\t研发部\t13800138007\t"
    rows[9] = rows[8]
    reading = read("\r\n".join(["姓名\t部门\t手机\t邮箱", *rows, ""]), "smtp")
    assert len(reading.found) + len(reading.ignored) == 301
    assert reading.ignored == (
        IgnoredText("姓名 部门 手机 邮箱", "send.is_heading"),
        IgnoredText("员工7 研发部 13800138007", "send.no_smtp_in_row"),
    )
    first = dict(zip(("姓名", "部门", "手机", "邮箱"), rows[0].split("\t"), strict=True))
    assert reading.found[0] == FoundRecipient("reader0@@example.com", "员工0 研发部 13800138000", first, row=2)


_SIGNS = st.sampled_from([",", ";", "，", "；", "、", "|", "\t", "\n", " ", "\u3000", " , ", "；\n", "\r\n"])
_ADDRESSES = st.integers(0, 99_999).map(lambda number: f"r{number}@example.com")
_WRITTEN = st.sampled_from(["{}", "<{}>", "张三 <{}>", '"Li, Si" <{}>', "mailto:{}", "\u202d{}\u202c", "'{}'", "{}。"])


@given(st.lists(st.tuples(_ADDRESSES, _WRITTEN, _SIGNS), max_size=40))
def test_whatever_stands_between_them_every_address_is_adopted(people: list[tuple[str, str, str]]) -> None:
    reading = read("".join(how.format(address) + sign for address, how, sign in people), "smtp")
    assert reading.texts == [address for address, _, _ in people]


@given(
    st.text(alphabet=st.sampled_from(list('ab@.<>",;，；、|\t\n 张三1380')), max_size=200),
    st.sampled_from(["smtp", "sms"]),
)
def test_every_letter_of_a_paste_can_be_found_again(pasted: str, method: str) -> None:
    reading = read(pasted, method)
    shown = "".join(
        [recipient.text + recipient.label for recipient in reading.found]
        + [ignored.text for ignored in reading.ignored]
    )
    assert {character for character in pasted if character.isalnum()} <= set(shown)


_WORDS = ["张三", "foo", "a@x.com", "王五 <b@x.com>", '"Li, Si" <c@x.com>', "13800138000", "010-8888", "zhang@163,com"]


@given(
    st.lists(st.tuples(st.sampled_from(_WORDS), st.sampled_from([" ", "\t", ";", "，", "\n"])), max_size=8),
    st.sampled_from(["smtp", "sms"]),
)
def test_every_word_of_a_paste_is_shown_somewhere(words: list[tuple[str, str]], method: str) -> None:
    reading = read("".join(word + sign for word, sign in words), method)
    shown = " ".join(
        [f"{recipient.text} {recipient.label}" for recipient in reading.found]
        + [ignored.text for ignored in reading.ignored]
    )
    missing = [part for word, _ in words for part in re.findall(r"[^\W_]+", word) if part not in shown]
    assert missing == []


async def test_case_makes_no_second_recipient_of_a_mail() -> None:
    people = Recipients("smtp")
    await people.add(people_of("Zhang@x.com", "zhang@X.com"))
    assert (people.texts, [ignored.why for ignored in people.ignored]) == (["Zhang@x.com"], ["send.doubled"])
