"""The senders and reply-to addresses of mail, by the names that the settings have."""

import json
from typing import Any

import httpx
import pytest
from starlette.responses import JSONResponse

from imsg_channels.sms import SMS
from imsg_contract.topology import names_key
from imsg_gateway.fields import drop_names
from imsg_testing.gateway import ME, RunningGateway, mail


async def post(gateway: RunningGateway, path: str = "/api/v2/messages", **fields: Any) -> httpx.Response:  # noqa: ANN401  any JSON
    """Send by v2: a sound mail but for the fields given."""
    return await gateway.client.post(path, json=mail(**fields))


async def test_the_names_travel_with_the_content(gateway: RunningGateway) -> None:
    token = await gateway.user()
    assert (await post(gateway, token=token, sender="news", reply_to="help")).status_code == 202
    (job,) = await gateway.jobs()
    assert isinstance(job.content, dict)
    assert (job.content["sender"], job.content["reply_to"]) == ("news", "help")
    assert (await post(gateway, token=token)).status_code == 202
    (job,) = await gateway.jobs()
    assert isinstance(job.content, dict)
    assert not {"sender", "reply_to"} & set(job.content)


@pytest.mark.parametrize("field", ["sender", "reply_to"])
@pytest.mark.parametrize("name", ["", "News", "a b", 7, "x" * 33, "a\n"])
async def test_what_is_no_name_is_refused(gateway: RunningGateway, field: str, name: object) -> None:
    given: dict[str, Any] = {field: name}
    answer = await post(gateway, token=await gateway.user(), **given)
    assert answer.status_code == 400
    assert answer.json()["reason"] == "wrong_type"
    assert field in answer.json()["detail"]


@pytest.mark.parametrize(("field", "method", "to"), [("sender", "wecom", "robot"), ("reply_to", "sms", "13711112222")])
async def test_a_channel_without_senders_takes_none(gateway: RunningGateway, field: str, method: str, to: str) -> None:
    given: dict[str, Any] = {"to": to, "method": method, "content": "x", field: "news"}
    answer = await post(gateway, token=await gateway.user(), **given)
    assert answer.json()["reason"] == "wrong_type"
    assert field in answer.json()["detail"]


@pytest.mark.parametrize(("length", "segments"), [(64, 1), (65, 2)])
async def test_the_signature_that_an_sms_names_is_counted(gateway: RunningGateway, length: int, segments: int) -> None:
    for field, names in {"sender": {"school": []}, "signature": {"school": ["天存教育"]}}.items():
        await gateway.redis.call("HSET", names_key("sms"), field, json.dumps(names))
    words, token = "一" * length, await gateway.user()
    given: dict[str, Any] = {"to": "13711112222", "method": "sms", "content": words, "sender": "school"}
    answer = await post(gateway, token=token, **given)
    assert (answer.status_code, answer.json()["segments"]) == (202, segments)
    (job,) = await gateway.jobs(method="sms")
    assert job.content == {"text": words, "sender": "school"}
    assert drop_names(job.content, SMS) == words, "it is sent again by these words"


async def test_the_first_version_ignores_them(gateway: RunningGateway) -> None:
    answer = await post(gateway, "/api/send", token=await gateway.user(), sender="news")
    assert answer.json()["errorCode"] == 0
    (job,) = await gateway.jobs()
    assert isinstance(job.content, dict)
    assert "sender" not in job.content


async def publish(gateway: RunningGateway, **fields: dict[str, list[str]]) -> None:
    """Publish the names of the mail channel, as its sender does."""
    for field, names in fields.items():
        await gateway.redis.call("HSET", names_key("smtp"), field, json.dumps(names))


@pytest.mark.parametrize(
    ("field", "name", "reason", "detail"),
    [
        ("sender", "nws", "wrong_type", "there is no sender nws; there are alerts, news"),
        ("reply_to", "hlp", "wrong_type", "there is no reply-to address hlp; there are help"),
        ("provider", "backpu", "wrong_type", "there is no provider backpu; there are backup, default"),
        ("sender", "board", "may_not_send_by", "board"),
        ("sender", "news", None, ""),
    ],
)
async def test_unknown_names_are_refused_with_those_there_are_and_nothing_is_counted(
    gateway: RunningGateway, field: str, name: str, reason: str | None, detail: str
) -> None:
    await publish(
        gateway,
        sender={"news": [], "alerts": ["zhang"], "board": ["li"]},
        reply_to={"help": []},
        provider={"default": [], "backup": []},
    )
    gateway.auth.answer = JSONResponse(ME)
    given: dict[str, Any] = {"token": await gateway.user("zhang", role="admin"), field: name}
    for path in ("/api/v2/messages/check", "/api/v2/messages"):
        answer = (await gateway.client.post(path, json=mail(**given), headers={"accept-language": "en"})).json()
        assert answer.get("reason") == reason
        assert detail in answer.get("detail", "")
    if reason is not None:
        assert await gateway.redis.call("KEYS", "imsg:used:*") == []
        assert await gateway.waiting() == 0


async def test_names_are_shown_only_with_a_valid_token(gateway: RunningGateway) -> None:
    await publish(gateway, sender={"news": []})
    token = await gateway.user("zhang")
    await gateway.client.post("/api/v2/logout", json={"token": token})
    forged = token[:-8] + ("A" * 8 if token[-8:] != "A" * 8 else "B" * 8)
    for path in ("/api/v2/messages", "/api/v2/messages/check"):
        answer = await post(gateway, path, token=forged, sender="nws")
        assert answer.json()["reason"] == "token_invalid"
