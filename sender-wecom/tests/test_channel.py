"""The results of the channel for each answer of a robot's webhook, over a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import Lane
from imsg_delivery.routes import Switch
from imsg_limits.pace import Pace, Rate
from imsg_testing.http_stub import Asked, BreakOff, HttpStub, Step, reply
from imsg_testing.jobs import make_job
from imsg_testing.loop_time import stopped_clock
from imsg_wecom.channel import WeComChannel
from imsg_wecom.main import check_account
from imsg_wecom.settings import Robot, WeCom
from imsg_wecom.webhook import open_client

KEY = "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"
REQUEST = "0193643f5a7c7d3e8f1a2b3c4d5e6f70"
NOW = datetime(2026, 11, 1, tzinfo=UTC)


def write_answer(code: int, words: str) -> bytes:
    """Make an answer of WeCom."""
    return reply({"errcode": code, "errmsg": words})


@asynccontextmanager
async def open_channel(*answers: bytes, rate: Rate | None = None) -> AsyncIterator[tuple[WeComChannel, HttpStub]]:
    """Open a channel with one robot, and the webhook that it calls; an answer that breaks off ends its connection."""
    remaining = list(answers)

    def answer(_: Asked) -> Step:
        content = remaining.pop(0)
        return content if content.endswith(b"}") else BreakOff(content)

    stub = HttpStub(answer)
    async with stub.running(), open_client() as client:
        robots = {"ops": Robot(key=SecretStr(KEY), endpoint=stub.url)}
        loop = asyncio.get_running_loop()
        pace = Pace(rate or Rate(20, 60.0, 20), lambda: loop.time())  # noqa: PLW0108  a test changes it
        yield WeComChannel(WeCom(robots=robots), client, pace), stub


async def deliver(
    channel: WeComChannel,
    content: str | dict[str, Any] = "磁盘已满",
    to: str = "ops",
    lane: Lane = Lane.NORMAL,
) -> Result:
    """Deliver one message."""
    job = make_job(to, at=NOW, request=REQUEST, method="wecom", lane=lane, content=content)
    prepared = await channel.prepare(job)
    if isinstance(prepared, Refused):
        return prepared
    return (await channel.deliver(job, prepared, job.recipients))[0]


async def test_a_text_and_markdown_are_posted_in_the_robots_format() -> None:
    async with open_channel(write_answer(0, "ok"), write_answer(0, "ok")) as (channel, stub):
        assert await deliver(channel) == Sent("wecom", detail="ok")
        assert await deliver(channel, {"markdown": "**磁盘**已满"}) == Sent("wecom", detail="ok")

    assert [(request.verb, request.target) for request in stub.asked] == [
        ("POST", f"/cgi-bin/webhook/send?key={KEY}")
    ] * 2
    assert [request.json for request in stub.asked] == [
        {"msgtype": "text", "text": {"content": "磁盘已满"}},
        {"msgtype": "markdown", "markdown": {"content": "**磁盘**已满"}},
    ]


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (write_answer(45009, "api freq out of limit"), Again, "45009"),
        (write_answer(-1, "system busy"), Again, "-1"),
        (write_answer(45033, "concurrent"), Again, "45033"),
        (write_answer(99999, "a code that nobody knows"), Again, "99999"),
        (write_answer(93000, f"invalid webhook url, key={KEY}"), Blocked, "93000"),
        (write_answer(60020, "not allow to access from your ip"), Blocked, "60020"),
        (write_answer(81013, "user & party & tag all invalid"), Refused, "81013"),
        (write_answer(45002, "content size out of limit"), Refused, "45002"),
        (write_answer(40058, "invalid Request Parameter"), Refused, "40058"),
        (b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", Unknown, "http_502"),
        (b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n", Again, "http_302"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n<a>", Unknown, "gibberish"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", Unknown, "gibberish"),
        (b'HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{"err', Unknown, "cut_off"),
        (b"", Unknown, "cut_off"),
    ],
)
async def test_an_answer_becomes_a_result_without_the_key(answer: bytes, kind: type[Any], code: str) -> None:
    async with open_channel(answer) as (channel, _):
        async with asyncio.timeout(60):
            result = await deliver(channel)

    assert isinstance(result, kind), result
    assert not isinstance(result, Sent)
    assert result.code == code
    assert KEY not in repr(result)


async def test_an_unreachable_server_is_tried_again() -> None:
    async with open_client() as client:
        robots = {"ops": Robot(key=SecretStr(KEY), endpoint="http://127.0.0.1:1")}
        channel = WeComChannel(WeCom(robots=robots), client, Pace(Rate(20, 60.0, 20), lambda: 0.0))
        result = await deliver(channel)
    assert isinstance(result, Again)
    assert result.code == "unreachable"
    assert KEY not in repr(result)


async def test_an_unknown_robot_is_refused_without_a_call() -> None:
    async with open_channel() as (channel, stub):
        assert await deliver(channel, to="nobody") == Refused(
            "wecom", "no_robot", "No robot of this name is configured."
        )
    assert stub.asked == []


async def test_a_message_that_would_wait_long_is_tried_again_later() -> None:
    async with open_channel(write_answer(0, "ok"), rate=Rate(1, 60.0)) as (channel, stub):
        with stopped_clock():
            assert isinstance(await deliver(channel), Sent)
            result = await deliver(channel)
    assert isinstance(result, Again)
    assert result.code == "paced"
    assert 50 < result.after_s <= 60
    assert len(stub.asked) == 1


async def test_a_list_is_tried_again_later_while_a_code_waits() -> None:
    """The robot posts every 5 s: a list would take all of its next calls."""
    async with open_channel(write_answer(0, "ok"), write_answer(0, "ok"), rate=Rate(12, 60.0)) as (channel, stub):
        with stopped_clock():
            assert isinstance(await deliver(channel), Sent)
            held_up = await deliver(channel, lane=Lane.BULK)
        assert isinstance(held_up, Again)
        assert held_up.code == "paced"
        assert isinstance(await deliver(channel, lane=Lane.PRIORITY), Sent)
    assert len(stub.asked) == 2


async def test_other_content_is_refused() -> None:
    async with open_channel() as (channel, _):
        assert isinstance(await deliver(channel, {"subject": "x"}), Refused)


@pytest.mark.parametrize("robots", [{}, {"a b": {"key": KEY}}, {"ops": {"key": ""}}, {"ops": {"key": "a&b=c"}}])
def test_invalid_settings_are_refused(robots: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WeCom.model_validate({"robots": robots})


def test_a_name_is_read_in_lower_case_and_a_key_is_not_shown() -> None:
    settings = WeCom.model_validate({"robots": {"OPS": {"key": KEY}}})
    assert list(settings.robots) == ["ops"]
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        (write_answer(41005, "media data missing"), []),
        (write_answer(0, "ok"), []),
        (write_answer(93000, "invalid key"), ["key"]),
        (write_answer(45009, "api freq out of limit"), ["busy"]),
    ],
)
async def test_a_check_of_a_robots_key_posts_nothing(answer: bytes, codes: list[str]) -> None:
    async with open_channel(answer) as (channel, stub):
        troubles = await check_account(WeCom(robots=channel._robots), "ops")
    assert [trouble.code for trouble in troubles] == codes
    assert [request.target for request in stub.asked] == [f"/cgi-bin/webhook/upload_media?type=file&key={KEY}"]
    assert [request.body for request in stub.asked] == [b""]


async def test_a_disabled_robot_posts_nothing() -> None:
    async with open_channel(write_answer(0, "ok")) as (channel, stub):
        channel.provider_pool.apply({"ops": Switch(enabled=False)})
        result = await deliver(channel)
        assert isinstance(result, Blocked)
        assert result.code == "switched_off"
        channel.provider_pool.apply({})
        assert isinstance(await deliver(channel), Sent)
    assert len(stub.asked) == 1


async def test_an_invalid_key_is_not_tried_for_every_message() -> None:
    async with open_channel(write_answer(93000, "invalid key")) as (channel, stub):
        results = [await deliver(channel) for _ in range(3)]
    assert {type(result) for result in results} == {Blocked}
    assert len(stub.asked) == 1


async def test_messages_wait_in_place_only_while_every_robot_is_switched_off() -> None:
    async with open_channel() as (channel, stub):
        assert channel.find_outage() is None
        channel.provider_pool.apply({"ops": Switch(enabled=False)})
        outage = channel.find_outage()
        assert outage is not None
        assert outage.code == "switched_off"
        assert stub.asked == []
        channel.provider_pool.apply({})
        assert channel.find_outage() is None
