"""Addresses that are right but for how they are written: the detail says what is wrong and what is wanted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_channels import BY_NAME, METHODS
from imsg_testing.gateway import RunningGateway


@pytest.mark.parametrize(
    ("text", "wanted", "why"),
    [
        (" zhang@163.com ", "zhang@163.com", "前后有空白"),
        ("zhang@163.com\u00a0", "zhang@163.com", "前后有空白"),
        ("\u3000zhang@163.com", "zhang@163.com", "前后有空白"),
        ("zhang@163.com\t", "zhang@163.com", "前后有空白"),
        ("zhang @163.com", "zhang@163.com", "中间有空白"),
        ("zhang＠163.com", "zhang@163.com", "含有全角字符"),
        ("ｚｈａｎｇ@163。com", "zhang@163.com", "含有全角字符"),
        ("\u200bzhang@163.com", "zhang@163.com", "含有看不见的字符（U+200B）"),
        ("\u202dzhang@163.com\u202c", "zhang@163.com", "含有看不见的字符（U+202C U+202D）"),
        ("\ufeffzhang@163.com", "zhang@163.com", "含有看不见的字符（U+FEFF）"),
        ("mailto:zhang@163.com", "zhang@163.com", "带有 mailto:"),
        ("<zhang@163.com>", "zhang@163.com", "前后有引号、括号或标点"),
        ("“zhang@163.com”", "zhang@163.com", "前后有引号、括号或标点"),
        ("zhang@163.com；", "zhang@163.com", "含有全角字符、前后有引号、括号或标点"),
        (" ｚhang@163.com,", "zhang@163.com", "前后有空白、含有全角字符、前后有引号、括号或标点"),
    ],
)
async def test_a_mail_address_written_otherwise_is_refused_with_the_form_wanted(
    gateway: RunningGateway, text: str, wanted: str, why: str
) -> None:
    answer = await gateway.send(token=await gateway.user(), to=[text, "li@example.com"])
    body = answer.json()
    assert (body["errorCode"], body["reason"]) == (10011, "recipients_invalid")
    assert f"（{why}，请写成 {wanted}）" in body["detail"]


@pytest.mark.parametrize(
    ("text", "wanted", "why"),
    [
        ("159 1234 1256", "15912341256", "中间有空白"),
        ("159\u00a01234\u00a01256", "15912341256", "中间有空白"),
        ("１５９１２３４１２５６", "15912341256", "含有全角字符"),
        ("159-1234-1256", "15912341256", "含有连字符或括号"),
        ("+86 159-1234-1256", "+8615912341256", "中间有空白、含有连字符或括号"),
        ("8615912341256", "+8615912341256", "国家号前要有 +"),
        ("008615912341256", "+8615912341256", "国际号码要以 + 开头"),
        ("+1 (415) 555-0100", "+14155550100", "中间有空白、含有连字符或括号"),
        ("\u202d15912341256\u202c", "15912341256", "含有看不见的字符（U+202C U+202D）"),
        ("tel:15912341256", "15912341256", "带有 tel:"),
    ],
)
async def test_a_phone_number_written_otherwise_is_refused_with_the_form_wanted(
    gateway: RunningGateway, text: str, wanted: str, why: str
) -> None:
    answer = await gateway.send(token=await gateway.user(), method="sms", to=text, content="您好")
    body = answer.json()
    assert (body["errorCode"], body["reason"]) == (10011, "recipients_invalid")
    assert f"“{text}”（{why}，请写成 {wanted}）" in body["detail"]
    english = await gateway.client.post(
        gateway.url("/api/send"),
        json={"token": await gateway.user("bo"), "method": "sms", "to": text, "content": "hi"},
        headers={"accept-language": "en"},
    )
    assert f"write {wanted})" in english.json()["detail"]


@pytest.mark.parametrize(
    "text", ["", " ", "zhang", "Zhang San", "天存-1", "zhang@", "159 1234", "a" * 400, "<>", "\u200b"]
)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_address_however_it_is_written_is_not_guessed_at(text: str, method: str) -> None:
    assert BY_NAME[method].address.find_spelling(text) is None


@given(text=st.text() | st.text('0159-+() \u202d１５＠@a.。<>"mailto:'))
@pytest.mark.parametrize("method", METHODS)
def test_what_is_wanted_is_an_address_and_is_not_what_was_written(method: str, text: str) -> None:
    address = BY_NAME[method].address
    if (found := address.find_spelling(text)) is not None:
        assert address.parse(found.wanted) is not None
        assert found.wanted != text
