"""Limits through the gateway: counted once a request, shown in headers, the same through two gateways."""

import asyncio
import re
from datetime import datetime
from typing import Any

import httpx

from imsg_contract.topology import CAPS, QUOTAS_OF_ALL, Lane
from imsg_contract.wire import Category
from imsg_limits.caps import CapRow, Caps, encode_caps
from imsg_limits.quota import QuotaRow, encode_rows
from imsg_people.tombstones import NO_KEY, Digests
from imsg_testing.gateway import RunningGateway, run_gateway


async def test_one_request_counts_once_however_many_recipients(gateway: RunningGateway) -> None:
    token = await gateway.user(per_hour=2)
    to = [f"user{n}@example.com" for n in range(500)]
    codes = [(await gateway.send(token=token, to=to)).json()["errorCode"] for _ in range(3)]
    assert codes == [0, 0, 10013]


async def test_exactly_five_of_200_at_once_pass_through_two_gateways(gateway: RunningGateway, store_url: str) -> None:
    token = await gateway.user(per_hour=5)
    async with run_gateway(store_url, is_first=False) as second:
        await second.ready()
        sends = [(gateway, second)[n % 2].send(token=token) for n in range(200)]
        answers = await asyncio.gather(*sends)
    codes = [answer.json()["errorCode"] for answer in answers]
    assert codes.count(0) == 5
    assert codes.count(10013) == 195
    assert await gateway.waiting() == 5


async def test_headers_report_what_is_left_and_when_it_opens(either: RunningGateway) -> None:
    token = await either.user(per_hour=5, per_day=20)
    answer = await either.send(token=token)
    assert answer.headers["ratelimit-policy"] == '"hour";q=5;w=3600, "day";q=20;w=86400'
    told = re.fullmatch(r'"hour";r=4;t=(\d+), "day";r=19;t=(\d+)', answer.headers["ratelimit"])
    assert told is not None
    assert 0 < int(told[1]) <= 3_600
    assert int(told[1]) <= int(told[2]) <= 86_400


async def test_recipients_a_day_are_shown_and_counted_by_head(gateway: RunningGateway) -> None:
    token = await gateway.user(recipients_per_day="3")
    answer = await gateway.send(token=token, to=["a@example.com", "b@example.com"])
    assert '"recipients";r=1;t=' in answer.headers["ratelimit"]
    answer = await gateway.send(token=token, to=["a@example.com", "b@example.com"])
    assert answer.json()["reason"] == "recipients_per_day_used_up"
    assert "有 2 个收件人，而今天的 3 个只剩 1 个" in answer.json()["detail"]
    assert (await gateway.send(token=token)).json()["errorCode"] == 0


SMS_SEGMENTS = QuotaRow("sms-month", "segments", "month", 5, "sms")


async def test_a_refusal_names_the_quota_what_is_left_and_when_it_opens(gateway: RunningGateway) -> None:
    """A list is all or nothing; what goes another way, and what fits, is sent; headers show the same."""
    token = await gateway.user(rows=(SMS_SEGMENTS,))
    long = {"to": ["13800138000", "13900139000"], "method": "sms", "content": "字" * 100}
    accepted = await gateway.client.post("/api/v2/messages", json={**long, "token": token})
    assert accepted.json()["segments"] == 4
    assert '"sms-month";q=5;w=2678400;qu="segments"' in accepted.headers["ratelimit-policy"]
    assert '"sms-month";r=1;t=' in accepted.headers["ratelimit"]
    refused = await gateway.client.post(
        "/api/v2/messages", json={**long, "token": token}, headers={"accept-language": "en"}
    )
    body = refused.json()
    assert (refused.status_code, body["errorCode"], body["reason"]) == (429, 10013, "quota_used_up")
    assert (body["quota"], body["left"]) == ("sms-month", 1)
    opens = datetime.fromisoformat(body["opens_at"])
    assert (opens.day, opens.hour, opens.minute) == (1, 0, 0)
    assert 0 < int(refused.headers["retry-after"]) <= 31 * 86_400
    assert body["detail"].startswith("The quota sms-month of 5 segments has 1 left, and this request needs 4;")
    assert (await gateway.send(token=token)).json()["errorCode"] == 0
    short = await gateway.client.post(
        "/api/v2/messages", json={"to": "13800138000", "method": "sms", "content": "字", "token": token}
    )
    assert short.status_code == 202
    assert '"sms-month";r=0;t=' in short.headers["ratelimit"]


async def test_a_quota_of_the_installation_holds_every_user_and_is_named_in_the_refusal(
    gateway: RunningGateway,
) -> None:
    tokens = [await gateway.user(name) for name in ("zhang", "li")]
    await gateway.redis.call("SET", QUOTAS_OF_ALL, encode_rows((QuotaRow("mail", "recipients", "day", 3, "smtp"),)))
    many = ["a@example.com", "b@example.com"]
    assert (await gateway.send(token=tokens[0], to=many)).json()["errorCode"] == 0
    refused = (await gateway.send(token=tokens[1], to=many)).json()
    assert (refused["reason"], refused["quota"], refused["left"]) == ("quota_used_up", "mail", 1)
    assert refused["detail"].startswith("整个系统共用的配额 mail 共 3 个收件人，只剩 1，而此请求需要 2；")
    assert (await gateway.send(token=tokens[1])).json()["errorCode"] == 0


async def test_a_single_message_is_refused_where_its_number_got_enough_and_another_user_reaches_it(
    gateway: RunningGateway,
) -> None:
    """Nothing is counted of what is refused; the sender settles what of a list is too much."""
    row = CapRow("codes", "sms", Category.CODE, "user", "minute", 1)
    await gateway.redis.call("SET", CAPS, encode_caps([row]))
    tokens = [await gateway.user(name, may_send_codes="1", per_hour=3) for name in ("zhang", "li")]
    code = {"to": "13800138000", "method": "sms", "content": "您的验证码是 123456", "category": "code"}

    async def send(token: str, **fields: Any) -> httpx.Response:  # noqa: ANN401  any JSON
        headers = {"accept-language": "en"}
        return await gateway.client.post("/api/v2/messages", json={**code, "token": token, **fields}, headers=headers)

    assert (await send(tokens[0])).status_code == 202
    sender = Caps(gateway.redis, Digests(NO_KEY).of)
    (job,) = await gateway.jobs(method="sms", lane=Lane.PRIORITY)
    await sender.count(job, {0: job.recipients[0].address})
    refused = await send(tokens[0])
    body = refused.json()
    assert (refused.status_code, body["errorCode"], body["reason"], body["cap"]) == (
        429, 10013, "recipient_cap", "codes",
    )  # fmt: skip
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert "the cap codes allows, 1 in a minute" in body["detail"]
    assert (await send(tokens[0], category="notice")).headers["ratelimit"].startswith('"hour";r=1')
    assert (await send(tokens[0], to="13900139000")).status_code == 202
    assert (await send(tokens[1])).status_code == 202
