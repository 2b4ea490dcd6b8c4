"""A body's parts are bounded before they are parsed, by who sends it; texts may hold whatever they like."""

import json
import random
from typing import Any

import httpx
import pytest

from imsg_contract.errors import Refusal
from imsg_gateway import json_bounds
from imsg_gateway.json_bounds import STRANGERS, USERS, Bounds, find_tokens
from imsg_testing.gateway import RunningGateway

KEYS = '"key": 1, ' * 300_000 + '"key": 1}'

LISTS = '"to": [' + "[], " * 300_000 + "[]]}"
"""Fields of a body, without its beginning."""

SMALL = Bounds(parts=40, commas=40, strings=40)


def mail(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    return {"method": "smtp", "to": "a@example.com", "content": {"subject": "s", "text": "t"}, **fields}


async def post(gateway: RunningGateway, path: str, body: Any, **headers: str) -> httpx.Response:  # noqa: ANN401  JSON
    return await post_text(gateway, path, json.dumps(body), **headers)


async def post_text(gateway: RunningGateway, path: str, text: str, **headers: str) -> httpx.Response:
    return await gateway.client.post(path, content=text.encode(), headers=headers)


@pytest.mark.parametrize("fields", [KEYS, LISTS], ids=["fields", "lists"])
@pytest.mark.parametrize("path", ["/api/send", "/api/v2/messages", "/api/v2/register"])
async def test_who_shows_no_token_that_holds_has_nothing_parsed(
    gateway: RunningGateway, path: str, fields: str
) -> None:
    forged = "bm90IGEgdG9rZW4="
    # That nothing is parsed is seen by a body that is no JSON at all.
    assert (await post_text(gateway, path, f"{{{fields}}}")).json()["errorCode"] == 10002
    assert (await post_text(gateway, path, f'{{"token": "{forged}", {fields}')).json()["errorCode"] == 10005
    answer = await post_text(gateway, path, f"{{{fields}", authorization=f"Bearer {forged}")
    assert answer.json()["errorCode"] == 10005


@pytest.mark.parametrize("path", ["/api/login", "/api/v2/login"])
async def test_a_log_in_of_thousands_of_fields_is_refused_by_its_bound(gateway: RunningGateway, path: str) -> None:
    answer = await post(gateway, path, {f"k{n}": [] for n in range(4_000)}, **{"accept-language": "zh"})
    said = answer.headers.get("x-imsg-reason") or answer.json()["reason"]
    assert (answer.json()["errorCode"], said) == (10001, "too_many_parts")


@pytest.mark.parametrize("fields", [KEYS, LISTS], ids=["fields", "lists"])
async def test_a_user_is_refused_more_parts_than_any_request_has(gateway: RunningGateway, fields: str) -> None:
    token = await gateway.user()
    for answer in (
        await post_text(gateway, "/api/v2/messages", f'{{"token": "{token}", {fields}'),
        await post_text(gateway, "/api/v2/messages", f"{{{fields}", authorization=f"Bearer {token}"),
        await post_text(gateway, f"/api/v2/messages?token={token.replace('+', '%2B')}", f"{{{fields}"),
    ):
        assert (answer.status_code, answer.json()["reason"]) == (413, "too_many_parts")
        assert f"{USERS.parts}" in answer.json()["detail"]


async def test_ten_thousand_recipients_pass_wherever_the_token_stands(gateway: RunningGateway) -> None:
    token = await gateway.user(per_hour=10)
    people = [f"reader{number}@example.com" for number in range(10_000)]
    wrapped = token[:20] + "\n" + token[20:]
    template = {"subject": '"token": "x"', "text": '[{:,"\\' * 100_000}
    for body, headers in (
        (mail(to=people, token=token), {}),
        (mail(to=people, token=wrapped, content=template), {}),
        (mail(to=people), {"authorization": f"Bearer {token}"}),
    ):
        answer = await post(gateway, "/api/v2/messages", body, **headers)
        assert (answer.status_code, answer.json()["count"]) == (202, 10_000)


@pytest.mark.parametrize("name", [r"\u0074oken", r"to\u006Ben", r"\u0074\u006f\u006b\u0065\u006e"])
@pytest.mark.parametrize("is_first", [True, False])
async def test_a_large_body_may_escape_the_name_of_its_token(
    gateway: RunningGateway, name: str, *, is_first: bool
) -> None:
    token = await gateway.user()
    body = json.dumps(mail(to=[f"reader{number}@example.com" for number in range(5_000)]))
    named = f'"{name}": "{token}"'
    text = f"{{{named}, {body[1:]}" if is_first else f"{body[:-1]}, {named}}}"
    answer = await gateway.client.post("/api/v2/messages", content=text.encode())
    assert (answer.status_code, answer.json().get("count")) == (202, 5_000)


def test_signs_inside_texts_are_not_counted() -> None:
    text = {"text": '[{:,"\\' * 1_000, "\\": ["\\\\", "\\", '"']}
    json_bounds.check(json.dumps(text).encode(), SMALL)
    with pytest.raises(Refusal, match="too_many_parts"):
        json_bounds.check(json.dumps({**text, "list": [[]] * 40}).encode(), SMALL)


@pytest.mark.parametrize(
    "body",
    [b"[]," * 50, b'"a",' * 50, b"1," * 50, b'{"a":' * 50, b'"\\\\",' * 50, b'{"\\\\":1,' + b'"\\"":2,' * 50],
    ids=["lists", "strings", "numbers", "objects", "escapes", "fields with escapes"],
)
def test_every_kind_of_part_is_bounded(body: bytes) -> None:
    with pytest.raises(Refusal, match="too_many_parts"):
        json_bounds.check(body, SMALL)


def test_what_is_counted_is_what_is_there() -> None:
    """Of random documents, none within its bounds is refused, and none beyond them passes."""
    draw = random.Random(1)  # noqa: S311  no secret

    def make(depth: int) -> Any:  # noqa: ANN401  JSON
        kind = draw.randrange(4 if depth else 2)
        if kind < 2:
            return draw.choice([1, None, "", "\\", '"', '\\"', ":", "[{", ",,", "a\\\\"])
        several = range(draw.randrange(5))
        return [make(depth - 1) for _ in several] if kind == 2 else {f'{n}\\":': make(depth - 1) for n in several}

    def count(value: object) -> int:
        if isinstance(value, dict):
            return 1 + len(value) + sum(map(count, value.values()))
        return 1 + sum(map(count, value)) if isinstance(value, list) else 0

    for _ in range(500):
        document = make(4)
        body, exact = json.dumps(document, separators=(",", ":")).encode(), count(document)
        json_bounds.check(body, Bounds(exact, 10_000, 10_000))
        if exact:
            with pytest.raises(Refusal):
                json_bounds.check(b" " * exact + body, Bounds(exact - 1, 10_000, 10_000))


def test_the_token_is_found_as_people_write_it() -> None:
    body = rb'{"params": {"token": "one"}, "token" : "t\/wo\r\n+=", "text": "\"token\": \"no\"", "other": "token"}'
    assert list(find_tokens(body)) == ["one", "t/wo\r\n+="]
    assert STRANGERS.parts < USERS.parts
    assert list(find_tokens(b'"token":1,' * 100_000)) == []


@pytest.mark.parametrize("is_first", [True, False])
def test_the_token_is_found_before_and_behind_recipients_with_a_parameter_called_token(*, is_first: bool) -> None:
    people = {"to": [{"address": f"r{n}@example.com", "params": {"token": f"{n}"}} for n in range(10_000)]}
    body = {"token": "mine", **people} if is_first else {**people, "token": "mine"}
    assert "mine" in list(find_tokens(json.dumps(body).encode()))


@pytest.mark.parametrize("times", [0, 1, 8, 9, 16, 17])
def test_no_field_is_looked_at_twice(times: int) -> None:
    found = list(find_tokens(json.dumps([{"token": f"{n}"} for n in range(times)]).encode()))
    assert sorted(found) == sorted(f"{n}" for n in range(times) if n < 8 or n >= times - 8)
