"""The OpenAPI document: merged from the owners, held to what the gateway takes, in two languages, with its reader."""

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.responses import JSONResponse

from imsg_contract import error_responses
from imsg_gateway import channel_schemas, reader_page, schemas
from imsg_testing.gateway import RunningGateway, mail

EXTRA = {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/Inner"}}}
INNER = {"type": "string"}


def write_owned(paths: dict[str, Any], **schemas: Any) -> JSONResponse:  # noqa: ANN401  any JSON
    """Build an owner's document."""
    return JSONResponse({"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}})


def operation(schema: str) -> dict[str, Any]:
    answer = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}}
    return {
        "description": f"{schema}.",
        "operationId": schema,
        "responses": {"200": {"description": "OK", **answer}, "422": {"description": "no"}},
    }


async def document(run_gateway: RunningGateway) -> dict[str, Any]:
    run_gateway.auth.answer = write_owned(
        {
            "/api/login": {"post": operation("Extra")},
            "/api/modify/{username}": {"post": operation("Extra")},
            "/internal/user-cache": {"post": operation("Extra")},
        },
        Extra=EXTRA,
        Inner=INNER,
    )
    run_gateway.history.answer = write_owned(
        {path: {"get": operation("Extra")} for path in ("/api/query", "/api/messages")},
        Extra={"type": "array"},
        Inner=INNER,
    )
    answer = await run_gateway.client.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_the_document_holds_every_owners_part_and_nothing_internal(gateway: RunningGateway) -> None:
    found = await document(gateway)
    v1 = {"/api/send", "/api/login", "/api/query", "/api/modify/{username}"}
    v2 = {"/api/v2/messages", "/api/v2/resend", "/api/v2/channels", "/api/v2/login"}
    assert v1 | v2 <= set(found["paths"])
    assert set(found["paths"]["/api/v2/messages"]) == {"get", "post"}
    assert not any("internal" in path for path in found["paths"])
    refused = found["paths"]["/api/v2/login"]["post"]["responses"]
    assert "422" not in refused
    assert {"200", "400", "413", "500", "503"} <= set(refused)
    assert found["paths"]["/api/v2/login"]["post"]["security"] == []


async def test_schemas_of_one_name_and_two_shapes_are_kept_apart(gateway: RunningGateway) -> None:
    found = await document(gateway)
    schemas = found["components"]["schemas"]
    assert schemas["Extra"] == EXTRA
    assert schemas["HistoryExtra"] == {"type": "array"}
    assert schemas["Inner"] == INNER
    references = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(found))
    assert set(references) <= set(schemas)


async def test_the_document_is_asked_of_an_owner_that_is_away_again(gateway: RunningGateway) -> None:
    gateway.history.answer = JSONResponse({}, 503)
    answer = await gateway.client.get("/openapi.json")
    assert (answer.status_code, answer.json()["reason"]) == (503, "unavailable")
    assert (await document(gateway))["openapi"] == "3.1.0"


async def test_an_owners_refusals_and_the_gateways_own_are_described_together(gateway: RunningGateway) -> None:
    theirs = error_responses.describe(["contact_taken", "wrong_type"])
    login = operation("Extra") | {"responses": {"200": {"description": "OK"}, **theirs}}
    gateway.auth.answer = write_owned({"/api/login": {"post": login}})
    gateway.history.answer = write_owned({})
    responses = (await gateway.client.get("/openapi.json")).json()["paths"]["/api/v2/login"]["post"]["responses"]
    assert responses["409"] == theirs["409"]
    both = {"wrong_type", "unknown_field", "not_json", "not_an_object", "body_incomplete"}
    assert set(error_responses.reasons_of({"400": responses["400"]})) == both


async def test_every_refusal_of_a_url_that_sends_is_described(gateway: RunningGateway) -> None:
    found = await document(gateway)
    described = json.dumps(found["paths"]["/api/v2/messages"]["post"]["responses"], ensure_ascii=False)
    for code in (10001, 10002, 10005, 10008, 10009, 10010, 10011, 10012, 10013, 10014, 10015, 10016, 10017):
        assert str(code) in described


def test_every_answer_of_our_own_is_a_closed_shape_with_its_keys() -> None:
    for model in (
        schemas.SendAnswer,
        channel_schemas.ChannelsAnswer,
        channel_schemas.ChannelAnswer,
    ):
        schema = model.model_json_schema(mode="serialization")
        assert schema["additionalProperties"] is False
        assert {"errorCode", "errorMessage"} <= set(schema["required"])


async def test_answers_match_their_schemas(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    sms = {"method": "sms", "to": "13800138000", "content": "明天下雨"}
    for fields in ({}, sms):
        schemas.SendAnswer.model_validate((await gateway.send(token=token, **fields)).json())
    channel_schemas.ChannelsAnswer.model_validate((await gateway.client.get(f"/api/v2/channels?token={token}")).json())
    pause = {"token": token, "paused": False}
    channel_schemas.ChannelAnswer.model_validate(
        (await gateway.client.patch("/api/v2/channels/smtp", json=pause)).json()
    )


TEXT = st.sampled_from(["", "a", "li@example.com", "下午"]) | st.text(max_size=3)
VALUE = st.none() | st.booleans() | st.integers() | TEXT | st.lists(TEXT, max_size=2) | st.dictionaries(TEXT, TEXT)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "to": VALUE,
        "method": VALUE,
        "content": VALUE | st.fixed_dictionaries({}, optional={"subject": VALUE, "text": VALUE, "html": VALUE}),
        "attachment": VALUE | st.fixed_dictionaries({}, optional={"filename": VALUE, "file": VALUE}),
        "account": VALUE,
    },
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(fields=FIELDS)
async def test_what_the_document_refuses_the_gateway_refuses(gateway: RunningGateway, fields: dict[str, Any]) -> None:
    token = await gateway.user(per_hour=1_000_000, per_day=1_000_000)
    body = mail() | fields
    try:
        schemas.MessageRequest.model_validate(body)
    except ValidationError:
        assert (await gateway.send(**body, token=token)).json()["errorCode"] != 0


async def test_the_page_is_in_the_language_that_is_asked_for(gateway: RunningGateway) -> None:
    for path, accepts, language in (
        ("/docs", "", "zh"),
        ("/docs/", "en-US,en;q=0.9", "en"),
        ("/docs?lang=zh", "en", "zh"),
        ("/docs?lang=en", "zh", "en"),
    ):
        answer = await gateway.client.get(path, headers={"accept-language": accepts})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert f'<html lang="{language}">' in answer.text
        assert "unsafe" not in answer.headers["content-security-policy"]
    refused = await gateway.client.get("/docs?lang=fr")
    assert (refused.status_code, refused.json()["reason"]) == (400, "wrong_type")


async def test_the_page_needs_nothing_from_elsewhere(gateway: RunningGateway) -> None:
    page = (await gateway.client.get("/docs")).text
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page)
    wanted = set(re.findall(r"""(?:src|href)="(/docs/[^"]+)""", page))
    assert wanted == set(reader_page.PATHS)
    for path in wanted:
        answer = await gateway.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/css" if path.endswith(".css") else "text/javascript")
        assert answer.content


async def test_the_document_is_chinese_where_chinese_is_asked_for(gateway: RunningGateway) -> None:
    await document(gateway)
    for query, accepts, summary in (
        ("", "", "Send a message"),
        ("", "en;q=0.9, zh;q=0.3", "Send a message"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "发送消息"),
        ("?lang=zh", "en", "发送消息"),
        ("?lang=en", "zh", "Send a message"),
    ):
        answer = await gateway.client.get(f"/openapi.json{query}", headers={"accept-language": accepts})
        assert answer.json()["paths"]["/api/v2/messages"]["post"]["summary"] == summary
