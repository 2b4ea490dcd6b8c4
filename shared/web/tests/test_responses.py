"""Every answer has the public shape: refusals, unknown paths, wrong fields and crashes too."""

from typing import Annotated, Literal

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from imsg_contract.errors import REASONS, TEXTS, Refusal
from imsg_runtime.settings import PeerKeys
from imsg_web.app import make_internal_app
from imsg_web.authorization import InternalRoute
from imsg_web.callers import KEY_HEADER, CallerCheck
from imsg_web.request_models import RequestModel
from imsg_web.responses import ApiResponse, encode, field_error, ok, prefers_english, refuse_fields

KEY = SecretStr("a key between services, long enough")


class Order(RequestModel):
    """A body with one strict field."""

    count: int


router = APIRouter(route_class=InternalRoute)


@router.post("/order")
async def order(body: Order) -> ApiResponse:
    """Return the count of a typed body."""
    return ApiResponse(ok(count=body.count))


@router.get("/refuse")
async def refuse() -> ApiResponse:
    """Refuse."""
    raise Refusal("too_many_tries", what_zh="错误的密码", what_en="wrong passwords", after=7, retry_after_s=7)


@router.get("/crash")
async def crash() -> ApiResponse:
    """Raise, as a bug does."""
    raise ZeroDivisionError


@pytest.fixture
def api() -> FastAPI:
    """Make an app that refuses, crashes and takes a typed body."""
    return make_internal_app("test", CallerCheck("history", (KEY,), PeerKeys()), [router], [])


def client(api: FastAPI) -> httpx.AsyncClient:
    """Open a client to the app."""
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test", headers={KEY_HEADER: KEY.get_secret_value()})


async def test_a_refusal_answers_its_code_reason_detail_and_retry_after(api: FastAPI) -> None:
    """10016 carries the detail in its text as well."""
    async with client(api) as http:
        answer = await http.get("/refuse")
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "7"
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json() == {
        "errorCode": 10016,
        "errorMessage": "见详情：错误的密码太多，请在 7 秒后再试。",
        "reason": "too_many_tries",
        "detail": "错误的密码太多，请在 7 秒后再试。",
    }


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b'{"count": 1', 10001, "not_json"),
        (b"[1]", 10001, "not_an_object"),
        (b"{}", 10002, "missing"),
        (b'{"count": null}', 10002, "missing"),
        (b'{"count": "5"}', 10017, "wrong_type"),
        (b'{"count": true}', 10017, "wrong_type"),
        (b'{"count": 5.0}', 10017, "wrong_type"),
    ],
)
async def test_a_wrong_body_is_answered_in_the_public_shape(api: FastAPI, body: bytes, code: int, reason: str) -> None:
    """Absent is 10002, a wrong type 10017, and the field is named."""
    async with client(api) as http:
        answer = (await http.post("/order", content=body, headers={"content-type": "application/json"})).json()
    assert (answer["errorCode"], answer["reason"]) == (code, reason)
    assert answer["errorMessage"] == TEXTS[code]
    if code != 10001:
        assert "count" in answer["detail"]


async def test_unknown_paths_and_methods_keep_the_shape(api: FastAPI) -> None:
    """Never a framework's own answer."""
    async with client(api) as http:
        missing = await http.get("/nowhere")
        wrong_method = await http.delete("/order")
    assert (missing.status_code, missing.json()["errorCode"]) == (404, 10001)
    assert (wrong_method.status_code, wrong_method.json()["reason"], wrong_method.headers["allow"]) == (
        405,
        "no_such_method",
        "POST",
    )


async def test_a_crash_is_numbered_and_shows_nothing_of_the_inside(api: FastAPI) -> None:
    """The number is what an administrator finds in the log."""
    async with client(api) as http:
        answer = await http.get("/crash", headers={"accept-language": "en"})
    assert answer.status_code == 500
    assert answer.json()["reason"] == "bug"
    assert "ZeroDivision" not in answer.text


@pytest.mark.parametrize(
    ("header", "english"),
    [
        ("", False),
        ("en", True),
        ("en-US,en;q=0.9", True),
        ("zh-CN,zh;q=0.9,en;q=0.8", False),
        ("en;q=0.5, zh;q=0.4", True),
        ("en, zh", False),
        ("de", False),
        ("en;q=zero", False),
        ("*", False),
        ("EN-gb , zh;q=0.9", True),
        ("en;q=0, zh;q=0.1", False),
        ("zh; q=0.2, en; q=0.3", True),
        ("a" + " " * 16_000 + "x", False),
        (",".join(["a" + " " * 500 + "x"] * 31) + ",en", False),
        ("a;" * 30_000 + "en", False),
        ('"' * 30_000, False),
    ],
)
def test_english_is_answered_only_where_it_is_preferred(header: str, english: bool) -> None:  # noqa: FBT001
    """Chinese is the interface's own language."""
    assert prefers_english(header) is english


def test_every_reason_fills_its_sentences_alike() -> None:
    """Both languages ask for the same values, so neither can fail where the other does not."""
    for name, row in REASONS.items():
        assert row.code in TEXTS, name
        for sentence in (row.zh, row.en):
            assert sentence.rstrip("。.") != sentence, f"{name}: a sentence ends with its stop"


def test_a_lone_surrogate_never_breaks_an_answer() -> None:
    """It came from a client's JSON and must be able to go back."""
    assert encode({"to": "a\ud800b"}) == b'{"to":"a?b"}'
    assert ApiResponse({"x": "\ud800"}).body


def _never(value: str) -> str:
    if value == "bad":
        raise field_error("不能是{bad}", "it must not be {bad}")
    return value


class Complaints(BaseModel):
    """A body whose validation errors are checked."""

    model_config = ConfigDict(strict=True)
    name: Annotated[str, Field(min_length=2), AfterValidator(_never)]
    role: Literal["user", "admin"] = "user"
    count: Annotated[int, Field(ge=0, le=9)]


@pytest.mark.parametrize(
    ("body", "zh", "en"),
    [
        ({"name": "ab", "count": "5"}, "参数 count 不正确：必须是整数。", "count is not right: it must be an integer."),
        (
            {"name": "ab", "count": True},
            "参数 count 不正确：必须是整数。",
            "count is not right: it must be an integer.",
        ),
        ({"name": "ab", "count": 5.0}, "参数 count 不正确：必须是整数。", "count is not right: it must be an integer."),
        ({"name": "ab", "count": 10}, "参数 count 不正确：不能大于 9。", "count is not right: it must be 9 or less."),
        ({"name": 1, "count": 1}, "参数 name 不正确：必须是字符串。", "name is not right: it must be a string."),
        (
            {"name": "a", "count": 1},
            "参数 name 不正确：至少要有 2 个字符。",
            "name is not right: it must have at least 2 characters.",
        ),
        ({"name": "bad", "count": 1}, "参数 name 不正确：不能是{bad}。", "name is not right: it must not be {bad}."),
        ({"name": 1}, "缺少参数 count。", "count is missing."),
        ({"name": 1, "count": None}, "缺少参数 count。", "count is missing."),
    ],
)
def test_what_is_wrong_with_a_field_reads_well_in_both_languages(body: dict[str, object], zh: str, en: str) -> None:
    """And what is missing is said before what is wrong."""
    with pytest.raises(ValidationError) as caught:
        Complaints.model_validate(body)
    refusal = refuse_fields(caught.value.errors())
    assert refusal.answer(english=False)["detail"] == zh
    assert refusal.answer(english=True)["detail"] == en


@given(st.text(), st.lists(st.sampled_from(["en", "zh-CN", "q=0.5", ";", ",", "*", " ", "q=", "1.0000", "\0"])))
def test_any_accept_language_is_an_answer(text: str, pieces: list[str]) -> None:
    """Chinese where it says nothing that can be read."""
    assert prefers_english(f"en,{text[:9].replace(',', '')}") in (True, False)
    assert prefers_english(text + "".join(pieces)) in (True, False)
    assert not prefers_english("zh," + "".join(pieces))
