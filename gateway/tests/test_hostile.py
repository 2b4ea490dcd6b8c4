"""Whatever comes in, a documented answer goes out: never a traceback, never a 500."""

import base64
import contextlib
import json
from typing import Any

import httpx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imsg_channels import segments
from imsg_channels.content import read
from imsg_channels.one_line import has_control
from imsg_channels.smtp import SMTP
from imsg_contract.errors import REASONS, TEXTS, Refusal
from imsg_gateway.attachments import Files
from imsg_gateway.v1 import url_of
from imsg_testing.api_versions import read_answer
from imsg_testing.gateway import RunningGateway, call_past_httpx, mail

LATE = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "smtp",
        "sms",
        "wechat",
        "li@example.com",
        "13800138000",
        "84G-7ZW-YRB",
        "zhang",
        "\x00",
        "\u202e",
        "a\r\nb",
        "../a",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
NEAR = st.fixed_dictionaries(
    {},
    optional={
        "to": JSON | st.lists(TEXT, max_size=5),
        "method": JSON | st.sampled_from(["smtp", "sms", "wechat"]),
        "content": JSON
        | st.fixed_dictionaries({}, optional={"subject": TEXT, "text": TEXT, "html": TEXT})
        | st.fixed_dictionaries({"template": TEXT}, optional={"params": st.dictionaries(TEXT, TEXT, max_size=3)}),
        "attachment": JSON | st.fixed_dictionaries({}, optional={"filename": TEXT, "file": TEXT}),
        "account": JSON,
        "other": JSON,
    },
)


def check(answer: httpx.Response, *, is_v1: bool = False) -> None:
    """Check an answer's public shape; v1 always answers 200, with whatever the document does not print in headers."""
    body = read_answer(answer)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.status_code != 500, body
    assert TEXTS[body["errorCode"]] in body["errorMessage"]
    if body["errorCode"] == 0:
        assert answer.status_code in {200, 202}
    else:
        row = REASONS[body["reason"]]
        assert (row.code, 200 if is_v1 else row.http) == (body["errorCode"], answer.status_code)
        assert body["detail"]


@LATE
@given(fields=NEAR)
async def test_any_fields_get_a_documented_answer(gateway: RunningGateway, fields: dict[str, Any]) -> None:
    token = await gateway.user(per_hour=1_000_000, per_day=1_000_000)
    await gateway.redis.call("DEL", "imsg:tally:unknown:zhang")
    body = json.dumps({**mail(), "token": token, **fields})
    check(await gateway.client.post("/api/v2/messages", content=body))


@LATE
@given(body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
async def test_any_body_gets_a_documented_answer(gateway: RunningGateway, body: bytes) -> None:
    for verb, path in (
        ("POST", "/api/v2/messages"),
        ("POST", "/api/v2/login"),
        ("GET", "/api/v2/messages"),
        ("POST", "/api/v2/resend"),
    ):
        check(await gateway.client.request(verb, path, content=body))


HEADER = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F))


@LATE
@example(path="query", query=b"", values=(b"", b"", b""))
@example(path="modify/", query=b"", values=(b"", b"", b""))
@given(path=st.text(max_size=20), query=st.binary(max_size=30), values=st.tuples(HEADER, HEADER, HEADER))
async def test_any_path_query_and_headers_get_a_documented_answer(
    gateway: RunningGateway, path: str, query: bytes, values: tuple[bytes, bytes, bytes]
) -> None:
    language, bearer, key = values
    headers = {
        b"accept-language": language,
        b"authorization": b"Bearer " + bearer,
        b"idempotency-key": key,
        b"x-forwarded-for": key,
    }
    token = await gateway.user(per_hour=1_000_000, per_day=1_000_000)
    check(await gateway.client.post("/api/v2/messages", json=mail(token=token), headers=headers))
    for tried in ("/api/v2/messages", f"/api/{path}", f"/api/v2/users/{path}"):
        scope = {"path": tried, "raw_path": b"/", "query_string": query, "method": "GET"}
        is_v1 = url_of(tried.removesuffix("/")) is not None
        check(await call_past_httpx(gateway, scope, headers), is_v1=is_v1)


@settings(deadline=None)
@given(data=st.binary(max_size=3_000), width=st.integers(1, 100), chunk=st.sampled_from(["\n", "\r\n", " \t"]))
async def test_any_bytes_come_back_from_base64_however_it_is_wrapped(data: bytes, width: int, chunk: str) -> None:
    text = base64.b64encode(data).decode()
    wrapped = chunk.join(text[at : at + width] for at in range(0, len(text), width))
    (file,) = await Files(10_000).read({"filename": "a", "file": wrapped})
    assert file.data == data


@given(content=JSON)
def test_mail_content_is_taken_or_refused_and_nothing_else(content: object) -> None:
    with contextlib.suppress(Refusal):
        taken = read(SMTP.content, content, has_attachment=False)
        assert isinstance(taken, dict)
        assert not has_control(taken["subject"])
        assert taken["text"] or taken["html"]


@given(text=st.text(max_size=600), abroad=st.booleans())
def test_segments_hold_the_whole_text_and_no_more_than_needed(text: str, abroad: bool) -> None:  # noqa: FBT001
    count = segments.count(text, ["+16502530000" if abroad else "+8613800138000"]).dearest
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    assert 1 <= count <= max(1, -(-units // 67))
    assert count * 160 >= len(text)


async def test_deep_and_wide_bodies_are_refused_quickly(gateway: RunningGateway) -> None:
    bodies = (
        b"[" * 16_000_000,
        b'{"a":' * 3_000_000,
        b"[" + b"[]," * 5_000_000 + b"[]]",
        b'{"a":"' + b"\\u0000" * 2_000_000 + b'"}',
        b'{"to":[' + b'"a",' * 3_000_000 + b'"a"]}',
        b'{"to":[' + b"1," * 7_500_000 + b"1]}",
    )
    for body in bodies:
        check(await gateway.client.post("/api/v2/messages", content=body))
