"""Who a mail comes from and where replies go, by the names that the settings have."""

from typing import Any

import httpx
import pytest

from imsg_testing.gateway import RunningGateway, mail


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


@pytest.mark.parametrize("field", ["sender", "reply_to"])
async def test_a_channel_without_senders_takes_none(gateway: RunningGateway, field: str) -> None:
    given: dict[str, Any] = {"to": "13711112222", "method": "sms", "content": "x", field: "news"}
    answer = await post(gateway, token=await gateway.user(), **given)
    assert answer.json()["reason"] == "wrong_type"
    assert field in answer.json()["detail"]


async def test_the_first_version_ignores_them(gateway: RunningGateway) -> None:
    answer = await post(gateway, "/api/send", token=await gateway.user(), sender="news")
    assert answer.json()["errorCode"] == 0
    (job,) = await gateway.jobs()
    assert isinstance(job.content, dict)
    assert "sender" not in job.content
