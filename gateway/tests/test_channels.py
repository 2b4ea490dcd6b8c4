"""GET and PATCH /api/v2/channels, and what the gateway does when too much waits."""

import asyncio
import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from imsg_channels import METHODS
from imsg_contract.topology import Lane, channel_key, next_due_key, no_provider_key
from imsg_contract.wire import Change
from imsg_testing.gateway import RunningGateway, run_gateway
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually


async def test_channels_show_their_state_and_what_waits(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    await gateway.send(token=token)
    await gateway.send(token=token, to=["a@example.com", "b@example.com"])
    blocked = ("state", "blocked", "why", "余额不足", "until", "2026-11-25T12:00:00Z")
    await gateway.redis.call("HSET", channel_key("sms"), *blocked)
    await gateway.redis.call("SET", next_due_key("sms"), int(time.time() - 300) * 1_000)
    answer = await gateway.client.get("/api/v2/channels", params={"token": token})
    channels = {channel["method"]: channel for channel in answer.json()["channels"]}
    assert tuple(channels) == METHODS
    lanes = {"priority": 0, "normal": 1, "bulk": 1, "test": 0}
    smtp = {"method": "smtp", "state": "open", "why": None, "until": None, "waiting": 2, "lanes": lanes, "consumers": 0}
    smtp["late_s"] = 0
    assert channels["smtp"] == {**smtp, "senders": [], "reply_to": [], "signatures": {}, "providers": []}
    assert (channels["sms"]["state"], channels["sms"]["why"]) == ("blocked", "余额不足")
    assert 300 <= channels["sms"]["late_s"] < 600
    assert channels["sms"]["until"] == "2026-11-25T12:00:00Z"


FALLBACK = {"method": "sms", "after_s": 60, "content": {"template": "code", "params": {"code": "1"}}}


@pytest.mark.parametrize("has_fallback", [False, True])
async def test_what_is_due_while_scheduler_is_away_is_late(gateway: RunningGateway, *, has_fallback: bool) -> None:
    """No service has stored the job: its due time is known from its acceptance."""
    token = await gateway.user(role="admin")
    soon, later = ((datetime.now(UTC) + timedelta(hours=hours)).replace(microsecond=0) for hours in (1, 2))
    first: dict[str, Any] = {"send_at": soon.isoformat()}
    if has_fallback:
        first = {"fallback": [FALLBACK], "to": [{"to": "li@example.com", "contacts": {"sms": "13800138000"}}]}
    for fields in (first, {"send_at": later.isoformat()}):
        answer = (await gateway.send(token=token, **fields)).json()
        assert answer["errorCode"] == 0, answer
    if not has_fallback:
        due_ms = int(await gateway.redis.call("GET", next_due_key("smtp")))
        assert due_ms == soon.timestamp() * 1_000
        await gateway.redis.call("SET", next_due_key("smtp"), due_ms - 3_700_000)  # as if so much time had passed

    async def is_late() -> bool:
        answer = await gateway.client.get("/api/v2/channels", params={"token": token})
        late = {channel["method"]: channel["late_s"] for channel in answer.json()["channels"]}
        metrics = (await gateway.client.get("/metrics")).text
        told = dict(re.findall(r'^imsg_overdue_seconds{method="(\w+)"} (\S+)$', metrics, re.MULTILINE))
        told_s = {method: float(told.get(method, -1)) for method in late}
        return late["smtp"] > 0 and late["sms"] == 0 and told_s["smtp"] > 0 and told_s["sms"] == 0

    await eventually(is_late)


async def test_without_redis_the_metrics_hold_no_lateness() -> None:
    """The last value would tell, for hours, of what may long have gone."""
    with Valkey() as store:
        async with run_gateway(store.url) as gateway:
            await gateway.ready()
            await gateway.redis.call("SET", next_due_key("sms"), int(time.time() - 300) * 1_000)

            async def is_shown() -> bool:
                metrics = (await gateway.client.get("/metrics")).text
                return re.search(r'^imsg_overdue_seconds\{method="sms"\} [1-9]', metrics, re.MULTILINE) is not None

            async def is_gone() -> bool:
                return "imsg_overdue_seconds{" not in (await gateway.client.get("/metrics")).text

            await eventually(is_shown)
            store.stop()
            await eventually(is_gone)


async def test_a_send_is_accepted_although_its_time_could_not_be_noted(gateway: RunningGateway) -> None:
    """The note only says how late scheduler is, which keeps a time of its own."""
    await gateway.redis.call("HSET", next_due_key("smtp"), "of another", "type")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    answer = (await gateway.send(token=await gateway.user(), send_at=later)).json()
    assert answer["errorCode"] == 0, answer


@pytest.mark.parametrize(
    ("refuse", "allow", "word"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM"),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "READONLY"),
        (
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "NOREPLICAS",
        ),
        (("ACL", "SETUSER", "default", "-set"), ("ACL", "SETUSER", "default", "+set"), "has no permissions"),
    ],
)
async def test_channels_are_blocked_while_redis_takes_nothing(
    refuse: tuple[str, ...], allow: tuple[str, ...], word: str
) -> None:
    """Their senders stop then, and can't say so: what they said last was that the channel is open."""
    with Valkey() as server:
        async with run_gateway(server.url) as gateway:
            await gateway.ready()
            token = await gateway.user(role="admin")
            await gateway.redis.call("HSET", channel_key("smtp"), "state", "open", "why", "", "until", "")

            async def read_state() -> tuple[str, str]:
                answer = (await gateway.client.get("/api/v2/channels", params={"token": token})).json()
                (smtp,) = (channel for channel in answer["channels"] if channel["method"] == "smtp")
                return smtp["state"], smtp["why"] or ""

            async def is_open() -> bool:
                return await read_state() == ("open", "")

            async def is_blocked() -> bool:
                state, why = await read_state()
                return state == "blocked" and word in why

            await eventually(is_open)
            await gateway.redis.call(*refuse)
            await eventually(is_blocked)
            await gateway.redis.call(*allow)
            await eventually(is_open)


async def test_what_waits_is_a_number_for_prometheus(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    await gateway.send(token=token)

    async def is_told() -> bool:
        return 'imsg_queue_depth{method="smtp"} 1.0' in (await gateway.client.get("/metrics")).text

    await eventually(is_told)
    assert "imsg_ready 1.0" in (await gateway.client.get("/metrics")).text


async def test_channels_and_metrics_show_how_many_senders_consume(gateway: RunningGateway) -> None:
    """None: what waits would wait for ever, which no state of the channel says, since its sender writes it."""
    token = await gateway.user(role="admin")
    topology = gateway.broker.topology

    async def counts() -> tuple[int, bool]:
        channels = (await gateway.client.get("/api/v2/channels", params={"token": token})).json()["channels"]
        (smtp,) = (each for each in channels if each["method"] == "smtp")
        metrics = (await gateway.client.get("/metrics")).text
        return smtp["consumers"], f'imsg_queue_consumers{{method="smtp"}} {smtp["consumers"]}.0' in metrics

    async def are(expected: int) -> bool:
        return await counts() == (expected, True)

    await eventually(lambda: are(0))
    async with (
        gateway.broker.consume(topology.queue("smtp", Lane.NORMAL), 1),
        gateway.broker.consume(topology.queue("smtp", Lane.BULK), 1),
    ):
        await eventually(lambda: are(1))
    await eventually(lambda: are(0))


async def test_pausing_is_for_administrators_and_seen_and_noted(gateway: RunningGateway) -> None:
    admin, user = await gateway.user("admin", role="admin"), await gateway.user()
    refused = await gateway.client.patch("/api/v2/channels/smtp", json={"token": user, "paused": True})
    assert refused.json()["reason"] == "no_right"
    for paused, state in ((True, "paused"), (False, "open")):
        answer = await gateway.client.patch("/api/v2/channels/smtp", json={"token": admin, "paused": paused})
        assert (answer.json()["errorCode"], answer.json()["state"]) == (0, state)
    async with gateway.broker.consume(gateway.broker.topology.history, 2) as deliveries:
        change = Change.model_validate_json((await anext(deliveries)).body)
    assert (change.actor, change.action, change.target) == ("admin", "channel_paused", "smtp")


async def test_why_a_channel_is_paused_is_shown_to_administrators_until_it_goes_on(gateway: RunningGateway) -> None:
    token = await gateway.user("admin", role="admin")

    async def patch(**fields: object) -> dict[str, object]:
        answer = await gateway.client.patch("/api/v2/channels/smtp", json={"token": token, **fields})
        return {name: answer.json()[name] for name in ("state", "why")}

    paused = {"state": "paused", "why": "邮件服务器搬迁到18:00"}
    assert await patch(paused=True, reason=" 邮件服务器搬迁到18:00 ") == paused
    async with gateway.broker.consume(gateway.broker.topology.history, 1) as deliveries:
        change = Change.model_validate_json((await anext(deliveries)).body)
    assert change.after == {"paused": True, "reason": "邮件服务器搬迁到18:00"}
    user = await gateway.user()
    for language, said in (("en", "An administrator has paused this channel"), ("zh", "管理员已暂停此渠道")):
        headers = {"accept-language": language, "authorization": f"Bearer {user}"}
        answer = await gateway.client.get("/api/v2/channels", headers=headers)
        assert "邮件服务器搬迁" not in answer.text
        (smtp,) = (each for each in answer.json()["channels"] if each["method"] == "smtp")
        assert smtp["state"] == "paused"
        assert smtp["why"].startswith(said)
    assert await patch(paused=False) == {"state": "open", "why": None}
    assert await patch(paused=True) == {"state": "paused", "why": None}


async def test_a_paused_channel_still_takes_requests_which_wait(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    await gateway.client.patch("/api/v2/channels/smtp", json={"token": token, "paused": True})
    assert (await gateway.send(token=token)).json()["errorCode"] == 0


@pytest.mark.parametrize(
    ("method", "fields", "code"),
    [
        ("pigeon", {"paused": True}, 10016),
        ("smtp", {}, 10002),
        ("smtp", {"paused": None}, 10002),
        ("smtp", {"paused": 1}, 10017),
        ("smtp", {"paused": "true"}, 10017),
        ("smtp", {"paused": True, "reason": 7}, 10017),
        ("smtp", {"paused": True, "reason": "two\nlines"}, 10017),
        ("smtp", {"paused": False, "reason": "x" * 201}, 10017),
    ],
)
async def test_a_wrong_pause_is_refused_with_the_reason(
    gateway: RunningGateway, method: str, fields: dict[str, object], code: int
) -> None:
    token = await gateway.user(role="admin")
    answer = await gateway.client.patch(f"/api/v2/channels/{method}", json={"token": token, **fields})
    assert answer.json()["errorCode"] == code


async def test_past_a_set_depth_no_more_is_taken_until_it_is_less(store_url: str) -> None:
    async with run_gateway(store_url, max_depth=2) as opened:
        await opened.ready()
        token = await opened.user(per_hour=10_000, per_day=10_000)
        for _ in range(3):
            await opened.send(token=token)

        async def is_refused() -> bool:
            answer = await opened.send(token=token)
            if answer.json()["errorCode"] == 0:
                await asyncio.sleep(0.25)  # the gateway had not looked yet; many at once would take another lane
            return answer.json().get("reason") == "overloaded" and int(answer.headers["retry-after"]) > 0

        await eventually(is_refused)
        other = await opened.send(token=token, method="sms", to="13800138000", content="明天下雨")
        assert other.json()["errorCode"] == 0
        await opened.jobs(await opened.waiting("smtp"))

        async def is_taken() -> bool:
            return bool((await opened.send(token=token)).json()["errorCode"] == 0)

        await eventually(is_taken)


async def test_nothing_is_taken_for_a_channel_without_a_provider(gateway: RunningGateway) -> None:
    """It would wait for ever: the refusal says what to set, and counts for nothing."""
    token = await gateway.user(per_hour=1)
    await gateway.redis.call("SET", no_provider_key("smtp"), "set IMSG_SMTP__HOST", "EX", 60)

    async def is_refused() -> bool:
        answer = (await gateway.send(token=token, to=["not an address"])).json()
        assert answer["reason"] == "recipients_invalid", "what is wrong with the request is said first"
        answer = (await gateway.send(token=token)).json()
        if answer["errorCode"] == 0:
            await gateway.user(per_hour=2)  # the gateway had not looked yet
        return bool(answer.get("reason") == "no_provider")

    await eventually(is_refused)
    answer = await gateway.send(token=token)
    assert answer.json()["errorCode"] == 10012
    assert "IMSG_SMTP__HOST" in answer.json()["detail"]
    assert "retry-after" in answer.headers
    assert (await gateway.send(token=token, method="sms", to="13800138000", content="x")).json()["errorCode"] != 10012
    await gateway.redis.call("DEL", no_provider_key("smtp"))

    async def is_taken() -> bool:
        return bool((await gateway.send(token=token)).json().get("reason") != "no_provider")

    await eventually(is_taken)
