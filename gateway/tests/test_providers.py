"""Providers: their states as their senders report them, switching them, and one message by one of them."""

import json
from typing import Any

import pytest

from imsg_contract.provider_reports import FRESH_S
from imsg_contract.topology import Lane, providers_key
from imsg_contract.wire import Job
from imsg_gateway.provider_reports import merge
from imsg_testing.gateway import RunningGateway

NOW = 1_795_000_000
BLOCK = {
    "concerns": "account",
    "what": "aliyun",
    "code": "isv.AMOUNT_NOT_ENOUGH",
    "detail": "余额不足",
    "since": "2026-11-26T10:00:00Z",
    "until": "2026-11-26T10:05:00Z",
}
TEMPLATE = {**BLOCK, "concerns": "template", "what": "aliyun template SMS_1", "code": "isv.SMS_TEMPLATE_ILLEGAL"}


def make_report(name: str = "aliyun", **given: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    """Return a provider's report as a sender writes it."""
    return {
        "name": name,
        "enabled": True,
        "weight": 1,
        "share": 1.0,
        "blocks": [],
        "last_error": None,
        "sent": 1,
        "failed": 0,
        "p95_ms": 50,
        **given,
    }


def field(at: int, process: str, *providers: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the field of a process's report at a time."""
    return f"{at} {process}".encode(), json.dumps({"providers": providers}).encode()


def test_the_reports_of_several_processes_become_one_line_each() -> None:
    error = {"concerns": "recipient", "code": "550", "detail": "", "at": "2026-11-26T10:00:09Z"}
    later = {**BLOCK, "since": "2026-11-26T10:00:01Z", "until": "2026-11-26T10:05:01Z"}
    fields = [
        field(NOW, "a", make_report(blocks=[TEMPLATE, BLOCK], p95_ms=70), make_report("tencent", weight=0, share=0.0)),
        field(NOW - 1, "b", make_report(blocks=[later], sent=2, failed=3, last_error=error)),
        field(NOW - 2, "b", make_report(sent=100)),
        field(NOW - FRESH_S - 1, "gone", make_report("luosimao", sent=100)),
        (b"no time at all", b"{}"),
        (f"{NOW} c".encode(), b"gibberish"),
    ]
    aliyun, tencent = merge(dict(fields), NOW)
    assert (aliyun["name"], aliyun["state"], aliyun["sent"], aliyun["failed"], aliyun["p95_ms"]) == (
        "aliyun",
        "blocked",
        3,
        3,
        70,
    )
    assert aliyun["why"] == "aliyun: isv.AMOUNT_NOT_ENOUGH 余额不足"
    assert (aliyun["since"], aliyun["until"]) == (BLOCK["since"], later["until"])
    assert aliyun["last_error"] == error
    assert [block["concerns"] for block in aliyun["blocks"]] == ["account", "template"]
    assert (tencent["name"], tencent["state"], tencent["share"]) == ("tencent", "open", 0.0)


@pytest.mark.parametrize(
    ("given", "state"),
    [({"blocks": [TEMPLATE]}, "open"), ({"blocks": [BLOCK]}, "blocked"), ({"enabled": False}, "disabled")],
)
def test_one_template_s_trouble_leaves_the_provider_open_and_its_reason_shown(
    given: dict[str, Any], state: str
) -> None:
    (found,) = merge(dict([field(NOW, "a", make_report(**given))]), NOW)
    assert found["state"] == state
    assert bool(found["why"]) is ("blocks" in given)


async def publish_reports(gateway: RunningGateway, method: str, *providers: dict[str, Any]) -> None:
    """Publish reports on a channel's providers, far ahead, so that they are fresh however slow the test is."""
    (now_s, _) = await gateway.redis.call("TIME")
    await gateway.redis.call("HSET", providers_key(method), *field(int(now_s) + 600, "a", *providers))


async def test_administrators_see_providers_and_users_do_not(gateway: RunningGateway) -> None:
    admin, user = await gateway.user("admin", role="admin"), await gateway.user()
    await publish_reports(gateway, "sms", make_report())
    for token, names in ((admin, ["aliyun"]), (user, [])):
        answer = await gateway.client.get("/api/v2/channels", params={"token": token})
        (sms,) = (each for each in answer.json()["channels"] if each["method"] == "sms")
        assert [provider["name"] for provider in sms["providers"]] == names


async def test_what_is_switched_is_a_provider_there_is_and_reaches_auth(gateway: RunningGateway) -> None:
    admin = await gateway.user("admin", role="admin")
    await publish_reports(gateway, "sms", make_report())
    await publish_reports(gateway, "wecom", make_report("ops", weight=None, share=None))

    async def patch(path: str, **fields: object) -> tuple[int, str | None]:
        answer = await gateway.client.patch(f"/api/v2/providers/{path}", json={"token": admin, **fields})
        return answer.status_code, answer.json().get("reason")

    assert await patch("sms/aliyun", enabled=False, weight=3) == (200, None)
    assert json.loads(gateway.auth.relayed[-1].body) == {"enabled": False, "weight": 3}
    assert await patch("sms/nobody", enabled=False) == (404, "not_found")
    assert (await patch("wecom/ops", weight=3))[0] == 400
    assert await patch("wecom/ops", enabled=False) == (200, None)
    assert len(gateway.auth.relayed) == 2


async def test_one_message_goes_by_the_provider_that_is_named(gateway: RunningGateway) -> None:
    admin, user = await gateway.user("admin", role="admin"), await gateway.user()
    await publish_reports(gateway, "smtp", make_report("backup"))
    path = "/api/v2/providers/smtp/backup/test"
    refused = await gateway.client.post(path, json={"token": user, "to": "you@example.com"})
    assert refused.json()["reason"] == "no_right"
    answer = await gateway.client.post(path, json={"token": admin, "to": "you@example.com"})
    assert (answer.status_code, answer.json()["count"]) == (202, 1)
    queue = gateway.broker.topology.queue("smtp", Lane.NORMAL)
    async with gateway.broker.consume(queue, 1) as deliveries:
        job = Job.model_validate_json((await anext(deliveries)).body)
    assert job.provider == "backup"
    assert isinstance(job.content, dict)
    assert "backup" in job.content["subject"]


async def test_only_administrators_name_a_provider_in_a_send(gateway: RunningGateway) -> None:
    admin, user = await gateway.user("admin", role="admin"), await gateway.user()
    message = {"to": "a@example.com", "method": "smtp", "content": {"subject": "x", "text": "x"}}
    for token, provider, status in ((user, "backup", 403), (admin, "a b", 400), (admin, "backup", 202)):
        given = {**message, "token": token, "provider": provider}
        answer = await gateway.client.post("/api/v2/messages", json=given)
        assert answer.status_code == status
