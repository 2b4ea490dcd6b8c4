"""Limits through the gateway: counted once a request, told in headers, the same through two gateways."""

import asyncio
import re

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


async def test_headers_tell_what_is_left_and_when_it_opens(either: RunningGateway) -> None:
    token = await either.user(per_hour=5, per_day=20)
    answer = await either.send(token=token)
    assert answer.headers["ratelimit-policy"] == '"hour";q=5;w=3600, "day";q=20;w=86400'
    told = re.fullmatch(r'"hour";r=4;t=(\d+), "day";r=19;t=(\d+)', answer.headers["ratelimit"])
    assert told is not None
    assert 0 < int(told[1]) <= 3_600
    assert int(told[1]) <= int(told[2]) <= 86_400


async def test_recipients_a_day_are_told_and_counted_by_head(gateway: RunningGateway) -> None:
    token = await gateway.user(recipients_per_day="3")
    answer = await gateway.send(token=token, to=["a@example.com", "b@example.com"])
    assert '"recipients";r=1;t=' in answer.headers["ratelimit"]
    answer = await gateway.send(token=token, to=["a@example.com", "b@example.com"])
    assert answer.json()["reason"] == "recipients_per_day_used_up"
    assert "有 2 个收件人，而今天的 3 个只剩 1 个" in answer.json()["detail"]
    assert (await gateway.send(token=token)).json()["errorCode"] == 0
