"""The answer to a body that is no JSON says what is wrong, where, and what is expected."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from imsg_gateway.json_errors import explain
from imsg_testing.gateway import RunningGateway

GOOD = {"to": "li@example.com", "method": "smtp", "content": {"subject": "发票", "text": "您好，请查收。"}}
WRAPPED = '{\n "attachment": {\n  "filename": "发票.pdf",\n  "file": "JVBERi0xLjQK\nJVBERi0xLjQK"}}'


@pytest.mark.parametrize(
    ("body", "said", "english"),
    [
        (json.dumps(GOOD, ensure_ascii=False).encode("gbk"), "像是 GBK 编码的“发票”；请改用 UTF-8", "looks like GBK"),
        ('{"a": "x中"}'.encode("gb18030"), "第 1 行第 9 字节起不是 UTF-8", "looks like GBK"),
        (json.dumps(GOOD, ensure_ascii=False).encode("utf-16"), "像是 UTF-16 编码", "looks like UTF-16"),
        (gzip.compress(json.dumps(GOOD).encode()), "是压缩过的", "is compressed; send it as it is"),
        (zlib.compress(json.dumps(GOOD).encode()), "是压缩过的", "is compressed; send it as it is"),
        (json.dumps(GOOD, ensure_ascii=False).encode("utf-16-be"), "像是 UTF-16 编码", "looks like UTF-16"),
        (b'{"a": "caf\xe9"}', "第 1 行第 11 字节不是 UTF-8", "is not UTF-8"),
        (
            WRAPPED.encode(),
            "第 4 行第 24 字节：file 的字符串里有没有转义的换行；base64 请写成一行，或把它写成 \\n",
            "write base64 in one line",
        ),
        (
            WRAPPED.replace("K\nJ", "K\r\nJ").encode(),
            "file 的字符串里有没有转义的换行",
            "a line break that is not escaped",
        ),
        (b'{"text": "a\nb"}', "第 1 行第 12 字节：text 的字符串里有没有转义的换行；请写成 \\n", "write \\n"),
        (b'{"text": "a\tb"}', "有没有转义的制表符；请写成 \\t", "a tab"),
        (b'{"text": "a\x01b"}', "控制字符；请写成 \\u0001", "a control character"),
        (b'{"to": ["a", "b\nc"]}', "：字符串里有没有转义的换行", "a line break"),
        (b"{'to': 'a'}", "附近用了 '；字段名和字符串要用英文双引号", "double quotes"),
        ("{“to”: “a”}".encode(), "附近用了 “", "double quotes"),
        ('{"to"："a"}'.encode(), "附近用了全角的 ：；请写成 :", "full-width"),
        ('{"to":"a"，"b":1}'.encode(), "附近用了全角的 ，；请写成 ,", "full-width"),
        (b"to=a&method=sms", "像是表单，请发送 JSON", "looks like a form"),
        (b" ", "请求体是空的", "the body is empty"),
        (b'{"a": 1,}', "trailing comma at line 1 column 9", "trailing comma"),
    ],
)
async def test_what_is_wrong_with_a_body_is_named(
    gateway: RunningGateway, body: bytes, said: str, english: str
) -> None:
    for language, words in (("zh", said), ("en", english)):
        answer = await gateway.client.post(
            gateway.url("/api/send"), content=body, headers={"accept-language": language}
        )
        assert (answer.json()["errorCode"], answer.json()["reason"]) == (10001, "not_json")
        assert words in answer.json()["detail"]


async def test_a_byte_order_mark_is_no_fault(gateway: RunningGateway) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"token": await gateway.user(), **GOOD}).encode()
    assert (await gateway.client.post(gateway.url("/api/send"), content=body)).json()["errorCode"] == 0


@given(st.binary() | st.text().map(lambda text: f'{{"a": "{text}", x'.encode("gbk", "replace")))
def test_any_body_is_explained(body: bytes) -> None:
    try:
        from_json(body)
    except ValueError as error:
        answer = explain(body, error).answer(english=False)
        assert answer["reason"] == "not_json"
